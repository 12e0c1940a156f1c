//! The other side of the serving rows, and the load on both: nginx with a static file, and wrk.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::client::Client;
use crate::pki::Pki;
use crate::program::{Background, free_port, run, wait_for};

/// nginx serving one file.
pub(super) struct Nginx {
    /// Where it listens, on this machine.
    pub(super) port: u16,
    _process: Background,
}

impl Nginx {
    /// Starts it in the foreground, below `dir` and nowhere else; it serves `body` as `/config/worker` with the pair of `pki`.
    pub(super) fn start(dir: &Path, body: &[u8], pki: &Pki) -> Result<Self> {
        let program = found("nginx")?;
        let port = free_port()?;
        fs::create_dir_all(dir.join("html/config"))?;
        fs::write(dir.join("html/config/worker"), body)?;
        let config = dir.join("nginx.conf");
        fs::write(&config, configuration(dir, pki, port))?;
        let mut command = Command::new(program);
        command
            .arg("-p")
            .arg(dir)
            .arg("-c")
            .arg(&config)
            .arg("-e")
            .arg(dir.join("error.log"));
        let mut process = Background::start(&mut command, &dir.join("nginx.log"))?;
        let client = Client::new(&pki.ca_pem, port)?;
        wait_for("nginx", Duration::from_secs(10), || {
            process.check()?;
            Ok(client
                .get("/config/worker", None)
                .is_ok_and(|answer| answer.body == body)
                .then_some(()))
        })?;
        Ok(Self {
            port,
            _process: process,
        })
    }
}

/// As good as nginx gets on this task: a worker per core, sendfile, connections kept as long as the client likes. It logs requests, as
/// our server does.
fn configuration(dir: &Path, pki: &Pki, port: u16) -> String {
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("  {name}_temp_path {};\n", dir.join(name).display()))
        .concat();
    format!(
        "daemon off;\n{user}worker_processes auto;\nworker_rlimit_nofile 8192;\npid {dir}/nginx.pid;\n\
         events {{ worker_connections 4096; }}\n\
         http {{\n{temporary}  access_log {dir}/access.log;\n  sendfile on;\n  tcp_nopush on;\n  keepalive_requests 100000000;\n\
         \x20 default_type application/json;\n  server {{\n    listen 127.0.0.1:{port} ssl backlog=4096;\n\
         \x20   ssl_certificate {cert};\n    ssl_certificate_key {key};\n    ssl_protocols TLSv1.2 TLSv1.3;\n\
         \x20   root {dir}/html;\n  }}\n}}\n",
        // Its workers would otherwise change to a user who may not read the temporary directory.
        user = if crate::program::is_root() {
            "user root;\n"
        } else {
            ""
        },
        dir = dir.display(),
        cert = pki.cert.display(),
        key = pki.key.display(),
    )
}

/// What wrk measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Load {
    /// Answered requests per second.
    pub(super) requests: f64,
    /// 99 of 100 requests took at most this many milliseconds.
    pub(super) p99: f64,
}

/// Asks for the worker's config at one version over `connections` kept connections.
pub(super) fn wrk(port: u16, connections: u32, time: Duration) -> Result<Load> {
    let mut command = Command::new(found("wrk")?);
    command.args([
        "--threads",
        "2",
        "--latency",
        "--timeout",
        // Longer than any load: what is slow is to show in the figures.
        "30s",
        "--connections",
        &connections.to_string(),
    ]);
    command.args(["--duration", &format!("{}s", time.as_secs())]);
    command.args([
        "--header",
        "Accept: application/vnd.coreos.ignition+json;version=3.4.0, */*;q=0.1",
    ]);
    command.arg(format!("https://127.0.0.1:{port}/config/worker"));
    let ran = run(&mut command, time + Duration::from_secs(30))?;
    if ran.code != Some(0) {
        bail!("wrk ended with {:?}: {}", ran.code, ran.all());
    }
    parse(&ran.stdout).with_context(|| format!("wrk wrote\n{}", ran.stdout))
}

/// Reads wrk's report. Errors in it would make its figures worthless.
fn parse(report: &str) -> Result<Load> {
    if report.contains("Non-2xx") || report.contains("Socket errors") {
        bail!("some requests failed");
    }
    let after = |label: &str| {
        let line = report.lines().find_map(|line| line.trim().strip_prefix(label));
        line.map(str::trim)
            .with_context(|| format!("there is no {label:?}"))
    };
    Ok(Load {
        requests: after("Requests/sec:")?.parse()?,
        p99: milliseconds(after("99%")?)?,
    })
}

/// `1.50ms`, `812.00us`, `2.01s`, `1.20m`
fn milliseconds(text: &str) -> Result<f64> {
    let split = text
        .find(|c: char| c.is_ascii_alphabetic())
        .context("a time without a unit")?;
    let number: f64 = text[..split].parse()?;
    match &text[split..] {
        "us" => Ok(number / 1000.0),
        "ms" => Ok(number),
        "s" => Ok(number * 1000.0),
        "m" => Ok(number * 60_000.0),
        unit => bail!("unknown unit {unit:?}"),
    }
}

/// A program on the path.
fn found(name: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    let mut files = dirs.map(|dir: PathBuf| dir.join(name));
    files
        .find(|file| file.is_file())
        .with_context(|| format!("{name} is missing: apt-get install {name}"))
}

#[cfg(test)]
mod tests {
    use super::{Load, parse};

    const REPORT: &str = "Running 5s test @ https://127.0.0.1:1/config/worker\n  2 threads and 16 connections\n  \
                          Thread Stats   Avg      Stdev     Max   +/- Stdev\n    Latency     8.13ms    2.49ms  33.10ms   79.79%\n  \
                          Latency Distribution\n     50%    7.84ms\n     99%   16.50ms\n  9836 requests in 5.01s, 9.62GB read\n\
                          Requests/sec:   1963.48\nTransfer/sec:      1.92GB\n";

    #[test]
    fn the_report_of_wrk_is_read() {
        assert_eq!(
            parse(REPORT).unwrap(),
            Load {
                requests: 1963.48,
                p99: 16.5
            }
        );
        assert_eq!(
            parse(&REPORT.replace("16.50ms", "1.20s"))
                .unwrap()
                .p99
                .to_string(),
            "1200"
        );
    }

    #[test]
    fn failed_requests_are_no_measurement() {
        assert!(parse(&format!("{REPORT}  Non-2xx or 3xx responses: 3\n")).is_err());
        assert!(
            parse(&format!(
                "  Socket errors: connect 0, read 1, write 0, timeout 0\n{REPORT}"
            ))
            .is_err()
        );
        assert!(parse("nothing").is_err());
    }
}
