//! A node in a temporary directory, and the daemon that keeps it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::api::{Api, DEADLINE};

pub(crate) const CURRENT: &str = "etc/machine-config-daemon/currentconfig";
/// What is logged when there is nothing to do.
const REST: &str = "\"wait\":\"Rest\"";

/// A rendered config with files of mode 0644.
pub(crate) fn config(name: &str, files: &[(&str, &str)]) -> Value {
    let files: Vec<_> = files
        .iter()
        .map(|(path, text)| {
            let source = format!("data:,{}", text.replace(' ', "%20"));
            json!({"path": path, "mode": 420, "overwrite": true, "contents": {"source": source}})
        })
        .collect();
    json!({
        "apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfig", "metadata": {"name": name},
        "spec": {
            "osImageURL": "", "baseOSExtensionsContainerImage": "", "kernelArguments": null, "extensions": null,
            "fips": false, "kernelType": "",
            "config": {"ignition": {"version": "3.4.0"}, "storage": {"files": files}},
        },
    })
}

pub(crate) fn base64(text: &str) -> String {
    let ran = Command::new("sh")
        .args(["-c", "printf %s \"$1\" | base64 -w0", "sh", text])
        .output()
        .unwrap();
    String::from_utf8(ran.stdout).unwrap()
}

/// A node's root.
pub(crate) struct Node {
    directory: tempfile::TempDir,
}

impl Node {
    /// One that has a config.
    pub(crate) fn new(config: &Value) -> Self {
        let node = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        node.write("/etc/machine-id", "0123456789abcdef0123456789abcdef\n");
        node.write("/etc/os-release", "ID=debian\nVERSION_ID=12\n");
        node.write("/etc/passwd", "root:x:0:0::/root:/bin/sh\n");
        node.write("/etc/group", "root:x:0:\n");
        fs::create_dir_all(node.at("/var/lib")).unwrap();
        fs::create_dir_all(node.at("/run")).unwrap();
        for file in config["spec"]["config"]["storage"]["files"].as_array().unwrap() {
            let text = file["contents"]["source"].as_str().unwrap();
            node.write(file["path"].as_str().unwrap(), text.trim_start_matches("data:,"));
        }
        node.write(&format!("/{CURRENT}"), &config.to_string());
        node
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.path().join(path.trim_start_matches('/'))
    }

    /// Puts a file in the place of another.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let at = self.at(path);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        let aside = at.with_file_name(".aside");
        fs::write(&aside, text).unwrap();
        fs::set_permissions(&aside, fs::Permissions::from_mode(0o644)).unwrap();
        fs::rename(aside, at).unwrap();
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap()
    }

    /// All files of the reference and the config, with contents and times.
    pub(crate) fn tree(&self) -> BTreeMap<PathBuf, (Vec<u8>, std::time::SystemTime)> {
        let mut tree = BTreeMap::new();
        let mut todo = vec![self.at("/etc")];
        while let Some(directory) = todo.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                let data = fs::symlink_metadata(&path).unwrap();
                if data.is_dir() {
                    todo.push(path);
                } else {
                    tree.insert(path.clone(), (fs::read(&path).unwrap(), data.modified().unwrap()));
                }
            }
        }
        tree
    }
}

/// `start`, and what it logs.
pub(crate) struct Daemon {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    /// How many lines were waited for.
    heard: usize,
    port: u16,
}

impl Daemon {
    pub(crate) fn start(node: &Node, api: &Api) -> Self {
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "x",
            "clusters": [{"name": "c", "cluster": {"server": api.url()}}],
            "users": [{"name": "u", "user": {"token": "t"}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        });
        node.write("/var/lib/kubelet/kubeconfig", &kubeconfig.to_string());
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let mut child = Command::new(env!("CARGO_BIN_EXE_machine-config-daemon"))
            .arg("start")
            .arg("--root-mount")
            .arg(node.path())
            .arg("--kubeconfig")
            .arg(node.at("/var/lib/kubelet/kubeconfig"))
            .args(["--node-name", "n", "--v=2", "--kubelet-healthz-enabled=false"])
            .args(["--tls-min-version", "VersionTLS12", "--payload-version=1"])
            .args(["--metrics-url", &format!("127.0.0.1:{port}")])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let (told, stderr) = (lines.clone(), child.stderr.take().unwrap());
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                told.lock().unwrap().push(line);
            }
        });
        Self {
            child,
            lines,
            heard: 0,
            port,
        }
    }

    pub(crate) fn log(&self) -> String {
        self.lines.lock().unwrap().join("\n")
    }

    /// Waits for a line that was not waited for before.
    pub(crate) fn wait_line(&mut self, part: &str) {
        let end = Instant::now() + DEADLINE;
        loop {
            let lines = self.lines.lock().unwrap().clone();
            let found = lines.iter().skip(self.heard).position(|line| line.contains(part));
            if let Some(found) = found {
                self.heard += found + 1;
                return;
            }
            assert_eq!(
                self.child.try_wait().unwrap(),
                None,
                "the daemon ended:\n{}",
                self.log()
            );
            assert!(
                Instant::now() < end,
                "waited for {part}, in vain:\n{}",
                self.log()
            );
            thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn wait_rest(&mut self) {
        self.wait_line(REST);
    }

    fn ask(&self, path: &str) -> Option<String> {
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        let mut answer = ureq::get(url).call().ok()?;
        answer.body_mut().read_to_string().ok()
    }

    pub(crate) fn metrics(&self) -> String {
        self.ask("/metrics").unwrap()
    }

    pub(crate) fn healthy(&self) -> bool {
        self.ask("/healthz").as_deref() == Some("ok\n")
    }

    /// Memory of its own, in KiB.
    pub(crate) fn resident(&self) -> String {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.trim_start_matches(|c: char| !c.is_ascii_digit())
            .trim_end_matches(" kB")
            .to_owned()
    }

    /// Asks it to end, as a pod is asked, and it does so well.
    pub(crate) fn terminate(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let end = Instant::now() + DEADLINE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < end, "it does not end:\n{}", self.log());
            thread::sleep(Duration::from_millis(10));
        };
        assert!(status.success(), "{status}:\n{}", self.log());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It has ended when the test went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("{}", self.log());
        }
    }
}
