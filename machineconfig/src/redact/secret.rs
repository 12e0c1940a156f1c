//! Which files hold secrets.

/// Files that are secret whatever their mode: pull secrets, kubeconfigs, shadow, and whole configs, which hold the contents of every
/// secret file and the password hash.
const PATHS: &[&str] = &[
    "/etc/ignition-machine-config-encapsulated.json",
    "/etc/ignition-machine-config-encapsulated.json.bak",
    "/etc/machine-config-daemon/currentconfig",
    "/etc/mcd-currentconfig.json",
    "/etc/mcs-machine-config-content.json",
    "/etc/gshadow",
    "/etc/mco/internal-registry-pull-secret.json",
    "/etc/shadow",
    "/root/.docker/config.json",
    "/var/lib/kubelet/config.json",
];

/// Directories whose files are secret: connections with their passphrases, bootstrap tokens.
const DIRECTORIES: &[&str] = &[
    "/etc/NetworkManager/system-connections/",
    "/etc/kubernetes/bootstrap-secrets/",
    "/etc/wireguard/",
];

/// Parts of a file's own name, in lower case, that say that it holds a secret.
const NAME_PARTS: &[&str] = &["kubeconfig", "password", "secret", "token"];

/// Endings of a file's own name, in lower case, of keys and credential stores.
const NAME_ENDINGS: &[&str] = &[
    ".dockercfg",
    ".dockerconfigjson",
    ".htpasswd",
    ".jks",
    ".key",
    ".keytab",
    ".netrc",
    ".p12",
    ".pfx",
    ".pgpass",
    "-key.pem",
    "_key",
    "auth.json",
    "credentials",
    "id_dsa",
    "id_ecdsa",
    "id_ed25519",
    "id_rsa",
    "key.pem",
];

/// What only secrets contain: private keys in any PEM form, registry credentials, password hashes of crypt(3).
const MARKS: &[&str] = &[
    "PRIVATE KEY-----",
    "\"auths\"",
    "passwordHash",
    "$6$",
    "$y$",
    "$2b$",
    "$2y$",
];

/// Permission of others to read. A file that does not grant it is not meant to be read by everybody.
const OTHERS_READ: u32 = 0o004;

/// Whether contents must not be shown: the file is closed to others, is named as one, or holds what only secrets hold.
#[must_use]
pub fn is_secret(path: &str, mode: u32, bytes: &[u8]) -> bool {
    mode & OTHERS_READ == 0 || is_named_secret(path) || holds_secret(bytes)
}

fn is_named_secret(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    PATHS.contains(&path)
        || DIRECTORIES.iter().any(|directory| path.starts_with(directory))
        || NAME_PARTS.iter().any(|part| name.contains(part))
        || NAME_ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// What is not text is never shown, so only text is searched.
fn holds_secret(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| MARKS.iter().any(|mark| text.contains(mark)))
}
