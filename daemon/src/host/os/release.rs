//! `os-release`: which distribution a host has, by the reference's rules (MCO daemon 1.4).

use std::collections::BTreeMap;
use std::path::Path;

use super::OsError;
use crate::host::Root;

/// Where it lies, the first one there is (os-release(5)).
pub(super) const PATHS: [&str; 2] = ["/etc/os-release", "/usr/lib/os-release"];

/// Longest file that is read, in bytes; they have some hundred.
const MAX_LENGTH: u64 = 64 << 10;

/// Which distribution it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// `ID`, such as `rhcos` or `debian`; empty when it is not set.
    pub id: String,
    /// `VARIANT_ID`, such as `coreos`; empty when it is not set.
    pub variant: String,
    /// The version of the distribution that it is made from: `RHEL_VERSION`, else what follows OpenShift's own in `VERSION`,
    /// else `VERSION_ID`.
    pub version: String,
    /// `OSTREE_VERSION`, or `VERSION` without one: which build it is.
    pub build: String,
}

// === impl Release ===

impl Release {
    /// Reads what the host says of itself.
    pub fn read(root: &Root) -> Result<Self, OsError> {
        for path in PATHS {
            let bytes = root
                .read(Path::new(path), MAX_LENGTH)
                .map_err(|source| OsError::Read { path, source })?;
            if let Some(bytes) = bytes {
                return Ok(Self::parse(&String::from_utf8_lossy(&bytes)));
            }
        }
        Err(OsError::NoRelease)
    }

    /// Takes the text of an `os-release` apart. Lines that are no assignment are passed over; of two, the later one holds.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let values: BTreeMap<&str, String> = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.split_once('='))
            .map(|(name, value)| (name, unquote(value)))
            .collect();
        let get = |name: &str| values.get(name).cloned().unwrap_or_default();
        let build = match get("OSTREE_VERSION") {
            build if build.is_empty() => get("VERSION"),
            build => build,
        };
        Self {
            id: get("ID"),
            variant: get("VARIANT_ID"),
            version: version(&get("RHEL_VERSION"), &get("OPENSHIFT_VERSION"), &get("VERSION"))
                .unwrap_or_else(|| get("VERSION_ID")),
            build,
        }
    }

    /// Whether it is a CoreOS made from RHEL or from its upstream.
    #[must_use]
    pub fn is_el(&self) -> bool {
        match self.id.as_str() {
            "rhcos" | "scos" => true,
            "rhel" | "centos" => self.variant == "coreos",
            _ => false,
        }
    }

    /// Whether it is EL 9. That the bare version is enough for any distribution is the reference's doing.
    #[must_use]
    pub fn is_el9(&self) -> bool {
        self.version == "9" || self.is_el() && self.version.starts_with("9.")
    }

    /// Whether it is EL 10, likewise.
    #[must_use]
    pub fn is_el10(&self) -> bool {
        self.version == "10" || self.is_el() && self.version.starts_with("10.")
    }

    /// Whether it is Fedora CoreOS.
    #[must_use]
    pub fn is_fcos(&self) -> bool {
        self.id == "fedora" && self.variant == "coreos"
    }

    /// Whether it is a CoreOS of any kind.
    #[must_use]
    pub fn is_coreos(&self) -> bool {
        self.variant == "coreos" || self.is_el()
    }

    /// What metrics call it.
    #[must_use]
    pub fn label(&self) -> String {
        self.id.to_uppercase()
    }
}

fn version(rhel: &str, openshift: &str, version: &str) -> Option<String> {
    if !rhel.is_empty() {
        return Some(rhel.to_owned());
    }
    if openshift.is_empty() {
        return None;
    }
    let own = format!("{}.", openshift.replace('.', ""));
    version.strip_prefix(&own).map(str::to_owned)
}

/// A value as a shell would read it.
fn unquote(value: &str) -> String {
    let mut text = String::new();
    let mut quote = None;
    let mut letters = value.trim().chars();
    while let Some(letter) = letters.next() {
        match (letter, quote) {
            ('\'' | '"', None) => quote = Some(letter),
            (_, Some(open)) if open == letter => quote = None,
            ('\\', None | Some('"')) => text.extend(letters.next()),
            _ => text.push(letter),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const RHCOS: &str = r#"
NAME="Red Hat Enterprise Linux CoreOS"
ID="rhcos"
ID_LIKE="rhel fedora"
VERSION="416.94.202406172220-0"
VERSION_ID="4.16"
VARIANT="CoreOS"
VARIANT_ID=coreos
OPENSHIFT_VERSION="4.16"
RHEL_VERSION=9.4
OSTREE_VERSION="416.94.202406172220-0"
"#;

    #[test]
    fn the_version_is_the_one_of_the_base() {
        for (text, version, el9, el10) in [
            (RHCOS, "9.4", true, false),
            (
                "ID=scos\nOPENSHIFT_VERSION=4.19\nVERSION=419.9.20250101\n",
                "9.20250101",
                true,
                false,
            ),
            (
                "ID=rhcos\nOPENSHIFT_VERSION=4.9\nVERSION=410.84.1\nVERSION_ID=4.10",
                "4.10",
                false,
                false,
            ),
            ("ID=rhel\nVARIANT_ID=coreos\nVERSION_ID=10.0", "10.0", false, true),
            ("ID=rhel\nVERSION_ID=9.4", "9.4", false, false),
            ("ID=centos\nVERSION_ID=9", "9", true, false),
            ("ID=debian\nVERSION_ID=\"12\"", "12", false, false),
            ("", "", false, false),
        ] {
            let release = Release::parse(text);
            assert_eq!(release.version, version, "{text}");
            assert_eq!((release.is_el9(), release.is_el10()), (el9, el10), "{text}");
        }
    }

    #[test]
    fn distributions_are_told_apart() {
        for (id, variant, el, fcos, coreos) in [
            ("rhcos", "", true, false, true),
            ("scos", "coreos", true, false, true),
            ("rhel", "coreos", true, false, true),
            ("rhel", "", false, false, false),
            ("centos", "coreos", true, false, true),
            ("fedora", "coreos", false, true, true),
            ("fedora", "server", false, false, false),
            ("flatcar", "coreos", false, false, true),
            ("debian", "", false, false, false),
        ] {
            let release = Release::parse(&format!("ID={id}\nVARIANT_ID=\"{variant}\"\n"));
            assert_eq!(
                (release.is_el(), release.is_fcos(), release.is_coreos()),
                (el, fcos, coreos),
                "{id} {variant}"
            );
            assert_eq!(release.label(), id.to_uppercase());
        }
    }

    #[test]
    fn values_are_read_as_a_shell_reads_them() {
        for (value, text) in [
            ("plain", "plain"),
            ("\"two words\"", "two words"),
            ("'it''s \\n'", "its \\n"),
            ("\"a \\\"b\\\" \\$c\"", "a \"b\" $c"),
            ("a\\ b", "a b"),
            ("\"open", "open"),
        ] {
            assert_eq!(unquote(value), text, "{value}");
        }
    }

    #[test]
    fn the_file_below_usr_is_the_second_choice() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::open(directory.path()).unwrap();
        assert!(matches!(Release::read(&root), Err(OsError::NoRelease)));
        for (path, id) in [("usr/lib/os-release", "one"), ("etc/os-release", "two")] {
            let path = directory.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, format!("# a comment=x\nID={id}\n")).unwrap();
            assert_eq!(Release::read(&root).unwrap().id, id);
        }
    }
}
