//! Certificates and credentials that reach a node without an update, also one of a paused pool (MCO daemon 8). [`Trust::of`] reads them
//! from a ControllerConfig, [`write`] puts them on the disk.
//!
//! Other than the reference it writes what differs and nothing else, leaves a file alone for which the ControllerConfig has nothing, and
//! removes only those directories of registries that it has made or taken over.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use crds::ControllerConfig;
use k8s_openapi::ByteString;

use crate::host::write::Failed;
use crate::host::{Found, Rename, Root, Traits, Writer};
use crate::node::Node;
use crate::store;

/// By which the kubelet trusts the API server.
const KUBELET_CA: &str = "/etc/kubernetes/kubelet-ca.crt";
/// By which the cloud provider is trusted.
const CLOUD_CA: &str = "/etc/kubernetes/static-pod-resources/configmaps/cloud-config/ca-bundle.pem";
/// Credentials for the registry inside the cluster, merged with those of the cluster.
const PULL_SECRET: &str = "/etc/mco/internal-registry-pull-secret.json";
/// Where container runtimes look for certificates of registries; only where it is there (MCO daemon 8.2).
const REGISTRIES: &str = "/etc/docker/certs.d";
/// The directories there that are ours.
const OURS: &str = "/var/lib/machine-config/registries";
/// Longest of these files, in bytes: a bundle of all authorities there are has half a megabyte.
const MAX_BYTES: u64 = 16 << 20;

/// What a ControllerConfig has for nodes. It holds credentials, so it does not show its contents.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Trust {
    /// The version it was read from.
    pub(crate) version: String,
    files: BTreeMap<&'static str, Vec<u8>>,
    registries: BTreeMap<String, Vec<u8>>,
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust")
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

impl Trust {
    /// Of a ControllerConfig.
    pub(crate) fn of(config: &ControllerConfig) -> Self {
        let spec = &config.spec;
        let files = [
            (KUBELET_CA, Some(&spec.kube_api_server_serving_ca_data)),
            (CLOUD_CA, spec.cloud_provider_ca_data.as_ref()),
            (PULL_SECRET, spec.internal_registry_pull_secret.as_ref()),
        ];
        let files = files
            .into_iter()
            .filter_map(|(path, bytes)| Some((path, ended(bytes?))))
            .filter(|(_, bytes)| !bytes.is_empty());
        // What the user gives wins (MCO daemon 8.2).
        let bundles = spec
            .image_registry_bundle_data
            .iter()
            .chain(&spec.image_registry_bundle_user_data);
        let registries = bundles
            .filter_map(|bundle| Some((directory(&bundle.file)?, ended(&bundle.data))))
            .collect();
        Self {
            version: config.metadata.resource_version.clone().unwrap_or_default(),
            files: files.collect(),
            registries,
        }
    }

    /// Whether another one has the same in it, whatever its version.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.files == other.files && self.registries == other.registries
    }
}

/// Bytes with a newline at their end; nothing stays nothing.
fn ended(bytes: &ByteString) -> Vec<u8> {
    let mut bytes = bytes.0.clone();
    if bytes.last().is_some_and(|last| *last != b'\n') {
        bytes.push(b'\n');
    }
    bytes
}

/// The directory of a registry: two dots stand for the colon before a port. `None` for what is no name of one.
fn directory(file: &str) -> Option<String> {
    let name = file.replace("..", ":");
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    (!name.is_empty() && name != "." && name.chars().all(plain)).then_some(name)
}

/// Writes what differs. True when anything did.
///
/// # Errors
/// What cannot be written, and why.
pub(crate) fn write(node: &Node, trust: &Trust) -> Result<bool, String> {
    let root = &node.root;
    let registries = root.is_there(Path::new(REGISTRIES)).unwrap_or(false);
    let mut wanted: BTreeMap<PathBuf, &[u8]> = BTreeMap::new();
    wanted.extend(
        trust
            .files
            .iter()
            .map(|(path, bytes)| ((*path).into(), &bytes[..])),
    );
    if registries {
        let certificates = trust.registries.iter();
        wanted.extend(certificates.map(|(name, bytes)| (certificate(name), &bytes[..])));
    }
    wanted.retain(|path, bytes| root.read(path, MAX_BYTES).ok().flatten().as_deref() != Some(*bytes));
    let before = ours(root);
    let ours: BTreeSet<String> = if registries {
        trust.registries.keys().cloned().collect()
    } else {
        before.clone()
    };
    if wanted.is_empty() && before == ours {
        return Ok(false);
    }
    let _lock = node
        .lock("machine-config-daemon, certificates")
        .map_err(|finding| format!("certificates cannot be written: {}", finding.message))?;
    let mut writer = Writer::new(root);
    for (path, bytes) in &wanted {
        put(root, &mut writer, path, bytes).map_err(|failed| told(path, &failed))?;
    }
    for name in before.difference(&ours) {
        let path = certificate(name);
        store::remove(root, &path.to_string_lossy()).map_err(|failed| told(&path, &failed))?;
        // What somebody else has put there stays, and so does the directory then.
        let _ = writer.remove_directory(&Path::new(REGISTRIES).join(name));
    }
    store::replace(root, OURS, &store::encode(&ours)).map_err(|failed| told(Path::new(OURS), &failed))?;
    Ok(true)
}

fn told(path: &Path, failed: &Failed) -> String {
    format!("cannot write {}: {}", path.display(), crate::apply::chain(failed))
}

fn certificate(name: &str) -> PathBuf {
    Path::new(REGISTRIES).join(name).join("ca.crt")
}

fn ours(root: &Root) -> BTreeSet<String> {
    let bytes = root.read(Path::new(OURS), MAX_BYTES).ok().flatten();
    bytes
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default()
}

