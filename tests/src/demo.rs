//! The whole path of a change as a story, told by the real programs. Entry point: [`tell`].
//!
//! Every sentence that claims something is checked: the story fails where the programs behave otherwise.

mod story;

use std::fs;

use anyhow::{Context, Result, ensure};
use http::StatusCode;
use ignition::Config;
use serde_json::Value;

use crate::node;
use crate::service::Service;
pub use story::Story;
use story::{Show, say};

/// Where the first revision of the examples lies, seen from the root of the repository.
const BASE: &str = "examples/base";

/// And the second.
const SECOND: &str = "examples/revision-2";

/// What an Ignition of spec 2 asks with.
const ACCEPT_2: &str = "application/vnd.coreos.ignition+json; version=2.4.0, \
                        application/vnd.coreos.ignition+json; version=1; q=0.5, */*; q=0.1";

/// What an Ignition of spec 3.4 asks with.
const ACCEPT_3: &str = "application/vnd.coreos.ignition+json;version=3.4.0, */*;q=0.1";

/// Tells the story from its beginning to its end.
pub fn tell(story: &mut Story) -> Result<()> {
    story.title("machine-config: the whole path of a change, without a cluster");
    render(story)?;
    explain(story)?;
    let service = serve(story)?;
    fetch(story, &service)?;
    plan(story)?;
    drift(story)?;
    say("That was all of it in one temporary directory, which is gone now. Where to read on: README.md.");
    Ok(())
}

fn render(story: &mut Story) -> Result<()> {
    story.chapter("Many MachineConfigs, one rendered config per pool");
    say(
        "examples/base holds what teams wrote over the years, in Ignition 2.2 to 3.4. For each pool it is merged into \
         one config, which is named by a hash of what it says.",
    );
    for pool in ["worker", "edge"] {
        let ran = story.run(
            "mcctl",
            &["render", "--pool", pool, "-f", BASE, "-o", "name"],
            0,
            Show::All,
        )?;
        ensure!(
            ran.stdout.starts_with(&format!("rendered-{pool}-")),
            "that is no rendered name: {}",
            ran.stdout
        );
    }
    Ok(())
}

fn explain(story: &mut Story) -> Result<()> {
    story.chapter("Who won where several say something");
    say(
        "In the custom pool edge its own MachineConfigs come last, so they win over the workers', whatever their names are.",
    );
    let ran = story.run(
        "mcctl",
        &["render", "--pool", "edge", "-f", BASE, "--explain"],
        0,
        Show::All,
    )?;
    for expected in [
        "/etc/chrony.conf\n  10-edge-chrony wins over 50-worker-chrony",
        "70-worker-sysctl-network wins over 50-worker-sysctl",
    ] {
        ensure!(
            ran.stdout.contains(expected),
            "the explanation does not say {expected:?}"
        );
    }
    Ok(())
}

fn serve(story: &mut Story) -> Result<Service> {
    story.chapter("The controller writes them down, the server hands them out");
    say(
        "Both work from files, as they do while a cluster does not exist yet. The certificate is from an authority made for this run.",
    );
    let mcs = story.path("mcs");
    let manifests = ["bootstrap", "--manifest-dir", BASE, "--dest-dir"];
    let args: Vec<&str> = manifests.into_iter().chain([mcs.as_str()]).collect();
    story.run("machine-config-controller", &args, 0, Show::First(4))?;
    let service = Service::start(mcs.as_ref(), story.dir()).context("the server does not start")?;
    story.command(&format!(
        "machine-config-server bootstrap --all-pools --server-basedir {mcs} --secure-port {} --cert … --key … &",
        service.port
    ));
    Ok(service)
}

