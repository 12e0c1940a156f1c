//! What is known of the cluster.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crds::MachineConfigPool;
use tokio::sync::Notify;

/// What is known now, and a bell for changes.
#[derive(Debug)]
pub(super) struct Known {
    state: Mutex<State>,
    changed: Notify,
}

/// What the watches have seen.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) pools: BTreeMap<String, MachineConfigPool>,
    pub(super) authorities: Option<Arc<Authorities>>,
    /// The CA of the API server, in PEM.
    pub(super) api_ca: Arc<Vec<u8>>,
    /// Of [`Part::ALL`], those whose first look is over; in the same order.
    seen: [bool; Part::ALL.len()],
    /// Those that are not looked at.
    unused: [bool; Part::ALL.len()],
}

/// CAs of the ControllerConfig.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Authorities {
    pub(super) kubelet: Vec<u8>,
    pub(super) cloud: Vec<u8>,
}

/// What is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Pools,
    ControllerConfig,
    KubeconfigCa,
    Nodes,
    Tokens,
}

impl Part {
    const ALL: [Self; 5] = [
        Self::Pools,
        Self::ControllerConfig,
        Self::KubeconfigCa,
        Self::Nodes,
        Self::Tokens,
    ];

    /// In words.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Pools => "MachineConfigPools",
            Self::ControllerConfig => "the ControllerConfig",
            Self::KubeconfigCa => "the ConfigMap kubeconfig-data",
            Self::Nodes => "Nodes",
            Self::Tokens => "join tokens",
        }
    }

    fn at(self) -> usize {
        Self::ALL
            .iter()
            .position(|part| *part == self)
            .unwrap_or_default()
    }
}

impl Known {
    /// Nothing but the CA that the server itself uses, which is good until another one is found.
    pub(super) fn new(api_ca: Vec<u8>) -> Self {
        let state = State {
            api_ca: Arc::new(api_ca),
            ..State::default()
        };
        Self {
            state: Mutex::new(state),
            changed: Notify::new(),
        }
    }

    /// A look at everything.
    pub(super) fn read(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes something, and rings the bell.
    pub(super) fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.read());
        self.changed.notify_one();
    }

    /// Takes note that the first look at a part is over.
    pub(super) fn seen(&self, part: Part) {
        self.change(|state| state.seen[part.at()] = true);
    }

    /// Takes note that a part is not looked at.
    pub(super) fn unused(&self, part: Part) {
        self.change(|state| state.unused[part.at()] = true);
    }

    /// Waits for the next change.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}

impl State {
    /// What is not known yet, in words.
    pub(super) fn awaited(&self) -> Vec<&'static str> {
        let parts = Part::ALL.into_iter();
        parts
            .filter(|part| !self.seen[part.at()] && !self.unused[part.at()])
            .map(Part::as_str)
            .collect()
    }
}
