//! What is served from files: where they lie, and reading them again when they change.
//!
//! The layout is the one that `machine-config-controller bootstrap` writes (`MCO server 1.10`). Entry point:
//! [`Loader`]. A file that turns bad while the server runs changes nothing but the list of problems: what was good before
//! is served on.

mod pool;
mod read;

use std::collections::BTreeMap;
use std::fs;
use std::mem;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use machineconfig::{Code, Finding};

use crate::route::is_object_name;
use crate::snapshot::{Served, Snapshot};
use crate::watched::{Look, Watched};
use pool::PoolPart;

/// Pools that are read at most. A cluster has a handful; each takes memory for its bodies.
const MAX_POOLS: usize = 256;

/// Looks for which a pool without its file is served on: a directory whose files are exchanged one by one lacks some for a
/// moment, and a machine that comes in that moment would give up for good at a 404.
const LOOKS_WITHOUT_FILE: u8 = 3;

/// Where everything lies.
#[derive(Debug, Clone)]
pub struct Layout {
    /// The directory with `machine-pools`, `machine-configs` and `controller-config`.
    pub base_dir: PathBuf,
    /// The kubeconfig that new machines begin with.
    pub kubeconfig: PathBuf,
    /// CAs of registries that new machines are to trust.
    pub registry_cas: Vec<RegistryCa>,
    /// Which pools are served.
    pub served: Served,
}

/// A registry and the file with its CA: `host[:port]=file`, the file relative to the base directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryCa {
    registry: String,
    file: PathBuf,
}

/// Keeps what was read, and reads what has changed.
#[derive(Debug)]
pub struct Loader {
    layout: Layout,
    common: Part<Common>,
    controller: Part<ControllerCas>,
    pools: BTreeMap<String, PoolPart>,
    /// What is wrong with the directory of pools itself.
    directory: Option<Finding>,
    /// Everything has been read once.
    started: bool,
}

/// What every body gets and must be there from the start.
#[derive(Debug)]
struct Common {
    kubeconfig: Vec<u8>,
    registry_cas: Vec<(String, Vec<u8>)>,
}

/// What every body gets of the ControllerConfig.
#[derive(Debug)]
struct ControllerCas {
    kubelet: Vec<u8>,
    cloud: Vec<u8>,
}

/// A value made of files: the last good one, and what is wrong with the files as they are now.
#[derive(Debug)]
struct Part<T> {
    files: Vec<Watched>,
    /// Whether files that may still be being written are waited for. At the start they are not, as nothing else could be
    /// served.
    patient: bool,
    /// To be made anew even if no file changes.
    due: bool,
    good: Option<T>,
    problem: Option<Finding>,
}

/// Why a value was not made.
#[derive(Debug)]
enum NotMade {
    /// A file may still be being written.
    Settling,
    /// Something is wrong with a file.
    Bad(Finding),
}

impl From<Finding> for NotMade {
    fn from(problem: Finding) -> Self {
        Self::Bad(problem)
    }
}

// === impl Part ===

impl<T> Part<T> {
    fn new(files: Vec<Watched>, patient: bool) -> Self {
        Self {
            files,
            patient,
            due: true,
            good: None,
            problem: None,
        }
    }

    /// Makes the value anew if a file has changed, or in any case if `force`. Whether the value or what is wrong with it
    /// is another than before.
    ///
    /// `read` is also told whether it is to wait for files that settle.
    fn refresh(
        &mut self,
        force: bool,
        read: impl FnOnce(&mut Vec<Watched>, bool) -> Result<T, NotMade>,
    ) -> bool {
        // Every file is looked at, since each look takes note of what it saw.
        let looks: Vec<Look> = self.files.iter_mut().map(Watched::look).collect();
        self.due |= force || looks.contains(&Look::Changed);
        let patient = mem::replace(&mut self.patient, true);
        if !self.due || patient && looks.contains(&Look::Settling) {
            return false;
        }
        self.due = false;
        match read(&mut self.files, patient) {
            Ok(value) => {
                self.good = Some(value);
                self.problem = None;
                true
            }
            Err(NotMade::Settling) => {
                self.due = true;
                false
            }
            // A reading that is tried again and fails again is no news.
            Err(NotMade::Bad(problem)) => {
                let before = self.problem.replace(problem);
                before != self.problem
            }
        }
    }

