//! Looks after the kubelet (MCO daemon 11.3). Other than by the reference, an answer that is not `ok` counts as none.

use std::sync::Arc;
use std::time::Duration;

use super::metrics::Metrics;

/// How often it is asked, and how long it may take.
const EVERY: Duration = Duration::from_secs(30);
/// Longest answer that is read, in bytes; the right one has two.
const ANSWER: u64 = 1024;

/// Asks at `endpoint` for as long as the process lives.
pub(crate) async fn look_after(endpoint: String, metrics: Arc<Metrics>) {
    let config = ureq::Agent::config_builder().timeout_global(Some(EVERY));
    let agent = ureq::Agent::from(config.build());
    let mut failures = 0;
    loop {
        tokio::time::sleep(EVERY).await;
        let (agent, endpoint) = (agent.clone(), endpoint.clone());
        let asked = tokio::task::spawn_blocking(move || ask(&agent, &endpoint)).await;
        match asked {
            Ok(Ok(())) => failures = 0,
            Ok(Err(error)) => {
                failures += 1;
                tracing::warn!(%error, failures, "The kubelet is not well");
            }
            // The process ends.
            Err(_) => return,
        }
        metrics.kubelet.set(failures);
    }
}

fn ask(agent: &ureq::Agent, endpoint: &str) -> Result<(), String> {
    let mut answer = agent.get(endpoint).call().map_err(|error| error.to_string())?;
    let text = answer
        .body_mut()
        .with_config()
        .limit(ANSWER)
        .read_to_string()
        .map_err(|error| error.to_string())?;
    if text.trim() == "ok" {
        Ok(())
    } else {
        Err("its answer is not ok".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    #[test]
    fn a_kubelet_is_well_when_it_says_so() {
        for (answer, is_well) in [
            ("200 OK\r\nContent-Length: 2\r\n\r\nok", true),
            ("200 OK\r\nContent-Length: 2\r\n\r\nno", false),
            ("500 No\r\nContent-Length: 0\r\n\r\n", false),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let endpoint = format!("http://{}/healthz", listener.local_addr().unwrap());
            let answers = thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let _ = stream.read(&mut [0; 1024]).unwrap();
                write!(stream, "HTTP/1.1 {answer}").unwrap();
            });
            let agent = ureq::Agent::new_with_defaults();
            assert_eq!(ask(&agent, &endpoint).is_ok(), is_well, "{answer}");
            answers.join().unwrap();
        }
        let agent = ureq::Agent::new_with_defaults();
        assert!(
            ask(&agent, "http://127.0.0.1:1/healthz").is_err(),
            "nobody listens"
        );
    }
}
