//! How a unit fares, in systemd's words.

use std::collections::HashMap;
use std::fmt;
use std::fmt::Write as _;

use zbus::{OwnedObjectPath, OwnedVariant};

use super::BusError;
use super::bus::Bus;
use crate::host::enablement::State as FileState;
use crate::host::unit_name;

/// `ExecMainCode` of a program that has ended by itself (`CLD_EXITED`, waitid(2)).
const EXITED: i32 = 1;

/// A unit at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitState {
    /// Whether it runs.
    pub active: ActiveState,
    /// The same in more detail, in words of its type: `running`, `exited`, `auto-restart`, …
    pub sub: String,
    /// How its last run ended: `success`, `exit-code`, `start-limit-hit`, …; none for types that do not run anything.
    pub result: Option<String>,
    /// How the main program of a service ended last; none if it has not.
    pub ended: Option<Ended>,
    /// How often systemd has started a service again by itself.
    pub restarts: u32,
    /// What tells one run from the next; none before the first.
    pub invocation: Option<String>,
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this exit status.
    Status(i32),
    /// By this signal.
    Signal(i32),
}

/// `ActiveState` of a unit (org.freedesktop.systemd1(5)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActiveState {
    /// It runs, or has done what it is there to do.
    Active,
    /// It runs and reads its configuration anew.
    Reloading,
    /// It does not run, and has not failed.
    Inactive,
    /// It does not run, and has failed.
    Failed,
    /// It is being started.
    Activating,
    /// It is being stopped.
    Deactivating,
    /// Something else, of a newer systemd.
    Other(String),
}

// === impl UnitState ===

impl UnitState {
    fn new(unit: &HashMap<String, OwnedVariant>, kind: &HashMap<String, OwnedVariant>) -> Option<Self> {
        let number = |name: &str| kind.get(name).and_then(|value| i32::try_from(value).ok());
        let ended = match number("ExecMainCode") {
            None | Some(0) => None,
            Some(EXITED) => number("ExecMainStatus").map(Ended::Status),
            Some(_) => number("ExecMainStatus").map(Ended::Signal),
        };
        Some(Self {
            active: ActiveState::parse(&text(unit, "ActiveState")?),
            sub: text(unit, "SubState")?,
            result: text(kind, "Result"),
            ended,
            restarts: kind
                .get("NRestarts")
                .and_then(|value| u32::try_from(value).ok())
                .unwrap_or_default(),
            invocation: invocation(unit.get("InvocationID")),
        })
    }

    /// Whether systemd waits to start it again because it failed. One that ended well and is to run again is in order.
    pub(super) fn restarts_after_failure(&self) -> bool {
        self.sub.starts_with("auto-restart") && self.result.as_deref() != Some("success")
    }
}

impl fmt::Display for UnitState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.active, self.sub)?;
        if let Some(result) = &self.result {
            write!(f, ", result {result}")?;
        }
        match self.ended {
            Some(Ended::Status(status)) => write!(f, ", its program ended with status {status}"),
            Some(Ended::Signal(signal)) => write!(f, ", its program was ended by signal {signal}"),
            None => Ok(()),
        }
    }
}

// === impl ActiveState ===

impl ActiveState {
    fn parse(word: &str) -> Self {
        match word {
            "active" => Self::Active,
            "reloading" | "refreshing" => Self::Reloading,
            "inactive" => Self::Inactive,
            "failed" => Self::Failed,
            "activating" => Self::Activating,
            "deactivating" => Self::Deactivating,
            other => Self::Other(other.to_owned()),
        }
    }

    /// Whether verbs that only touch units that run would touch it.
    pub(crate) fn is_up(&self) -> bool {
        match self {
            Self::Active | Self::Reloading | Self::Activating | Self::Other(_) => true,
            Self::Inactive | Self::Failed | Self::Deactivating => false,
        }
    }
}

impl fmt::Display for ActiveState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Active => "active",
            Self::Reloading => "reloading",
            Self::Inactive => "inactive",
            Self::Failed => "failed",
            Self::Activating => "activating",
            Self::Deactivating => "deactivating",
            Self::Other(word) => word,
        })
    }
}

// === impl Bus ===

impl Bus {
    /// A unit at this moment. Each of its two halves is one answer, so no half mixes two moments.
    pub(super) async fn state(&self, unit: &str) -> Result<UnitState, BusError> {
        if !unit_name::is_valid(unit) {
            return Err(BusError::UnitName(unit.to_owned()));
        }
        let path = self
            .bounded("LoadUnit", self.limits.call, self.manager.load_unit(unit))
            .await?;
        let general = self.properties(&path, "Unit").await?;
        let kind = self.properties(&path, &kind(unit)).await?;
        UnitState::new(&general, &kind).ok_or_else(|| BusError::Answer {
            call: "GetAll",
            what: format!("{unit} has no ActiveState and SubState"),
        })
    }

    async fn properties(
        &self,
        path: &OwnedObjectPath,
        interface: &str,
    ) -> Result<HashMap<String, OwnedVariant>, BusError> {
        let interface = format!("org.freedesktop.systemd1.{interface}");
        let call = async {
            let properties = zbus::fdo::PropertiesProxy::builder(&self.connection)
                .destination("org.freedesktop.systemd1")
                .path(path)
                .build()
                .await?;
            Ok(properties.get_all(interface.as_str().try_into()?).await?)
        };
        self.bounded("GetAll", self.limits.call, call).await
    }
}

/// The part of systemd's interface that is about units of this one's type: `Service` of `a.service`.
fn kind(unit: &str) -> String {
    let suffix = unit.rsplit('.').next().unwrap_or_default();
    let mut letters = suffix.chars();
    letters
        .next()
        .map(|first| first.to_ascii_uppercase().to_string() + letters.as_str())
        .unwrap_or_default()
}

fn text(properties: &HashMap<String, OwnedVariant>, name: &str) -> Option<String> {
    let text: &str = properties.get(name)?.try_into().ok()?;
    Some(text.to_owned())
}

fn invocation(value: Option<&OwnedVariant>) -> Option<String> {
    let bytes: Vec<u8> = value?.try_clone().ok()?.try_into().ok()?;
    if bytes.iter().all(|byte| *byte == 0) {
        return None;
    }
    let mut digits = String::new();
    for byte in bytes {
        let _ = write!(digits, "{byte:02x}");
    }
    Some(digits)
}

/// A word of `systemctl is-enabled`.
pub(super) fn file_state(word: &str) -> Result<FileState, BusError> {
    Ok(match word {
        "enabled" => FileState::Enabled,
        "enabled-runtime" => FileState::EnabledRuntime,
        "linked" => FileState::Linked,
        "linked-runtime" => FileState::LinkedRuntime,
        "alias" => FileState::Alias,
        "masked" => FileState::Masked,
        "masked-runtime" => FileState::MaskedRuntime,
        "static" => FileState::Static,
        "indirect" => FileState::Indirect,
        "disabled" => FileState::Disabled,
        "generated" => FileState::Generated,
        "transient" => FileState::Transient,
        "bad" => FileState::Bad,
        other => {
            return Err(BusError::Answer {
                call: "GetUnitFileState",
                what: format!("{other:?} is no state of a unit file"),
            });
        }
    })
}