    /// The last good value, or why there never was one.
    fn value(&self) -> Result<&T, Finding> {
        match (&self.good, &self.problem) {
            (Some(value), _) => Ok(value),
            (None, Some(problem)) => Err(problem.clone()),
            (None, None) => unreachable!("a part is read before its value is asked for"),
        }
    }
}

// === impl RegistryCa ===

impl FromStr for RegistryCa {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (registry, file) = text
            .split_once('=')
            .ok_or("expected host[:port]=file, such as registry.example.com:5000=certs/ca.crt")?;
        let is_host = |b: u8| b.is_ascii_alphanumeric() || b".-_:[]".contains(&b);
        if registry.is_empty() || registry.starts_with('.') || !registry.bytes().all(is_host) {
            return Err(format!(
                "{registry:?} is no registry; expected a host name and perhaps a port"
            ));
        }
        let file = Path::new(file);
        // As in the reference a leading slash means the base directory too.
        let file: PathBuf = file
            .components()
            .filter(|part| *part != Component::RootDir)
            .collect();
        if file.as_os_str().is_empty() || file.components().any(|part| part == Component::ParentDir) {
            return Err("the file must lie below --server-basedir".to_owned());
        }
        Ok(Self {
            registry: registry.to_owned(),
            file,
        })
    }
}

// === impl Layout ===

impl Layout {
    /// The optional manifest of the cluster's TLS profile.
    #[must_use]
    pub fn api_server(&self) -> PathBuf {
        self.base_dir.join("api-server/api-server.yaml")
    }

    fn pool(&self, name: &str) -> PathBuf {
        self.base_dir.join("machine-pools").join(format!("{name}.yaml"))
    }

    fn machine_config(&self, name: &str) -> PathBuf {
        self.base_dir.join("machine-configs").join(format!("{name}.yaml"))
    }

    fn controller_config(&self) -> PathBuf {
        self.base_dir
            .join("controller-config/machine-config-controller.yaml")
    }

    /// The names of the pools that there are and that are served, sorted; nothing when the directory holds no pool at all.
    ///
    /// A directory that is gone is an error and no end of all pools: more likely it is not mounted.
    fn pool_names(&self) -> Result<Option<Vec<String>>, Finding> {
        let directory = self.base_dir.join("machine-pools");
        let unreadable = |error| read::unreadable(Code::SERVER_DIRECTORY, &directory, &error);
        let entries = fs::read_dir(&directory).map_err(unreadable)?;
        let mut names = Vec::new();
        for entry in entries {
            let name = entry.map_err(unreadable)?.file_name();
            let name = name.to_str().and_then(|name| name.strip_suffix(".yaml"));
            names.extend(name.filter(|name| is_object_name(name)).map(str::to_owned));
        }
        if names.is_empty() {
            return Ok(None);
        }
        names.retain(|name| self.served.includes(name));
        names.sort_unstable();
        Ok(Some(names))
    }
}

// === impl Loader ===

impl Loader {
    /// Reads everything for the first time.
    ///
    /// # Errors
    /// Only what no machine can be served without: the base directory, kubeconfig and registry CAs. A
    /// pool that is not there or bad is answered for by its status, and may come later.
    pub fn new(layout: Layout) -> Result<Self, Finding> {
        let base_dir = &layout.base_dir;
        fs::read_dir(base_dir).map_err(|error| read::unreadable(Code::SERVER_DIRECTORY, base_dir, &error))?;
        let cas = layout
            .registry_cas
            .iter()
            .map(|ca| layout.base_dir.join(&ca.file));
        let common = [layout.kubeconfig.clone()]
            .into_iter()
            .chain(cas)
            .map(Watched::new)
            .collect();
        let mut loader = Self {
            common: Part::new(common, false),
            controller: Part::new(vec![Watched::new(layout.controller_config())], false),
            pools: BTreeMap::new(),
            directory: None,
            started: false,
            layout,
        };
        loader.refresh();
        loader.started = true;
        loader.common.value()?;
        Ok(loader)
    }