fn fetch(story: &mut Story, service: &Service) -> Result<()> {
    story.chapter("Two machines boot for the first time, one old and one new");
    say(
        "Each asks for the same pool and says which Ignition it speaks; each gets the same files in its own language.",
    );
    for (accept, version) in [(ACCEPT_2, "2.2.0"), (ACCEPT_3, "3.4.0")] {
        let answer = service.client.get("/config/worker", Some(accept))?;
        story.lines(&[
            String::new(),
            format!("> GET {}", service.url("worker")),
            format!("> Accept: {accept}"),
        ]);
        ensure!(
            answer.status == StatusCode::OK,
            "the server answered {}:\n{}",
            answer.status,
            service.log()
        );
        let body: Value = serde_json::from_slice(&answer.body).context("the body is no JSON")?;
        ensure!(
            body["ignition"]["version"] == version,
            "this is not Ignition {version}"
        );
        let files = body["storage"]["files"]
            .as_array()
            .context("the body has no files")?;
        let chrony = files.iter().find(|file| file["path"] == "/etc/chrony.conf");
        let chrony = shortened(chrony.context("no /etc/chrony.conf was served")?);
        let status = answer.status;
        story.lines(&[
            format!(
                "< {status}, {} bytes, Ignition {version}, {} files, one of them:",
                answer.body.len(),
                files.len()
            ),
            format!("< {chrony}"),
        ]);
        fs::write(story.path(&format!("worker-{version}.json")), &answer.body)?;
    }
    Ok(())
}

/// A file's entry with the beginning of its contents.
fn shortened(file: &Value) -> Value {
    let mut file = file.clone();
    if let Some(source) = file.pointer_mut("/contents/source") {
        let start: String = source.as_str().unwrap_or_default().chars().take(34).collect();
        *source = Value::String(start + "…");
    }
    file
}

fn plan(story: &mut Story) -> Result<()> {
    story.chapter("What would the second revision do to a node?");
    say(
        "A policy says which changes need what. For a worker it comes to two restarts: no drain, no reboot (exit code 2).",
    );
    let from_to = ["--from", BASE, "--to", SECOND];
    let worker = [
        "plan",
        "--pool",
        "worker",
        "--policy",
        "examples/policy.yaml",
        "--show-diff",
    ];
    let args: Vec<&str> = worker.into_iter().chain(from_to).collect();
    let ran = story.run("mcctl", &args, 2, Show::All)?;
    ensure!(
        ran.stdout.contains("+server ntp3.example.com iburst"),
        "the plan does not show the new time server"
    );
    say(
        "For edge it is a reboot, since kernel arguments change (exit code 3). What only root may read is never shown.",
    );
    let args: Vec<&str> = ["plan", "--pool", "edge", "--show-diff"]
        .into_iter()
        .chain(from_to)
        .collect();
    let ran = story.run("mcctl", &args, 3, Show::First(13))?;
    ensure!(
        !ran.stdout.contains("example-key-of-the-second-revision"),
        "the plan shows a secret"
    );
    Ok(())
}

fn drift(story: &mut Story) -> Result<()> {
    story.chapter("The node, and somebody who edits a file by hand");
    say(
        "The fetched config is written to a directory that stands for a worker's disk; this demo does that, in place of Ignition.",
    );
    let (root, config) = (story.path("root"), story.path("worker-3.4.0.json"));
    fs::create_dir(&root)?;
    let body = Config::parse(&fs::read(&config)?).context("the fetched config cannot be read")?;
    node::materialise(&body.config, root.as_ref())?;
    let verify = ["verify", "--root", root.as_str(), "--config", config.as_str()];
    story.run("machine-config-daemon", &verify, 0, Show::All)?;
    let chrony = story.path("root/etc/chrony.conf");
    story.command(&format!("sed -i s/ntp1/ntp.evil/ {chrony}"));
    let text = fs::read_to_string(&chrony)?;
    ensure!(
        text.contains("ntp1"),
        "/etc/chrony.conf is not what it should be: {text}"
    );
    fs::write(&chrony, text.replace("ntp1", "ntp.evil"))?;
    let ran = story.run("machine-config-daemon", &verify, 2, Show::All)?;
    for line in [
        "-server ntp1.example.com iburst",
        "+server ntp.evil.example.com iburst",
    ] {
        ensure!(ran.stdout.contains(line), "the drift does not show {line:?}");
    }
    Ok(())
}
