//! A directory to serve, a running server, and a client that says exactly what it is told to.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};

/// Long enough for a loaded machine; nothing waits that long when all is well.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

const BINARY: &str = env!("CARGO_BIN_EXE_machine-config-server");

pub(crate) const API: &str = "machineconfiguration.openshift.io/v1";

/// The header of a client that knows Ignition 3.4.
pub(crate) const V34: &str = "Accept: application/vnd.coreos.ignition+json;version=3.4.0, */*;q=0.1\r\n";

/// What a server serves, in a directory of its own.
pub(crate) struct Site {
    dir: tempfile::TempDir,
}

/// A server that runs. It is killed when dropped.
pub(crate) struct Server {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    /// The fields of the line that says it serves.
    serving: Value,
    /// The certificate it was started with.
    certificate: String,
}

/// A response, and whether it was whole.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: String,
    pub(crate) body: Vec<u8>,
}

pub(crate) type Tls = StreamOwned<ClientConnection, TcpStream>;

/// Waits until `condition` gives something.
pub(crate) fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < end, "in vain: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

// === impl Site ===

impl Site {
    /// Pools master and worker, each with one file, and a certificate for localhost.
    pub(crate) fn new() -> Self {
        let site = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        site.write(
            "kubeconfig",
            "apiVersion: v1\nkind: Config\nclusters:\n- name: local\n  cluster: {}\n",
        );
        let controller_config = json!({
            "apiVersion": API, "kind": "ControllerConfig", "metadata": {"name": "machine-config-controller"},
            "spec": {"kubeAPIServerServingCAData": "Q0EK"},
        });
        site.write(
            "base/controller-config/machine-config-controller.yaml",
            &controller_config.to_string(),
        );
        site.write_pool("master", 1);
        site.write_pool("worker", 1);
        site.write_pair("tls");
        site
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A pool at a revision of its rendered config.
    pub(crate) fn write_pool(&self, pool: &str, revision: u32) {
        let rendered = format!("rendered-{pool}-{revision}");
        let file = json!({
            "path": format!("/etc/{pool}"), "contents": {"source": format!("data:,revision-{revision}")},
        });
        let config = json!({"ignition": {"version": "3.5.0"}, "storage": {"files": [file]}});
        let machine_config = json!({
            "apiVersion": API, "kind": "MachineConfig", "metadata": {"name": rendered}, "spec": {"config": config},
        });
        self.write(
            &format!("base/machine-configs/{rendered}.yaml"),
            &machine_config.to_string(),
        );
        let machine_config_pool = json!({
            "apiVersion": API, "kind": "MachineConfigPool", "metadata": {"name": pool},
            "spec": {}, "status": {"configuration": {"name": rendered}},
        });
        self.write(
            &format!("base/machine-pools/{pool}.yaml"),
            &machine_config_pool.to_string(),
        );
    }

    /// A new certificate and its key, written as `<name>.crt` and `<name>.key`. The certificate as PEM.
    pub(crate) fn write_pair(&self, name: &str) -> String {
        let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        self.write(&format!("{name}.crt"), &pair.cert.pem());
        self.write(&format!("{name}.key"), &pair.signing_key.serialize_pem());
        pair.cert.pem()
    }

    fn command(&self, flags: &[&str]) -> Command {
        let path = |name| self.path(name).display().to_string();
        let defaults = [
            ("--server-basedir", path("base")),
            ("--bootstrap-kubeconfig", path("kubeconfig")),
            ("--cert", path("tls.crt")),
            ("--key", path("tls.key")),
            ("--secure-port", "0".to_owned()),
            ("--bind-address", "127.0.0.1".to_owned()),
            ("--metrics-listen-address", String::new()),
            ("--log-format", "json".to_owned()),
        ];
        let mut command = Command::new(BINARY);
        command.arg("bootstrap");
        for (flag, value) in defaults {
            let default = format!("{flag}={value}");
            let is_given = flags.iter().any(|given| given.split('=').next() == Some(flag));
            command.args((!is_given).then_some(default));
        }
        command
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Starts a server without a look at what it says.
    pub(crate) fn spawn(&self, flags: &[&str]) -> Child {
        self.command(flags).spawn().unwrap()
    }

    /// Starts a server that may have so many files open, and waits until it serves.
    pub(crate) fn serve_with_files(&self, files: u32, flags: &[&str]) -> Server {
        let command = self.command(flags);
        let mut limited = Command::new("sh");
        limited
            .args(["-c", &format!("ulimit -n {files} && exec \"$0\" \"$@\""), BINARY])
            .args(command.get_args())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        self.started(limited)
    }

    /// Starts a server and waits until it serves.
    pub(crate) fn serve(&self, flags: &[&str]) -> Server {
        self.started(self.command(flags))
    }

    fn started(&self, mut command: Command) -> Server {
        let mut child = command.spawn().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (lines, stderr) = (log.clone(), BufReader::new(child.stderr.take().unwrap()));
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                lines.lock().unwrap().push(line);
            }
        });
        let certificate = fs::read_to_string(self.path("tls.crt")).unwrap();
        let mut server = Server {
            child,
            log,
            serving: Value::Null,
            certificate,
        };
        server.serving = until("the line that says it serves", || server.line("Serving"));
        server
    }

    /// Starts a server that is to refuse to start: how it ended, and what it said.
    pub(crate) fn refuse(&self, flags: &[&str]) -> Output {
        let mut child = self.command(flags).spawn().unwrap();
        until("the end of a server that cannot start", || {
            child.try_wait().unwrap()
        });
        child.wait_with_output().unwrap()
    }
}

