//! Which boot this is, and whether a root is the one that runs.
//!
//! [`boot_id`] is what proves a reboot: the kernel makes a new one each time it starts.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use super::Root;

/// Where the kernel tells the boot from every other one.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Where the kernel tells for how long it has run.
const UPTIME: &str = "/proc/uptime";

/// Longest of these files, in bytes; they hold one short line.
const MAX_LENGTH: u64 = 4096;

/// Where the hyphens of a UUID are, and how long it is.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];
const UUID_LENGTH: usize = 36;

/// The id of the boot that `/proc` beneath `root` is of: a UUID in lower case. An error where there is no such file, as in a
/// root that does not run, or what is there is no UUID.
pub fn boot_id(root: &Root) -> io::Result<String> {
    let text = line(root, BOOT_ID)?;
    let id = text.trim().to_ascii_lowercase();
    if is_uuid(&id) {
        Ok(id)
    } else {
        Err(invalid(BOOT_ID, &text, "UUID"))
    }
}

/// For how long the host has run, by `/proc` beneath `root`.
pub fn uptime(root: &Root) -> io::Result<Duration> {
    let text = line(root, UPTIME)?;
    text.split_whitespace()
        .next()
        .and_then(|seconds| seconds.parse::<f64>().ok())
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| invalid(UPTIME, &text, "number of seconds"))
}

/// Whether `directory` is the root of the system that runs, as seen from here: the root of the first process. In a container
/// that has the host's processes, that is where the host's root is mounted; in one that has not, only its own `/` is.
pub fn is_running(directory: &Path) -> io::Result<bool> {
    let root = std::fs::metadata(directory)?;
    let same = |other: &str| {
        let other = std::fs::metadata(other)?;
        Ok(other.dev() == root.dev() && other.ino() == root.ino())
    };
    match same("/proc/1/root") {
        // No /proc, or one of a process that we may not look at: our own root is all there is to compare with.
        Err(_) => same("/"),
        answer => answer,
    }
}

fn line(root: &Root, path: &str) -> io::Result<String> {
    let bytes = root
        .read(Path::new(path), MAX_LENGTH)?
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("there is no {path}")))?;
    String::from_utf8(bytes)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, format!("{path} is no text")))
}

fn invalid(path: &str, text: &str, what: &str) -> io::Error {
    let message = format!("{path} holds {:?}, which is no {what}", text.trim());
    io::Error::new(io::ErrorKind::InvalidData, message)
}

fn is_uuid(text: &str) -> bool {
    text.len() == UUID_LENGTH
        && text.bytes().enumerate().all(|(at, byte)| {
            if HYPHENS.contains(&at) {
                byte == b'-'
            } else {
                byte.is_ascii_hexdigit()
            }
        })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn root(files: &[(&str, &str)]) -> (tempfile::TempDir, Root) {
        let directory = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = directory.path().join(path.trim_start_matches('/'));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let root = Root::open(directory.path()).unwrap();
        (directory, root)
    }

    #[test]
    fn the_boot_id_is_the_one_of_the_root() {
        let id = "D2F7B1A6-3c34-4b39-b1c8-1f2e3d4c5b6a\n";
        let (_directory, root) = root(&[(BOOT_ID, id)]);
        assert_eq!(boot_id(&root).unwrap(), id.trim().to_lowercase());
    }

    #[test]
    fn what_is_no_boot_id_is_refused() {
        for text in [
            "",
            "d2f7b1a6",
            "d2f7b1a63c344b39b1c81f2e3d4c5b6a",
            "d2f7b1a6-3c34-4b39-b1c8-1f2e3d4c5b6ag",
            "g2f7b1a6-3c34-4b39-b1c8-1f2e3d4c5b6a",
        ] {
            let (_directory, root) = root(&[(BOOT_ID, text)]);
            let error = boot_id(&root).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{text}");
        }
        let (_directory, root) = root(&[]);
        assert_eq!(boot_id(&root).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn uptime_is_the_first_number() {
        let (_directory, of_root) = root(&[(UPTIME, "351735.47 234388.90\n")]);
        assert_eq!(uptime(&of_root).unwrap(), Duration::from_secs_f64(351_735.47));
        for text in ["", "x 1", "-1 2", "inf 1"] {
            let (_directory, of_root) = root(&[(UPTIME, text)]);
            assert!(uptime(&of_root).is_err(), "{text}");
        }
    }

    #[test]
    fn this_system_runs_and_a_directory_does_not() {
        let running = Root::open(Path::new("/")).unwrap();
        boot_id(&running).unwrap();
        assert!(uptime(&running).unwrap() > Duration::ZERO);
        let directory = tempfile::tempdir().unwrap();
        assert!(!is_running(directory.path()).unwrap());
        assert!(is_running(&directory.path().join("none")).is_err());
        // Who may not look at the first process takes its own root for the one that runs.
        let first = fs::metadata("/proc/1/root").map_or("/", |_| "/proc/1/root");
        assert!(is_running(Path::new(first)).unwrap());
    }
}
