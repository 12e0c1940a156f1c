//! One pool: its file, its MachineConfig's file, and the bodies made of them.

use std::sync::Arc;

use crds::MachineConfig;
use machineconfig::{Code, Finding};

use super::{Common, ControllerCas, Layout, NotMade, Part, read};
use crate::assemble::Inputs;
use crate::bodies::{bodies, expected_name};
use crate::route::is_object_name;
use crate::snapshot::{Pool, Slot};
use crate::watched::{Look, Watched};

/// A pool and its files: first its own, then the one of its MachineConfig once that is known.
#[derive(Debug)]
pub(super) struct PoolPart {
    name: String,
    part: Part<Arc<Pool>>,
    /// How often in a row its file was not there.
    pub(super) looks_without_file: u8,
    /// What was last said about a MachineConfig whose name is not that of its contents.
    misnamed: Option<String>,
}

impl PoolPart {
    /// A pool that has not been read yet. `patient` if its files are to settle before that.
    pub(super) fn new(name: &str, layout: &Layout, patient: bool) -> Self {
        Self {
            name: name.to_owned(),
            part: Part::new(vec![Watched::new(layout.pool(name))], patient),
            looks_without_file: 0,
            misnamed: None,
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
        let Self {
            name, part, misnamed, ..
        } = self;
        part.refresh(force, |files, patient| {
            let (rendered, machine_config) = read(name, files, layout, patient)?;
            warn_if_misnamed(name, &rendered, &machine_config, misnamed);
            Ok(Arc::new(build(
                name,
                &rendered,
                &machine_config,
                common,
                controller,
            )?))
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

/// Reads the pool and its MachineConfig, and gives the name of the latter too. The order in which things are missed is
/// the reference's.
fn read(
    name: &str,
    files: &mut Vec<Watched>,
    layout: &Layout,
    patient: bool,
) -> Result<(String, Box<MachineConfig>), NotMade> {
    let pool = read::pool(&mut files[0], name)?;
    let rendered = pool.status.unwrap_or_default().configuration.name;
    let missing = |message: String| {
        let object = format!("MachineConfigPool/{name}");
        let field = "status.configuration.name";
        NotMade::Bad(Finding::error(
            Code::SERVER_NO_MACHINE_CONFIG,
            object,
            field,
            message,
        ))
    };
    if !is_object_name(&rendered) {
        files.truncate(1);
        return Err(missing(
            "the pool has no rendered MachineConfig yet: the field is empty or no name; let the controller render the pool"
                .to_owned(),
        ));
    }
    let path = layout.machine_config(&rendered);
    if files.get(1).is_none_or(|file| file.path() != path) {
        files.truncate(1);
        let mut file = Watched::new(&path);
        let look = file.look();
        files.push(file);
        if patient && look == Look::Settling {
            return Err(NotMade::Settling);
        }
    }
    // An error other than absence is reported when the file is read.
    if !path.try_exists().unwrap_or(true) {
        return Err(missing(format!(
            "its MachineConfig is not there: {}",
            path.display()
        )));
    }
    let machine_config = read::machine_config(&mut files[1], &rendered)?;
    Ok((rendered, machine_config))
}

/// Says once when the name of a MachineConfig is not the one that its contents lead to: it was edited, or it is cut off.
/// It is served all the same, since others may name as they like.
fn warn_if_misnamed(pool: &str, rendered: &str, object: &MachineConfig, misnamed: &mut Option<String>) {
    let Some(expected) = expected_name(pool, &object.spec).filter(|expected| expected != rendered) else {
        *misnamed = None;
        return;
    };
    // Told again only when something about it is new.
    let told = format!("{rendered} {expected}");
    if misnamed.as_ref() != Some(&told) {
        tracing::warn!(
            pool,
            config = rendered,
            expected,
            "The name of the MachineConfig does not fit its contents"
        );
        *misnamed = Some(told);
    }
}

/// Makes the bodies.
fn build(
    name: &str,
    rendered: &str,
    machine_config: &MachineConfig,
    common: &Part<Common>,
    controller: &Part<ControllerCas>,
) -> Result<Pool, Finding> {
    let (common, controller) = (common.value()?, controller.value()?);
    let inputs = Inputs {
        rendered,
        machine_config,
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
