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
use crate::program::Ran;
use crate::service::Service;
pub use story::Story;
use story::{Show, say};

/// Where the first revision of the examples lies, seen from the root of the repository.
const BASE: &str = "examples/base";

/// And the second.
const SECOND: &str = "examples/revision-2";

/// What changes of the examples may do to a node.
const POLICY: &str = "examples/policy.yaml";

/// Names below the directory of the story: the disk of a node, a file on it, and the two configs it gets. The first one is where
/// the server's answer puts it.
const ROOT: &str = "root";
const CHRONY: &str = "root/etc/chrony.conf";
const FIRST: &str = "root/etc/mcs-machine-config-content.json";
const NEW: &str = "revision-2.yaml";

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
    take_over(story)?;
    drift(story)?;
    second_revision(story)?;
    go_back(story)?;
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
    let worker = ["plan", "--pool", "worker", "--policy", POLICY, "--show-diff"];
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

fn take_over(story: &mut Story) -> Result<()> {
    story.chapter("The node is installed, and the daemon takes it over");
    say(
        "Ignition writes what it fetched to the disk; this demo does that in its place, to a directory. Among it is the \
         MachineConfig that a node is to keep to. The disk is so already: only the daemon's own records are written.",
    );
    let root = story.path(ROOT);
    fs::create_dir(&root)?;
    let body = Config::parse(&fs::read(story.path("worker-3.4.0.json"))?)
        .context("the fetched config cannot be read")?;
    node::materialise(&body.config, root.as_ref())?;
    let ran = apply(story, FIRST, Show::All)?;
    ensure!(
        ran.stdout.contains("No change on the node"),
        "taking a node over costs something"
    );
    verify(story, FIRST, 0)?;
    Ok(())
}

fn drift(story: &mut Story) -> Result<()> {
    story.chapter("Somebody edits a file by hand");
    let chrony = story.path(CHRONY);
    story.command(&format!("sed -i s/ntp1/ntp.evil/ {chrony}"));
    let text = fs::read_to_string(&chrony)?;
    ensure!(
        text.contains("ntp1"),
        "/etc/chrony.conf is not what it should be: {text}"
    );
    fs::write(&chrony, text.replace("ntp1", "ntp.evil"))?;
    let ran = verify(story, FIRST, 2)?;
    for line in [
        "-server ntp1.example.com iburst",
        "+server ntp.evil.example.com iburst",
    ] {
        ensure!(ran.stdout.contains(line), "the drift does not show {line:?}");
    }
    say("To mend that is to apply the same config again. The plan is about what drifted, and nothing else.");
    let ran = apply(story, FIRST, Show::All)?;
    for line in ["Restart: 1 change\n", "actions: Restart chronyd.service\n"] {
        ensure!(ran.stdout.contains(line), "the plan does not say {line:?}");
    }
    ensure!(
        fs::read_to_string(&chrony)? == text,
        "the file is not as it was before"
    );
    verify(story, FIRST, 0)?;
    Ok(())
}

fn second_revision(story: &mut Story) -> Result<()> {
    story.chapter("The second revision, without a reboot");
    say(
        "New contents are written beside each path, and when all of them are on the disk they are put in place: a crash or a \
         power cut at any instant leaves the old or the new, never a mix.",
    );
    let render = ["render", "--pool", "worker", "-f", SECOND];
    story.save("mcctl", &render, NEW)?;
    // This is no running system, so what would restart is told instead.
    let ran = apply(story, NEW, Show::Ends(4, 2))?;
    ensure!(
        ran.stdout
            .contains("not run, since this root is not that of the running system: DaemonReload, "),
        "the actions that are left are not told"
    );
    ensure!(
        !ran.all().to_lowercase().contains("reboot"),
        "a reboot is planned"
    );
    let chrony = fs::read_to_string(story.path(CHRONY))?;
    ensure!(
        chrony.contains("ntp3.example.com"),
        "the new time server is not on the disk: {chrony}"
    );
    ensure!(
        !fs::exists(story.path("root/etc/motd.d/10-maintenance"))?,
        "a file that went with the second revision is still there"
    );
    verify(story, NEW, 0)?;
    Ok(())
}

fn go_back(story: &mut Story) -> Result<()> {
    story.chapter("And back");
    say("A node keeps its last configs, and can go back to them without a cluster and without a network.");
    let root = story.path(ROOT);
    let rollback = ["rollback", "--root", root.as_str(), "--policy", POLICY];
    let ran = story.run("machine-config-daemon", &rollback, 0, Show::Ends(4, 2))?;
    ensure!(
        ran.stdout.contains("mirror-b.example.com/images is gone"),
        "the plan does not say why pods have to go"
    );
    verify(story, FIRST, 0)?;
    let status = ["status", "--root", root.as_str()];
    let ran = story.run("machine-config-daemon", &status, 0, Show::All)?;
    let first = rendered(story, FIRST)?;
    let second = rendered(story, NEW)?;
    for line in [
        format!("current config: {first}\n"),
        format!("kept to go back to: {second}\n"),
        format!("rollback: {second} -> {first}: applied\n"),
        format!("apply: {first} -> {second}: applied\n"),
        format!("apply: {first} -> {first}: applied\n"),
    ] {
        ensure!(ran.stdout.contains(&line), "the status does not say {line:?}");
    }
    ensure!(!ran.stdout.contains("a reboot is due"), "a reboot is due");
    Ok(())
}

/// Brings the node to the config in a file of the story, which has to succeed without a reboot.
fn apply(story: &Story, config: &str, show: Show) -> Result<Ran> {
    let (root, config) = (story.path(ROOT), story.path(config));
    let args = ["apply", "--root", &root, "--config", &config, "--policy", POLICY];
    story.run("machine-config-daemon", &args, 0, show)
}

/// Holds the node against the config in a file of the story.
fn verify(story: &Story, config: &str, code: i32) -> Result<Ran> {
    let (root, config) = (story.path(ROOT), story.path(config));
    let args = ["verify", "--root", &root, "--config", &config];
    story.run("machine-config-daemon", &args, code, Show::All)
}

/// The name of the rendered config in a file of the story.
fn rendered(story: &Story, file: &str) -> Result<String> {
    let text = fs::read_to_string(story.path(file))?;
    let start = text
        .find("rendered-worker-")
        .with_context(|| format!("{file} holds no rendered config"))?;
    let part_of_name = |c: &char| c.is_ascii_alphanumeric() || *c == '-';
    Ok(text[start..].chars().take_while(part_of_name).collect())
}
