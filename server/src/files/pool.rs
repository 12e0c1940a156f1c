//! One pool: its file, its MachineConfig's file, and the bodies made of them.

use std::sync::Arc;
use std::thread;

use ignition::Version;
use machineconfig::{Code, Finding};

use super::{Common, ControllerCas, Layout, Part, read};
use crate::assemble::{AssembleError, Assembly, Inputs};
use crate::route::is_object_name;
use crate::snapshot::{Pool, Slot};
use crate::watched::Watched;

/// A pool and its files: first its own, then the one of its MachineConfig once that is known.
#[derive(Debug)]
pub(super) struct PoolPart {
    name: String,
    part: Part<Arc<Pool>>,
}

impl PoolPart {
    pub(super) fn new(name: &str, layout: &Layout) -> Self {
        Self {
            name: name.to_owned(),
            part: Part::new(vec![Watched::new(layout.pool(name))]),
        }
    }

    /// Makes the bodies anew if a file has changed, or in any case if `force`. Whether it did.
    pub(super) fn refresh(
        &mut self,
        force: bool,
        layout: &Layout,
        common: &Part<Common>,
        controller: &Part<ControllerCas>,
    ) -> bool {
        let name = &self.name;
        self.part.refresh(force, |files| {
            build(name, files, layout, common, controller).map(Arc::new)
        })
    }

    /// What there is to serve.
    pub(super) fn slot(&self) -> Slot {
        match (&self.part.good, self.problem()) {
            (Some(pool), _) => Slot::Ready(pool.clone()),
            (None, Some(problem)) if problem.code == Code::SERVER_NO_MACHINE_CONFIG => Slot::Missing,
            (None, _) => Slot::Broken,
        }
    }

    /// What is wrong with the files as they are now.
    pub(super) fn problem(&self) -> Option<&Finding> {
        self.part.problem.as_ref()
    }
}

/// Reads the files and makes the bodies. The order in which things are missed is the reference's.
fn build(
    name: &str,
    files: &mut Vec<Watched>,
    layout: &Layout,
    common: &Part<Common>,
    controller: &Part<ControllerCas>,
) -> Result<Pool, Finding> {
    files.truncate(1);
    let pool = read::pool(&mut files[0])?;
    let rendered = pool.status.unwrap_or_default().configuration.name;
    if !is_object_name(&rendered) {
        let message = "the pool has no rendered MachineConfig yet";
        let object = format!("MachineConfigPool/{name}");
        return Err(Finding::error(
            Code::SERVER_NO_MACHINE_CONFIG,
            object,
            "status.configuration.name",
            message,
        ));
    }
    let file = layout.machine_config(&rendered);
    files.push(Watched::new(&file));
    // An error other than absence is reported when the file is read.
    if !file.try_exists().unwrap_or(true) {
        let message = format!("its MachineConfig is not there: {}", file.display());
        let object = format!("MachineConfigPool/{name}");
        return Err(Finding::error(
            Code::SERVER_NO_MACHINE_CONFIG,
            object,
            "status.configuration.name",
            message,
        ));
    }
    let machine_config = read::machine_config(&mut files[1])?;
    let (common, controller) = (common.value()?, controller.value()?);
    let inputs = Inputs {
        rendered: &rendered,
        machine_config: &machine_config,
        kubelet_ca: &controller.kubelet,
        cloud_ca: &controller.cloud,
        kubeconfig: &common.kubeconfig,
        registry_cas: &common.registry_cas,
    };
    bodies(name, &inputs).map_err(|error| {
        let object = format!("MachineConfig/{rendered}");
        Finding::error(Code::SERVER_MACHINE_CONFIG, object, "", error.to_string())
    })
}

/// A body for every version that can say what the config says.
fn bodies(name: &str, inputs: &Inputs<'_>) -> Result<Pool, AssembleError> {
    let assembly = Assembly::new(inputs)?;
    let mut bodies = Vec::with_capacity(Version::ALL.len());
    for (version, body) in Version::ALL
        .into_iter()
        .zip(in_parallel(|version| assembly.body(version)))
    {
        bodies.push(match body {
            Ok(body) => Some(body),
            // What cannot even be said in the newest version concerns the config as a whole.
            Err(error) if version == Version::LATEST => return Err(error),
            // Nothing translates down to it, and nobody asks for it.
            Err(_) if version == Version::V3_0 => None,
            Err(error) => {
                tracing::warn!(pool = name, config = inputs.rendered, %version, %error, "Version not served");
                None
            }
        });
    }
    let mut bodies = bodies.into_iter();
    Ok(Pool::new(name, inputs.rendered.to_owned(), |_| {
        bodies.next().flatten()
    }))
}

/// Does the same for every version, on all processors, in the order of [`Version::ALL`]: the bodies of a large
/// config are most of what a server does before its first answer.
fn in_parallel<T: Send>(work: impl Fn(Version) -> T + Sync) -> Vec<T> {
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let share = Version::ALL.len().div_ceil(workers);
    let work = &work;
    thread::scope(|scope| {
        let start = |versions: &'static [Version]| {
            scope.spawn(move || versions.iter().map(|version| work(*version)).collect::<Vec<T>>())
        };
        let threads: Vec<_> = Version::ALL.chunks(share).map(start).collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().expect("assembling does not panic"))
            .collect()
    })
}