/// Puts a file in place, as a whole. It keeps mode and owner of the one before.
fn put(root: &Root, writer: &mut Writer<'_>, path: &Path, bytes: &[u8]) -> Result<(), Failed> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    provide(root, writer, parent)?;
    let unborn = parent.join(format!(
        ".{}.mc-new",
        path.file_name().unwrap_or_default().to_string_lossy()
    ));
    crate::change::gone(writer.remove(&unborn))?;
    writer.create(&unborn, bytes, &traits(root, path))?;
    writer.sync_file(&unborn)?;
    writer.rename(&unborn, path, Rename::Over)?;
    writer.sync_directory(parent)
}

fn traits(root: &Root, path: &Path) -> Traits {
    let (uid, gid) = root.owner_of_new(0, 0);
    match root.look(path) {
        Ok(Found::File(file)) => Traits {
            mode: file.mode,
            uid: file.uid,
            gid: file.gid,
            ..Traits::default()
        },
        // Credentials are nobody else's affair; the reference lets everybody read them.
        Ok(_) | Err(_) => Traits {
            mode: if path == Path::new(PULL_SECRET) {
                0o600
            } else {
                0o644
            },
            uid,
            gid,
            ..Traits::default()
        },
    }
}

fn provide(root: &Root, writer: &mut Writer<'_>, directory: &Path) -> Result<(), Failed> {
    if root.is_there(directory).unwrap_or(false) {
        return Ok(());
    }
    if let Some(parent) = directory.parent() {
        provide(root, writer, parent)?;
    }
    let (uid, gid) = root.owner_of_new(0, 0);
    let traits = Traits {
        mode: 0o755,
        uid,
        gid,
        ..Traits::default()
    };
    writer.make_directory(directory, &traits)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use crds::ControllerConfigSpec;
    use crds::controller_config::ImageRegistryBundle;

    use super::*;

    fn bytes(text: &str) -> ByteString {
        ByteString(text.as_bytes().to_vec())
    }

    fn bundle(file: &str, data: &str) -> ImageRegistryBundle {
        ImageRegistryBundle {
            file: file.to_owned(),
            data: bytes(data),
        }
    }

    fn config(user: &[(&str, &str)]) -> ControllerConfig {
        let spec = ControllerConfigSpec {
            kube_api_server_serving_ca_data: bytes("ca"),
            internal_registry_pull_secret: Some(bytes("{}\n")),
            image_registry_bundle_data: vec![bundle("registry..5000", "managed"), bundle("other", "o\n")],
            image_registry_bundle_user_data: user.iter().map(|(file, data)| bundle(file, data)).collect(),
            ..ControllerConfigSpec::default()
        };
        ControllerConfig::new("machine-config-controller", spec)
    }

    fn node() -> (tempfile::TempDir, Node) {
        let directory = tempfile::tempdir().unwrap();
        for path in ["etc/docker/certs.d/admins", "etc/kubernetes", "var/lib", "run"] {
            fs::create_dir_all(directory.path().join(path)).unwrap();
        }
        let node = Node::open(directory.path()).unwrap();
        (directory, node)
    }

    #[test]
    fn what_differs_is_written_and_nothing_else() {
        let (directory, node) = node();
        let at = |path: &str| directory.path().join(path.trim_start_matches('/'));
        fs::write(at(KUBELET_CA), "old\n").unwrap();
        fs::set_permissions(at(KUBELET_CA), fs::Permissions::from_mode(0o640)).unwrap();
        let trust = Trust::of(&config(&[]));
        assert_eq!(write(&node, &trust), Ok(true));
        assert_eq!(fs::read_to_string(at(KUBELET_CA)).unwrap(), "ca\n");
        let mode = |path: &str| fs::metadata(at(path)).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode(KUBELET_CA), mode(PULL_SECRET)), (0o640, 0o600));
        let registry = "/etc/docker/certs.d/registry:5000/ca.crt";
        assert_eq!(fs::read_to_string(at(registry)).unwrap(), "managed\n");
        assert!(!at(CLOUD_CA).exists(), "there is nothing for it");
        let generation = fs::read(at("/run/machine-config/generation")).unwrap();
        assert_eq!(write(&node, &trust), Ok(false));
        assert_eq!(
            fs::read(at("/run/machine-config/generation")).unwrap(),
            generation
        );
    }

    #[test]
    fn the_users_bundle_wins_and_what_falls_out_goes_unless_it_is_not_ours() {
        let (directory, node) = node();
        let at = |path: &str| directory.path().join("etc/docker/certs.d").join(path);
        let mut object = config(&[("registry..5000", "user")]);
        write(&node, &Trust::of(&object)).unwrap();
        assert_eq!(fs::read_to_string(at("registry:5000/ca.crt")).unwrap(), "user\n");
        object.spec.image_registry_bundle_data.clear();
        assert_eq!(write(&node, &Trust::of(&object)), Ok(true));
        assert!(!at("other").exists());
        assert!(at("registry:5000/ca.crt").exists() && at("admins").exists());
    }

    #[test]
    fn names_lead_nowhere_else() {
        for (file, expected) in [
            ("registry..5000", Some("registry:5000")),
            ("registry.example.com", Some("registry.example.com")),
            ("../../x", None),
            ("a/b", None),
            ("", None),
            (".", None),
        ] {
            assert_eq!(directory(file).as_deref(), expected, "{file}");
        }
        assert_eq!(directory("..").as_deref(), Some(":"), "no way up");
    }

    #[test]
    fn credentials_are_not_shown() {
        let shown = format!("{:?}", Trust::of(&config(&[])));
        assert!(
            shown.starts_with("Trust") && !shown.contains("123") && !shown.contains("files"),
            "{shown}"
        );
    }
}
