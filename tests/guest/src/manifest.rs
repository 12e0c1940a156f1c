//! A tree as text: one line for each object, so that two trees are equal exactly when their manifests are.

use std::fmt::Write as _;
use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

/// Every object below `root`, in the order of names: `KIND MODE UID:GID CONTENT "PATH"`, where the content of a file is the SHA-256
/// of its bytes, that of a symbolic link its target, and `-` for all else. The path is absolute as seen from `root`. What lies at or
/// below a path of `without` is left out.
pub fn of(root: &Path, without: &[PathBuf]) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    walk(root, Path::new("/"), without, &mut lines)?;
    Ok(lines)
}

fn walk(root: &Path, dir: &Path, without: &[PathBuf], lines: &mut Vec<String>) -> Result<()> {
    let host = |path: &Path| root.join(path.strip_prefix("/").unwrap_or(path));
    let mut paths = fs::read_dir(host(dir))
        .with_context(|| format!("could not list {}", dir.display()))?
        .map(|entry| Ok(dir.join(entry?.file_name())))
        .collect::<Result<Vec<_>>>()?;
    paths.sort();
    for path in paths.iter().filter(|path| !without.contains(path)) {
        let on_disk = host(path);
        let metadata = fs::symlink_metadata(&on_disk)
            .with_context(|| format!("could not look at {}", path.display()))?;
        let (kind, content) =
            describe(&on_disk, &metadata).with_context(|| format!("could not read {}", path.display()))?;
        lines.push(format!(
            "{kind} {:04o} {}:{} {content} \"{}\"",
            metadata.mode() & 0o7777,
            metadata.uid(),
            metadata.gid(),
            path.as_os_str().as_bytes().escape_ascii()
        ));
        if metadata.is_dir() {
            walk(root, path, without, lines)?;
        }
    }
    Ok(())
}

fn describe(path: &Path, metadata: &Metadata) -> Result<(&'static str, String)> {
    let kind = metadata.file_type();
    Ok(if kind.is_file() {
        let mut sum = String::new();
        for byte in Sha256::digest(fs::read(path)?) {
            // Writing to a string does not fail.
            let _ = write!(sum, "{byte:02x}");
        }
        ("file", sum)
    } else if kind.is_symlink() {
        let target = fs::read_link(path)?;
        (
            "link",
            format!("\"{}\"", target.as_os_str().as_bytes().escape_ascii()),
        )
    } else {
        let kind = if kind.is_dir() {
            "dir"
        } else if kind.is_fifo() {
            "fifo"
        } else if kind.is_socket() {
            "socket"
        } else {
            "device"
        };
        (kind, "-".to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::of;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::{Path, PathBuf};

    type Change = fn(&Path);

    fn tree(dir: &Path) {
        fs::create_dir_all(dir.join("etc/left-out")).unwrap();
        fs::write(dir.join("etc/motd"), "abc").unwrap();
        fs::write(dir.join("etc/left-out/noise"), "x").unwrap();
        symlink("motd", dir.join("etc/issue")).unwrap();
        fs::set_permissions(dir.join("etc/motd"), Permissions::from_mode(0o640)).unwrap();
    }

    #[test]
    fn every_difference_shows() {
        let dir = tempfile::tempdir().unwrap();
        tree(dir.path());
        let look = || of(dir.path(), &[PathBuf::from("/etc/left-out")]).unwrap();
        let before = look();
        assert_eq!(before.len(), 3, "{before:?}");
        assert!(before[2].starts_with("file 0640 "), "{before:?}");
        let sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert!(before[2].ends_with(&format!("{sum} \"/etc/motd\"")), "{before:?}");

        fs::write(dir.path().join("etc/left-out/noise"), "y").unwrap();
        assert_eq!(look(), before);
        let changes: [Change; 5] = [
            |dir| fs::write(dir.join("etc/motd"), "abd").unwrap(),
            |dir| fs::set_permissions(dir.join("etc/motd"), Permissions::from_mode(0o600)).unwrap(),
            |dir| fs::rename(dir.join("etc/motd"), dir.join("etc/mote")).unwrap(),
            |dir| {
                fs::remove_file(dir.join("etc/issue")).unwrap();
                symlink("mote", dir.join("etc/issue")).unwrap();
            },
            |dir| fs::create_dir(dir.join("var")).unwrap(),
        ];
        let mut last = before;
        for (number, change) in changes.iter().enumerate() {
            change(dir.path());
            let now = look();
            assert_ne!(now, last, "change {number}");
            last = now;
        }
    }
}
