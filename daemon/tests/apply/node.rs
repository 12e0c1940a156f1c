//! Nodes to apply configs to: directories with users and some files of their own, and trees to compare them by.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crds::{MachineConfig, MachineConfigSpec};
use daemon::converge::{Report, Wanted, converge};
use daemon::journal::Purpose;
use daemon::node::Node;
use machineconfig::{Finding, Policy};
use serde_json::Value;
use tempfile::TempDir;

/// The root of a node in a temporary directory.
pub(crate) struct Root {
    pub(crate) directory: TempDir,
}

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Directory,
    File(Vec<u8>),
    Link(PathBuf),
    Other,
}

pub(crate) type Tree = BTreeMap<PathBuf, Entry>;

/// Places of our own records, which differ from apply to apply.
const OURS: [&str; 3] = [
    "/var/lib/machine-config",
    "/run/machine-config",
    "/etc/machine-config-daemon/currentconfig",
];

impl Root {
    /// With root, core and another user, a machine id, and one vendor unit.
    pub(crate) fn new() -> Self {
        let root = Self {
            directory: directory(),
        };
        root.write("/etc/passwd", "root:x:0:0::/root:/bin/sh\ncore:x:1000:1000::/home/core:/bin/sh\nother:x:1001:1001::/srv/other:/bin/sh\n");
        root.write("/etc/group", "root:x:0:\ncore:x:1000:\nother:x:1001:\n");
        root.write(
            "/etc/shadow",
            "root:*:19000:0:99999:7:::\ncore:*:19000:0:99999:7:::\nother:!:19000:0:99999:7:::\n",
        );
        root.write("/etc/machine-id", "0123456789abcdef0123456789abcdef\n");
        root.write(
            "/usr/lib/systemd/system/vendor.service",
            "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n",
        );
        root.write("/usr/lib/systemd/system-preset/99-default.preset", "disable *\n");
        fs::create_dir_all(root.path("/home/core")).unwrap();
        fs::create_dir_all(root.path("/srv/other")).unwrap();
        fs::create_dir_all(root.path("/run")).unwrap();
        root
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.directory.path().join(path.trim_start_matches('/'))
    }

    pub(crate) fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    }

    pub(crate) fn link(&self, path: &str, target: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap()
    }

    pub(crate) fn node(&self) -> Node {
        Node::open(self.directory.path()).unwrap()
    }

    pub(crate) fn apply(&self, config: &MachineConfig) -> Result<Report, Vec<Finding>> {
        self.converge(config, Purpose::Apply)
    }

    pub(crate) fn converge(&self, config: &MachineConfig, purpose: Purpose) -> Result<Report, Vec<Finding>> {
        apply_to(&self.node(), config, purpose)
    }

    /// Everything but our own records and what is only there while something runs.
    pub(crate) fn tree(&self) -> Tree {
        tree(self.directory.path())
    }
}

pub(crate) fn apply_to(
    node: &Node,
    config: &MachineConfig,
    purpose: Purpose,
) -> Result<Report, Vec<Finding>> {
    let lock = node.lock("test").map_err(|finding| vec![finding])?;
    let policy = Policy::default();
    converge(
        node,
        &lock,
        Wanted {
            config: config.clone(),
            policy: &policy,
            purpose,
            diffs: None,
            only: None,
        },
    )
}

/// A directory in memory where there is one: every apply makes a whole file system durable, and those of a machine that is busy with
/// other things take seconds for it.
pub(crate) fn directory() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        tempfile::tempdir_in(memory).unwrap()
    } else {
        tempfile::tempdir().unwrap()
    }
}

/// Everything beneath a directory but our own records.
pub(crate) fn tree(root: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut pending = vec![root.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let name = Path::new("/").join(path.strip_prefix(root).unwrap());
            if OURS.iter().any(|ours| name.starts_with(ours)) {
                continue;
            }
            let stat = fs::symlink_metadata(&path).unwrap();
            let kind = if stat.is_symlink() {
                Kind::Link(fs::read_link(&path).unwrap())
            } else if stat.is_dir() {
                pending.push(path);
                Kind::Directory
            } else if stat.is_file() {
                Kind::File(fs::read(&path).unwrap())
            } else {
                Kind::Other
            };
            // The mode of a link says nothing.
            let mode = if stat.is_symlink() {
                0
            } else {
                stat.permissions().mode() & 0o7777
            };
            tree.insert(
                name,
                Entry {
                    kind,
                    mode,
                    owner: (stat.uid(), stat.gid()),
                },
            );
        }
    }
    tree
}

/// How two trees differ, a line for each path.
pub(crate) fn difference(one: &Tree, other: &Tree) -> Vec<String> {
    let paths: std::collections::BTreeSet<_> = one.keys().chain(other.keys()).collect();
    let show = |entry: Option<&Entry>| {
        entry.map_or("nothing".to_owned(), |entry| {
            format!("{entry:?}").chars().take(160).collect()
        })
    };
    paths
        .into_iter()
        .filter(|path| one.get(*path) != other.get(*path))
        .map(|path| {
            format!(
                "{}: {} / {}",
                path.display(),
                show(one.get(path)),
                show(other.get(path))
            )
        })
        .collect()
}

/// A rendered config of this Ignition config.
pub(crate) fn config(name: &str, ignition: Value) -> MachineConfig {
    MachineConfig::new(
        name,
        MachineConfigSpec {
            config: Some(ignition),
            ..MachineConfigSpec::default()
        },
    )
}
