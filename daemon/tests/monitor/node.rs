//! A node in a temporary directory, and the program that watches it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use daemon::host::{Lock, Root};
use serde_json::{Value, json};

/// How long anything may take on a busy machine.
const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) const CURRENT: &str = "etc/machine-config-daemon/currentconfig";
pub(crate) const UNIT: &str = "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n";
pub(crate) const KEYS: &str = "home/core/.ssh/authorized_keys.d/ignition";

/// A node's root.
pub(crate) struct Node {
    directory: tempfile::TempDir,
}

/// `watch`, and what it tells.
pub(crate) struct Watch {
    child: Child,
    events: Receiver<String>,
    told: Vec<Value>,
}

// === impl Node ===

impl Node {
    /// A node whose disk is as [`config`] has it.
    pub(crate) fn new() -> Self {
        let node = Self::empty();
        node.settle(&config("rendered-worker-1", "1"));
        node
    }

    /// A node with its users, and nothing else.
    pub(crate) fn empty() -> Self {
        let node = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        node.write("etc/machine-id", "0123456789abcdef0123456789abcdef\n");
        node.write(
            "etc/passwd",
            "root:x:0:0::/root:/bin/sh\ncore:x:0:0::/home/core:/bin/sh\n",
        );
        node.write("etc/group", "root:x:0:\ncore:x:0:\n");
        node
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.path().join(path.trim_start_matches('/'))
    }

    /// Writes a file by putting another one in its place.
    pub(crate) fn write(&self, path: &str, text: &str) {
        self.write_mode(path, text, 0o644);
    }

    pub(crate) fn write_mode(&self, path: &str, text: &str, mode: u32) {
        let at = self.at(path);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        let aside = at.with_file_name(".aside");
        fs::write(&aside, text).unwrap();
        fs::set_permissions(&aside, fs::Permissions::from_mode(mode)).unwrap();
        fs::rename(aside, at).unwrap();
    }

    /// Brings the disk to a config made by [`config`], the config itself last.
    pub(crate) fn settle(&self, config: &Value) {
        for file in config["spec"]["config"]["storage"]["files"].as_array().unwrap() {
            let text = file["contents"]["source"].as_str().unwrap();
            let text = text
                .strip_prefix("data:,")
                .unwrap()
                .replace("%0A", "\n")
                .replace("%20", " ");
            let mode = u32::try_from(file["mode"].as_u64().unwrap()).unwrap();
            self.write_mode(&file["path"].as_str().unwrap()[1..], &text, mode);
        }
        self.write("etc/systemd/system/a.service", UNIT);
        self.write("etc/systemd/system/a.service.d/10-a.conf", "[Service]\nNice=1\n");
        self.enable();
        self.write_mode(KEYS, "ssh-ed25519 AAAA one\n", 0o600);
        self.write(CURRENT, &config.to_string());
    }

    pub(crate) fn enable(&self) {
        let wants = self.at("etc/systemd/system/multi-user.target.wants");
        fs::create_dir_all(&wants).unwrap();
        let _ = std::os::unix::fs::symlink("../a.service", wants.join("a.service"));
    }

    /// As an apply: everything under the lock.
    pub(crate) fn apply(&self, config: &Value) {
        let root = Root::open(self.path()).unwrap();
        let _lock = Lock::acquire(&root, "apply").unwrap();
        self.settle(config);
    }

    pub(crate) fn watch(&self) -> Watch {
        self.watch_with(&[])
    }

    pub(crate) fn watch_with(&self, args: &[&str]) -> Watch {
        let mut watch = Watch::start(self.path(), args);
        watch.expect("started", |event| event["event"] == "started");
        watch
    }
}

/// A config with files in several directories, a unit and a key; `text` is in all its files.
pub(crate) fn config(name: &str, text: &str) -> Value {
    let file = |path: &str, mode: u32| {
        json!({"path": path, "mode": mode, "overwrite": true,
            "contents": {"source": format!("data:,{text}%20of%20{path}%0A")}})
    };
    json!({
        "apiVersion": "machineconfiguration.openshift.io/v1",
        "kind": "MachineConfig",
        "metadata": {"name": name},
        "spec": {"config": {
            "ignition": {"version": "3.4.0"},
            "storage": {"files": [
                file("/etc/app/one.conf", 0o644),
                file("/etc/app/two.conf", 0o644),
                file("/etc/app/deep/er/three.conf", 0o644),
                file("/etc/secret", 0o600),
                file("/srv/data", 0o644),
            ]},
            "systemd": {"units": [{"name": "a.service", "enabled": true, "contents": UNIT,
                "dropins": [{"name": "10-a.conf", "contents": "[Service]\nNice=1\n"}]}]},
            "passwd": {"users": [{"name": "core", "sshAuthorizedKeys": ["ssh-ed25519 AAAA one"]}]},
        }},
    })
}

// === impl Watch ===

impl Watch {
    /// Starts it, whatever it then tells.
    pub(crate) fn start(root: &Path, args: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_machine-config-daemon"))
            .args(["watch", "-o", "json", "--root"])
            .arg(root)
            .args(args)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, events) = channel();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self {
            child,
            events,
            told: Vec::new(),
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next event that is meant; those before it are kept in [`Watch::told`].
    pub(crate) fn expect(&mut self, what: &str, is_meant: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = match self.events.recv_timeout(left) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout) => panic!("no {what} in time, but {:#?}", self.told),
                Err(RecvTimeoutError::Disconnected) => panic!("it ended before {what}: {:#?}", self.told),
            };
            let event: Value = serde_json::from_str(&line).unwrap();
            if is_meant(&event) {
                return event;
            }
            self.told.push(event);
        }
    }

    /// The mismatches of the next drift at a path.
    pub(crate) fn drift(&mut self, path: &str) -> Vec<Value> {
        let event = self.expect(&format!("drift at {path}"), |event| {
            event["event"] == "drift" && event["path"] == path
        });
        event["drift"].as_array().unwrap().clone()
    }

    /// The one mismatch of the next drift at a path, which must be of this kind.
    pub(crate) fn one(&mut self, path: &str, kind: &str) -> Value {
        let mut drift = self.drift(path);
        assert_eq!(drift.len(), 1, "{drift:#?}");
        assert_eq!(drift[0]["kind"], kind, "{drift:#?}");
        drift.remove(0)
    }

    pub(crate) fn resolved(&mut self, path: &str) {
        self.expect(&format!("{path} resolved"), |event| {
            event["event"] == "resolved" && event["path"] == path
        });
    }

    /// Shows that everything done so far is dealt with: drift that comes last is told last.
    pub(crate) fn settled(&mut self, node: &Node) {
        let path = "etc/app/two.conf";
        let text = fs::read_to_string(node.at(path)).unwrap();
        node.write(path, "the last thing that is done\n");
        let done = |event: &Value| event["path"] == "/etc/app/two.conf" && event["event"] == "drift";
        self.expect("the mark of the end", done);
        node.write(path, &text);
        self.resolved("/etc/app/two.conf");
    }

    /// What was told and not asked for.
    pub(crate) fn told(&mut self) -> Vec<Value> {
        std::mem::take(&mut self.told)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