    /// Reads what has changed. Whether anything did.
    pub fn refresh(&mut self) -> bool {
        let mut changed = self.refresh_names();
        let Self {
            layout,
            common,
            controller,
            pools,
            ..
        } = self;
        let common_changed = common.refresh(false, |files, _| {
            read::common(files, &layout.registry_cas).map_err(NotMade::Bad)
        });
        let controller_changed = controller.refresh(false, |files, _| {
            read::controller_cas(&mut files[0]).map_err(NotMade::Bad)
        });
        // A change for the worse leaves the good value as it was, so bodies need not be made anew.
        let force =
            common_changed && common.problem.is_none() || controller_changed && controller.problem.is_none();
        changed |= common_changed || controller_changed;
        for pool in pools.values_mut() {
            changed |= pool.refresh(force, layout, common, controller);
        }
        changed
    }

    /// Looks which pools there are. Whether they are others than before.
    fn refresh_names(&mut self) -> bool {
        let mut changed = false;
        let problem = match self.layout.pool_names() {
            Ok(None) if !self.pools.is_empty() => Some(emptied()),
            Ok(names) => {
                let mut names = names.unwrap_or_default();
                let too_many = (names.len() > MAX_POOLS).then(|| too_many_pools(names.len()));
                names.truncate(MAX_POOLS);
                let before = self.pools.len();
                self.pools.retain(|name, pool| {
                    let is_there = names.binary_search(name).is_ok();
                    pool.looks_without_file = if is_there { 0 } else { pool.looks_without_file + 1 };
                    pool.looks_without_file < LOOKS_WITHOUT_FILE
                });
                changed |= self.pools.len() != before;
                for name in names {
                    self.pools.entry(name).or_insert_with_key(|name| {
                        changed = true;
                        PoolPart::new(name, &self.layout, self.started)
                    });
                }
                too_many
            }
            Err(problem) => Some(problem),
        };
        changed |= self.directory != problem;
        self.directory = problem;
        changed
    }

    /// What is to be served now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let mut problems: Vec<Finding> = Vec::new();
        let of_pools = self.pools.values().filter_map(PoolPart::problem);
        let of_others = [&self.common.problem, &self.controller.problem, &self.directory];
        for problem in of_others.into_iter().flatten().chain(of_pools) {
            // What is wrong with the ControllerConfig is wrong with every pool that was never good.
            if !problems.contains(problem) {
                problems.push(problem.clone());
            }
        }
        let pools = self
            .pools
            .iter()
            .map(|(name, pool)| (name.clone(), pool.slot()))
            .collect();
        Snapshot {
            served: self.layout.served,
            pools,
            problems,
            ..Snapshot::default()
        }
    }
}

/// All pools are gone at once: no removal, but a volume that is not mounted or a copy that was cut off.
fn emptied() -> Finding {
    let message = "the directory holds no pool any more; those that it held are served on until there is one";
    Finding::error(Code::SERVER_DIRECTORY, "machine-pools", "", message)
}