// === impl Server ===

impl Server {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The address of a port: `secure`, `insecure` or `metrics`.
    pub(crate) fn address(&self, port: &str) -> Option<SocketAddr> {
        Some(self.serving[port].as_str()?.parse().unwrap())
    }

    /// All lines of the log so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// The last line of the log with that message.
    pub(crate) fn line(&self, message: &str) -> Option<Value> {
        let lines = self.log().into_iter().rev();
        lines
            .filter_map(|line| serde_json::from_str(&line).ok())
            .find(|line: &Value| line["message"] == message)
    }

    pub(crate) fn connect(&self) -> TcpStream {
        self.connect_from(1, "secure")
    }

    /// A connection to a port from `127.0.0.<host>`.
    pub(crate) fn connect_from(&self, host: u8, port: &str) -> TcpStream {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let connected = runtime.block_on(async {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.bind(SocketAddr::from(([127, 0, 0, host], 0))).unwrap();
            socket.connect(self.address(port).unwrap()).await.unwrap()
        });
        let stream = connected.into_std().unwrap();
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream
    }

    /// A connection after its handshake.
    pub(crate) fn tls(&self) -> Tls {
        self.tls_from(1)
    }

    /// The same from `127.0.0.<host>`.
    pub(crate) fn tls_from(&self, host: u8) -> Tls {
        handshake(
            self.connect_from(host, "secure"),
            client_config(&self.certificate),
        )
        .unwrap()
    }

    /// One request on a connection of its own. `headers` are whole lines.
    pub(crate) fn ask(&self, method: &str, path: &str, headers: &str) -> Response {
        let mut stream = self.tls();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n"
        )
        .unwrap();
        Response::read(&mut stream, method == "HEAD").unwrap()
    }

    /// The body of a pool, as a client of Ignition 3.4 gets it.
    pub(crate) fn body(&self, pool: &str) -> (u16, String) {
        let response = self.ask("GET", &format!("/config/{pool}"), V34);
        (response.status, response.text())
    }

    /// What those who look after the server are told.
    pub(crate) fn readyz(&self) -> (u16, String) {
        let response = self.ask_metrics("/readyz");
        (response.status, response.text())
    }

    fn ask_metrics(&self, path: &str) -> Response {
        let address = self
            .address("metrics")
            .expect("the server is started with a port for metrics");
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        Response::read(&mut stream, false).unwrap()
    }

    /// The value of a metric that counts; the name with its labels.
    pub(crate) fn metric(&self, name: &str) -> Option<u64> {
        let response = self.ask_metrics("/metrics");
        assert_eq!(response.status, 200);
        assert!(
            response
                .header("Content-Type")
                .unwrap()
                .starts_with("application/openmetrics-text")
        );
        let text = response.text();
        assert!(text.ends_with("# EOF\n"));
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map(|value| value.parse().unwrap())
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Waits for the end of the process.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        until("the end of the server", || self.child.try_wait().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// === impl Response ===

impl Response {
    /// Reads one response with a `Content-Length`, or fails when the peer ends before it is whole.
    pub(crate) fn read(stream: &mut impl Read, head: bool) -> io::Result<Self> {
        let mut headers = Vec::new();
        while !headers.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            headers.push(byte[0]);
        }
        let headers = String::from_utf8(headers).unwrap();
        let status = headers.split(' ').nth(1).unwrap().parse().unwrap();
        let mut response = Self {
            status,
            headers,
            body: Vec::new(),
        };
        if !head {
            response
                .body
                .resize(response.header("Content-Length").unwrap().parse().unwrap(), 0);
            stream.read_exact(&mut response.body)?;
        }
        Ok(response)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }
}

/// A client that trusts exactly one certificate.
pub(crate) fn client_config(pinned: &str) -> ClientConfig {
    client_config_with(pinned, |_| {})
}

/// The same with other cryptography.
pub(crate) fn client_config_with(pinned: &str, change: impl FnOnce(&mut CryptoProvider)) -> ClientConfig {
    let mut provider = rustls::crypto::ring::default_provider();
    change(&mut provider);
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(pinned.as_bytes()).unwrap())
        .unwrap();
    ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// A finished handshake, or why there is none.
pub(crate) fn handshake(mut stream: TcpStream, config: ClientConfig) -> io::Result<Tls> {
    let name = ServerName::try_from("localhost").unwrap();
    let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
    while connection.is_handshaking() {
        connection.complete_io(&mut stream)?;
    }
    Ok(StreamOwned::new(connection, stream))
}
