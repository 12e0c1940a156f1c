//! A root with a shell in it, where scripts stand for programs.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use daemon::host::Commands;

pub(crate) const LAUNCHER: &str = env!("CARGO_BIN_EXE_machine-config-daemon");

/// A root with a shell in it, and what that needs.
pub(crate) struct Host(tempfile::TempDir);

impl Host {
    pub(crate) fn new() -> Self {
        let host = Self(tempfile::tempdir().unwrap());
        let ldd = Command::new("ldd").arg("/bin/sh").output().unwrap();
        let ldd = String::from_utf8(ldd.stdout).unwrap();
        let libraries = ldd.split_whitespace().filter(|word| word.starts_with('/'));
        for path in libraries.chain(["/bin/sh"]) {
            let copy = host.path(path);
            fs::create_dir_all(copy.parent().unwrap()).unwrap();
            fs::copy(path, copy).unwrap();
        }
        // What a shell gives to programs in the background.
        host.write("/dev/null", "");
        host
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path.trim_start_matches('/'))
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn script(&self, path: &str, text: &str) {
        self.write(path, &format!("#!/bin/sh\n{text}"));
        fs::set_permissions(self.path(path), fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub(crate) fn commands(&self) -> Commands {
        commands(self.0.path())
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        let asked = fs::read_to_string(self.path("/asked")).unwrap_or_default();
        asked.lines().map(str::to_owned).collect()
    }
}

pub(crate) fn commands(root: &Path) -> Commands {
    Commands::new(root).unwrap().with_launcher(LAUNCHER.into())
}
