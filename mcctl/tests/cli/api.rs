//! An API server of a few lines: it lists, watches, gives and patches the objects that it is given, over HTTP, and refuses what it is told to.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::{Value, json};

pub(crate) const POOLS: &str = "/apis/machineconfiguration.openshift.io/v1/machineconfigpools";
pub(crate) const CONFIGS: &str = "/apis/machineconfiguration.openshift.io/v1/machineconfigs";
pub(crate) const REPORTS: &str = "/apis/machineconfiguration.openshift.io/v1/machineconfignodes";
pub(crate) const SETTINGS: &str = "/apis/operator.openshift.io/v1/machineconfigurations";
pub(crate) const NODES: &str = "/api/v1/nodes";
pub(crate) const PODS: &str = "/api/v1/pods";
pub(crate) const EVENTS: &str = "/api/v1/events";
pub(crate) const BUDGETS: &str = "/apis/policy/v1/poddisruptionbudgets";
pub(crate) const LEASES: &str = "/apis/coordination.k8s.io/v1/leases";
pub(crate) const SECRETS: &str = "/api/v1/secrets";

/// All that it knows, unless it is told to forget one.
const COLLECTIONS: [&str; 10] = [
    POOLS, CONFIGS, REPORTS, SETTINGS, NODES, PODS, EVENTS, BUDGETS, LEASES, SECRETS,
];
/// How often a watch that has nothing to say looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(20);

/// The server. It ends with the process.
pub(crate) struct Api {
    shared: Arc<Shared>,
    /// A directory with the kubeconfig.
    directory: tempfile::TempDir,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, BTreeMap<String, Value>>,
    /// Every change, in order: its collection and the event of a watch. Its length is the resource version.
    log: Vec<(String, Value)>,
    /// Paths that are refused, by what they begin with, with what status.
    refused: BTreeMap<String, u16>,
    /// It hangs up on everybody.
    down: bool,
    watches: usize,
    patches: Vec<(String, Value)>,
    asked: BTreeSet<String>,
}

impl Api {
    /// Begins to serve no objects.
    pub(crate) fn start() -> Self {
        let shared = Arc::new(Shared::default());
        for collection in COLLECTIONS {
            shared
                .lock()
                .objects
                .insert(collection.to_owned(), BTreeMap::new());
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let served = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let served = Arc::clone(&served);
                std::thread::spawn(move || served.serve(stream.unwrap()));
            }
        });
        let directory = tempfile::tempdir().unwrap();
        let api = Self { shared, directory };
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "here",
            "clusters": [{"name": "c", "cluster": {"server": format!("http://{address}")}}],
            "users": [{"name": "u", "user": {"token": "the-token"}}],
            "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        });
        std::fs::write(api.kubeconfig(), kubeconfig.to_string()).unwrap();
        api
    }

    /// The path of a kubeconfig that leads here.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.directory.path().join("kubeconfig")
    }

    /// A file that goes with the server.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Makes an object, or replaces it.
    pub(crate) fn put(&self, collection: &str, object: Value) {
        self.shared.lock().put(collection, object);
        self.shared.changed.notify_all();
    }

    /// Knows no such objects any more.
    pub(crate) fn forget(&self, collection: &str) {
        self.shared.lock().objects.remove(collection);
    }

    /// Refuses every path that begins so, with a status.
    pub(crate) fn refuse(&self, path: &str, status: u16) {
        self.shared.lock().refused.insert(path.to_owned(), status);
    }

    /// Hangs up on everybody, or serves again.
    pub(crate) fn set_down(&self, down: bool) {
        self.shared.lock().down = down;
        self.shared.changed.notify_all();
    }

    /// The bodies of all patches so far, with their paths.
    pub(crate) fn patches(&self) -> Vec<(String, Value)> {
        self.shared.lock().patches.clone()
    }

    /// How many watches are open.
    pub(crate) fn watches(&self) -> usize {
        self.shared.lock().watches
    }

    /// All that was asked for: the method and the path.
    pub(crate) fn asked(&self) -> BTreeSet<String> {
        self.shared.lock().asked.clone()
    }
}

impl State {
    fn put(&mut self, collection: &str, mut object: Value) {
        let version = self.log.len() + 1;
        object["metadata"]["resourceVersion"] = version.to_string().into();
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let objects = self.objects.get_mut(collection).unwrap();
        let type_ = if objects.contains_key(&name) {
            "MODIFIED"
        } else {
            "ADDED"
        };
        objects.insert(name, object.clone());
        self.log
            .push((collection.to_owned(), json!({"type": type_, "object": object})));
    }

