//! An API server that knows just what a daemon asks for: single objects, watches of them, and changes of them. It remembers every request.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How long anything may take on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_mins(1);

pub(crate) const NODE: &str = "/api/v1/nodes/n";
pub(crate) const MCN: &str = "/apis/machineconfiguration.openshift.io/v1/machineconfignodes/n";
pub(crate) const MACHINE_CONFIGURATION: &str = "/apis/operator.openshift.io/v1/machineconfigurations/cluster";
pub(crate) const CONTROLLER_CONFIG: &str =
    "/apis/machineconfiguration.openshift.io/v1/controllerconfigs/machine-config-controller";
const CONFIGS: &str = "/apis/machineconfiguration.openshift.io/v1/machineconfigs/";
const PREFIX: &str = "machineconfiguration.openshift.io/";

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) body: Value,
}

impl Asked {
    /// Whether it changes anything.
    pub(crate) fn writes(&self) -> bool {
        self.method != "GET"
    }
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Value>,
    version: u64,
    asked: Vec<Asked>,
    /// Counts up when it goes away: what is open then ends.
    away: u64,
    is_away: bool,
}

/// The server. It has no end: the test's process has.
#[derive(Clone)]
pub(crate) struct Api {
    state: Arc<(Mutex<State>, Condvar)>,
    address: SocketAddr,
}

impl Api {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let api = Self {
            state: Arc::default(),
            address: listener.local_addr().unwrap(),
        };
        let served = api.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let api = served.clone();
                thread::spawn(move || {
                    // Who hangs up is not waited for.
                    let _ = api.serve(&stream);
                });
            }
        });
        api
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.0.lock().unwrap()
    }

    /// Puts an object there, or another in its place.
    pub(crate) fn put(&self, path: &str, object: Value) {
        let mut state = self.state();
        state.version += 1;
        let mut object = object;
        object["metadata"]["resourceVersion"] = state.version.to_string().into();
        state.objects.insert(path.to_owned(), object);
        self.state.1.notify_all();
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        self.state().objects.get(path).cloned().unwrap_or_default()
    }

    pub(crate) fn put_config(&self, config: &Value) {
        let name = config["metadata"]["name"].as_str().unwrap();
        self.put(&format!("{CONFIGS}{name}"), config.clone());
    }

    pub(crate) fn annotation(&self, name: &str) -> String {
        let node = self.get(NODE);
        node["metadata"]["annotations"][format!("{PREFIX}{name}")]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    pub(crate) fn annotate(&self, name: &str, value: &str) {
        let mut node = self.get(NODE);
        node["metadata"]["annotations"][format!("{PREFIX}{name}")] = value.into();
        self.put(NODE, node);
    }

    /// Every request so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.state().asked.clone()
    }

    /// Requests so far that change anything.
    pub(crate) fn writes(&self) -> Vec<Asked> {
        let mut asked = self.asked();
        asked.retain(Asked::writes);
        asked
    }

    /// Answers nobody, and ends what is open; or answers again.
    pub(crate) fn set_away(&self, is_away: bool) {
        let mut state = self.state();
        state.is_away = is_away;
        state.away += 1;
        self.state.1.notify_all();
    }

    /// Waits until something holds.
    pub(crate) fn wait(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let end = Instant::now() + DEADLINE;
        while !holds(self) {
            assert!(
                Instant::now() < end,
                "waited for {what}, in vain; the node is {}, and asked was {:#?}",
                self.get(NODE),
                self.writes()
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    // === one connection ===

    fn serve(&self, stream: &TcpStream) -> io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let mut words = line.split_whitespace();
        let (Some(method), Some(target)) = (words.next(), words.next()) else {
            return Ok(());
        };
        let (method, target) = (method.to_owned(), target.to_owned());
        let mut length = 0;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header)?;
            let header = header.trim().to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        if self.state().is_away {
            return Ok(());
        }
        let body = serde_json::from_slice(&body).unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        self.state().asked.push(Asked {
            method: method.clone(),
            path: target.clone(),
            body: Value::clone(&body),
        });
        if query.contains("watch=true") {
            return self.watch(stream, path, query);
        }
        let (status, answer) = self.answer(&method, path, query, &body);
        let text = answer.to_string();
        let mut stream = stream;
        write!(
            stream,
            "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
            text.len()
        )
    }

    fn answer(&self, method: &str, path: &str, query: &str, body: &Value) -> (u16, Value) {
        let mut state = self.state();
        match method {
            "GET" if query.contains("fieldSelector") => {
                let path = single(path, query);
                let items: Vec<Value> = state.objects.get(&path).cloned().into_iter().collect();
                let version = state.version.to_string();
                (
                    200,
                    json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": version}, "items": items}),
                )
            }
            "POST" => (201, body.clone()),
            "GET" | "PATCH" => {
                let path = path.trim_end_matches("/status");
                let version = state.version + 1;
                let Some(object) = state.objects.get_mut(path) else {
                    let message = format!("{path} not found");
                    return (
                        404,
                        json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404,
                        "reason": "NotFound", "message": message}),
                    );
                };
                if method == "PATCH" {
                    merge(object, body);
                    object["metadata"]["resourceVersion"] = version.to_string().into();
                    let object = object.clone();
                    state.version = version;
                    self.state.1.notify_all();
                    return (200, object);
                }
                (200, object.clone())
            }
            _ => (
                405,
                json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 405}),
            ),
        }
    }

    /// Tells of every change of one object, until the server goes away.
    fn watch(&self, stream: &TcpStream, path: &str, query: &str) -> io::Result<()> {
        let mut stream = stream;
        let path = single(path, query);
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"
        )?;
        let from = query
            .split('&')
            .find_map(|part| part.strip_prefix("resourceVersion="));
        let mut seen = from.unwrap_or("0").to_owned();
        let away = self.state().away;
        loop {
            let object = {
                let mut state = self.state();
                loop {
                    if state.away != away {
                        return Ok(());
                    }
                    let is_newer = |object: &&Value| {
                        let version = |text: &str| text.parse::<u64>().unwrap();
                        version(object["metadata"]["resourceVersion"].as_str().unwrap()) > version(&seen)
                    };
                    if let Some(object) = state.objects.get(&path).filter(is_newer) {
                        break object.clone();
                    }
                    state = self.state.1.wait(state).unwrap();
                }
            };
            object["metadata"]["resourceVersion"]
                .as_str()
                .unwrap()
                .clone_into(&mut seen);
            writeln!(stream, "{}", json!({"type": "MODIFIED", "object": object}))?;
        }
    }
}

/// The object that a field selector names.
fn single(path: &str, query: &str) -> String {
    let name = query
        .split('&')
        .find_map(|part| part.strip_prefix("fieldSelector=metadata.name%3D"));
    format!("{path}/{}", name.unwrap_or_default())
}

/// As a merge patch does; also good enough for what a daemon applies.
fn merge(object: &mut Value, patch: &Value) {
    match patch {
        Value::Object(fields) => {
            for (key, value) in fields {
                merge(&mut object[key], value);
            }
        }
        other => *object = other.clone(),
    }
}