fn too_many_pools(found: usize) -> Finding {
    let message = format!("{found} pools were found; only the first {MAX_POOLS} by name are served");
    Finding::error(Code::SERVER_DIRECTORY, "machine-pools", "", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools_beyond_the_bound_are_told_and_not_served() {
        let dir = tempfile::tempdir().unwrap();
        let pools = dir.path().join("machine-pools");
        fs::create_dir(&pools).unwrap();
        for n in 0..=MAX_POOLS {
            fs::write(pools.join(format!("p{n:03}.yaml")), "").unwrap();
        }
        fs::write(pools.join("Not_A_Name.yaml"), "").unwrap();
        fs::write(pools.join("p.json"), "").unwrap();
        let kubeconfig = dir.path().join("kubeconfig");
        fs::write(&kubeconfig, "clusters: [{}]").unwrap();
        let layout = Layout {
            base_dir: dir.path().to_owned(),
            kubeconfig,
            registry_cas: Vec::new(),
            served: Served::All,
        };
        let mut loader = Loader::new(layout).unwrap();
        let snapshot = loader.snapshot();
        assert_eq!(snapshot.pools.len(), MAX_POOLS);
        let message = format!("{} pools were found", MAX_POOLS + 1);
        assert!(
            snapshot
                .problems
                .iter()
                .any(|problem| problem.message.contains(&message))
        );
        assert!(!loader.refresh(), "nothing has changed");
        fs::remove_file(pools.join("p000.yaml")).unwrap();
        assert!(loader.refresh());
        assert!(loader.snapshot().pools.contains_key(&format!("p{MAX_POOLS}")));
    }

    #[test]
    fn a_removed_pool_ends_after_some_looks_and_an_emptied_directory_ends_none() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("kubeconfig", "clusters: [{}]");
        let api = "apiVersion: machineconfiguration.openshift.io/v1";
        let meta = |kind: &str, name: &str| format!("{api}\nkind: {kind}\nmetadata: {{name: {name}}}\n");
        let controller = meta("ControllerConfig", "c") + "spec: {}";
        write("controller-config/machine-config-controller.yaml", &controller);
        let config = meta("MachineConfig", "r") + "spec: {config: {ignition: {version: 3.5.0}}}";
        write("machine-configs/r.yaml", &config);
        let pool = meta("MachineConfigPool", "p") + "spec: {}\nstatus: {configuration: {name: r}}";
        write("machine-pools/p.yaml", &pool);
        // The directory is not empty without the pool, which would be another matter.
        write("machine-pools/q.yaml", "");
        let mut loader = Loader::new(Layout {
            base_dir: dir.path().to_owned(),
            kubeconfig: dir.path().join("kubeconfig"),
            registry_cas: Vec::new(),
            served: Served::All,
        })
        .unwrap();
        let mut look = || {
            loader.refresh();
            loader.snapshot().ready_pools().count()
        };
        assert_eq!(look(), 1);
        let file = dir.path().join("machine-pools/p.yaml");
        fs::remove_file(&file).unwrap();
        assert_eq!([look(), look()], [1, 1]);
        write("machine-pools/p.yaml", &pool);
        assert_eq!(look(), 1);
        fs::remove_file(&file).unwrap();
        assert_eq!([look(), look(), look()], [1, 1, 0]);
        // What appears while the server runs is read once it has settled.
        write("machine-pools/p.yaml", &pool);
        assert_eq!([look(), look(), look()], [0, 0, 1]);
        // Cut at the end of a line it is still a config; the rest comes before the second look.
        write("machine-configs/s.yaml", &config.replace("name: r", "name: s"));
        write("machine-pools/p.yaml", &pool.replace("name: r", "name: s"));
        let served = |loader: &Loader| loader.snapshot().ready_pools().next().unwrap().rendered.clone();
        for expected in ["r", "r", "s"] {
            loader.refresh();
            assert_eq!(served(&loader), expected);
        }
        // All at once is no removal, however long it lasts.
        for name in ["p", "q"] {
            fs::remove_file(dir.path().join(format!("machine-pools/{name}.yaml"))).unwrap();
        }
        for _ in 0..=LOOKS_WITHOUT_FILE {
            loader.refresh();
            assert_eq!(served(&loader), "s");
            assert!(loader.snapshot().problems.contains(&emptied()));
        }
        write("machine-pools/q.yaml", "");
        for _ in 0..LOOKS_WITHOUT_FILE {
            loader.refresh();
        }
        let snapshot = loader.snapshot();
        assert!(!snapshot.pools.contains_key("p") && !snapshot.problems.contains(&emptied()));
    }
}