    /// The status and the answer to a request other than a watch.
    fn answer(&mut self, method: &str, path: &str, query: &str, body: &Value) -> (u16, Value) {
        if let Some((_, status)) = self.refused.iter().find(|(prefix, _)| path.starts_with(*prefix)) {
            let reason = if *status == 403 {
                "Forbidden"
            } else {
                "Unauthorized"
            };
            let message = format!("{path} is refused");
            return (*status, failure(*status, reason, &message));
        }
        if let Some(objects) = self.objects.get(path) {
            let items: Vec<_> = objects
                .values()
                .filter(|object| selected(object, query))
                .collect();
            let version = self.log.len().to_string();
            let list = json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": version}, "items": items});
            return (200, list);
        }
        // Of objects in namespaces this knows the names alone.
        let path = &match path.split_once("/namespaces/") {
            Some((before, after)) => format!("{before}/{}", after.split_once('/').unwrap().1),
            None => path.to_owned(),
        };
        if method == "POST" {
            self.put(path, body.clone());
            return (201, body.clone());
        }
        let (collection, name) = path.rsplit_once('/').unwrap();
        let collection = collection.to_owned();
        let Some(objects) = self.objects.get(&collection) else {
            return (
                404,
                failure(
                    404,
                    "NotFound",
                    "the server could not find the requested resource",
                ),
            );
        };
        let Some(mut object) = objects.get(name).cloned() else {
            return (404, failure(404, "NotFound", &format!("{name} not found")));
        };
        if method == "PATCH" {
            self.patches.push((path.to_owned(), body.clone()));
            merge(&mut object, body);
            self.put(&collection, object.clone());
        }
        (200, object)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn serve(&self, stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut line = String::new();
        if self.lock().down || reader.read_line(&mut line).is_err() || line.is_empty() {
            return;
        }
        let mut words = line.split_whitespace().map(str::to_owned);
        let (method, target) = (words.next().unwrap(), words.next().unwrap());
        let mut length = 0;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).unwrap();
            let Some((name, value)) = header.split_once(':') else {
                break;
            };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let body = serde_json::from_slice(&body).unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        self.lock().asked.insert(format!("{method} {path}"));
        if query.contains("watch=true") && !self.lock().refused.keys().any(|prefix| path.starts_with(prefix))
        {
            self.watch(stream, path, query);
            return;
        }
        let (status, answer) = self.lock().answer(&method, path, query, &body);
        let text = answer.to_string();
        // Who has hung up has what it wanted.
        let _ = write!(
            &stream,
            "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
            text.len()
        );
    }

    fn watch(&self, mut stream: TcpStream, path: &str, query: &str) {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n";
        if stream.write_all(head.as_bytes()).is_err() {
            return;
        }
        let from = query
            .split('&')
            .find_map(|part| part.strip_prefix("resourceVersion="));
        let mut next: usize = from.and_then(|from| from.parse().ok()).unwrap_or_default();
        let mut state = self.lock();
        state.watches += 1;
        while !state.down {
            let mut events = String::new();
            for (collection, event) in &state.log[next.min(state.log.len())..] {
                if collection == path {
                    events.push_str(&event.to_string());
                    events.push('\n');
                }
            }
            next = state.log.len();
            if stream.write_all(events.as_bytes()).is_err() {
                break;
            }
            state = self.changed.wait_timeout(state, LOOK).unwrap().0;
        }
        state.watches -= 1;
    }
}

fn failure(code: u16, reason: &str, message: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message})
}

/// Whether the field and label selectors of a query choose an object; the fields are those that are asked for here.
fn selected(object: &Value, query: &str) -> bool {
    let decoded = query.replace("%3D", "=").replace("%2C", ",").replace("%2F", "/");
    let parts = |name: &str| {
        let prefix = format!("{name}=");
        let found = decoded
            .split('&')
            .find_map(|part| part.strip_prefix(&prefix).map(str::to_owned));
        found.unwrap_or_default()
    };
    let fields = parts("fieldSelector");
    let by_field = fields
        .split(',')
        .filter_map(|part| part.split_once('='))
        .all(|(field, wanted)| {
            let pointer = format!("/{}", field.replace('.', "/"));
            object.pointer(&pointer).and_then(Value::as_str) == Some(wanted)
        });
    let labels = parts("labelSelector");
    by_field
        && labels
            .split(',')
            .filter_map(|part| part.split_once('='))
            .all(|(key, wanted)| object["metadata"]["labels"][key] == wanted)
}

/// JSON merge patch.
fn merge(object: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *object = patch.clone();
        return;
    };
    for (key, value) in fields {
        if value.is_null() {
            if let Some(object) = object.as_object_mut() {
                object.remove(key);
            }
        } else {
            merge(&mut object[key], value);
        }
    }
}
