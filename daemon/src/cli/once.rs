//! `start`, `start --once-from` and `firstboot-complete-machineconfig`: a node without a cluster, or before it (MCO daemon 1.6, 1.7).

use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crds::MachineConfigSpec;
use machineconfig::finding::Located;
use machineconfig::{Code, Finding, Policy};

use super::answer::{Form, refuse, unplaced};
use super::{Exit, apply, fetch, message};
use crate::cluster::{self, flags::Flags};
use crate::converge::{Ending, Report, Wanted, converge};
use crate::host::command::Output;
use crate::host::os::{Os, OsError};
use crate::journal::Purpose;
use crate::node::Node;
use crate::source::{self, Source};
use crate::{reboot, store};

/// Where the server lays the config of the first boot.
const ENCAPSULATED: &str = "/etc/ignition-machine-config-encapsulated.json";
/// What it is called when it is done; that disables the unit that runs this (MCO daemon 1.6).
const DONE: &str = "/etc/ignition-machine-config-encapsulated.json.bak";
/// Between attempts at a first boot, which does not give up while waiting can help: nobody is there yet who could.
const RETRY: Duration = Duration::from_mins(1);

/// Keep this node at its config
#[derive(Debug, clap::Args)]
pub(crate) struct Start {
    /// Ask no cluster: bring the node to this config once and end; a rendered MachineConfig or an Ignition config, in a file or at an http(s) URL
    #[arg(long, value_name = "FILE|URL")]
    once_from: Option<String>,
    /// With --once-from: certificate authority to trust when the config is fetched, as PEM; without it those of this system
    #[arg(long, value_name = "FILE", requires = "once_from")]
    ca: Option<PathBuf>,
    /// Root of the node
    #[arg(long, value_name = "DIR", default_value = "/rootfs")]
    root_mount: PathBuf,
    /// With --once-from: leave a reboot that the plan needs to somebody else
    #[arg(long)]
    skip_reboot: bool,
    #[command(flatten)]
    flags: Flags,
}

/// Complete the first boot of a machine that a server has provisioned
#[derive(Debug, clap::Args)]
pub(crate) struct FirstBoot {
    /// Root of the node
    #[arg(long, value_name = "DIR", default_value = "/rootfs")]
    root_mount: PathBuf,
    /// Keep the names of network interfaces across an upgrade; there is nothing to do on hosts without nmstatectl
    #[arg(long)]
    persist_nics: bool,
    /// The config that the server has laid down
    #[arg(long, value_name = "FILE", default_value = ENCAPSULATED)]
    machineconfig_file: PathBuf,
}

impl Start {
    pub(crate) fn run(self, verbosity: u8) -> anyhow::Result<Exit> {
        let Self {
            once_from,
            ca,
            root_mount,
            skip_reboot,
            flags,
        } = self;
        let Some(once_from) = once_from else {
            return cluster::run(&root_mount, flags, verbosity);
        };
        let source = if fetch::is_url(&once_from) {
            fetch::read(&once_from, ca.as_deref())
        } else {
            source::read(once_from.as_ref())
        };
        let done = source
            .and_then(|source| source.expectation().map(|_| source))
            .and_then(|source| once(&root_mount, source).map_err(|findings| unplaced(findings).collect()));
        let (node, report) = match done {
            Ok(done) => done,
            Err(findings) => return apply::refused(findings, Form::Text),
        };
        let exit = apply::show(&report, Form::Text)?;
        // A root that does not run boots with it anyway.
        if exit == Exit::RebootDue && !skip_reboot && node.is_running() {
            return Ok(match reboot::request(&node) {
                Ok(()) => Exit::Done,
                Err(finding) => refuse(unplaced([finding]), Exit::Failed),
            });
        }
        // As the reference: that a reboot is left to others is what was asked for.
        Ok(if exit == Exit::RebootDue { Exit::Done } else { exit })
    }
}

fn once(root: &Path, source: Source) -> Result<(Node, Report), Vec<Finding>> {
    let node = Node::open(root).map_err(|finding| vec![finding])?;
    let report = {
        let lock = node.lock("once-from").map_err(|finding| vec![finding])?;
        let policy = Policy::default();
        let wanted = Wanted {
            config: source.config,
            policy: &policy,
            purpose: Purpose::Apply,
            diffs: None,
            only: None,
        };
        let report = converge(&node, &lock, wanted)?;
        if report.ending == Ending::Applied || report.ending == Ending::Unchanged {
            // The config of a first boot is done with once another is on the node (MCO daemon 1.7).
            forget(&node)?;
        }
        report
    };
    Ok((node, report))
}

fn forget(node: &Node) -> Result<(), Vec<Finding>> {
    store::remove(&node.root, ENCAPSULATED).map_err(|failed| {
        vec![Finding::error(
            Code::RECORD_FAILED,
            ENCAPSULATED,
            "",
            crate::apply::chain(&failed),
        )]
    })
}

impl FirstBoot {
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        let Self {
            root_mount,
            persist_nics,
            machineconfig_file,
        } = self;
        if persist_nics {
            return Ok(nics(&root_mount));
        }
        loop {
            match complete(&root_mount, &machineconfig_file) {
                Ok(exit) => return Ok(exit),
                Err(Obstacle::Lasting(finding)) => return Ok(refuse(unplaced([*finding]), Exit::Failed)),
                // The reference's unit relies on it: the machine waits until it can be done, however long that takes.
                Err(Obstacle::Passing(findings)) => refuse(findings, Exit::Failed),
            };
            message("trying again in a minute\n");
            thread::sleep(RETRY);
        }
    }
}

/// Names of interfaces are kept by nmstatectl, where the host's image has it.
fn nics(root: &Path) -> Exit {
    let node = match Node::open_to_look(root) {
        Ok(node) => node,
        Err(finding) => return refuse(unplaced([finding]), Exit::Failed),
    };
    if node
        .root
        .is_there(Path::new("/usr/bin/nmstatectl"))
        .unwrap_or(false)
    {
        let ran = node
            .commands
            .run("nmstatectl", ["persist-nic-names"])
            .and_then(Output::success);
        if let Err(error) = ran {
            let finding = Finding::error(
                Code::NODE_UNREADABLE,
                "nmstatectl",
                "",
                crate::apply::chain(&error),
            );
            return refuse(unplaced([finding]), Exit::Failed);
        }
    }
    Exit::Done
}

/// Why a first boot is not complete.
enum Obstacle {
    /// It may go by itself or be taken away: a node that is not up yet, somebody else at work, a config that is mended, an operating
    /// system that is brought by other means.
    Passing(Vec<Located>),
    /// It stays: Ignition has written its files, and nobody will write another.
    Lasting(Box<Finding>),
}

impl From<Vec<Located>> for Obstacle {
    fn from(findings: Vec<Located>) -> Self {
        Obstacle::Passing(findings)
    }
}

/// The config of the first boot has no files: Ignition has written them. What is left is the operating system (MCO daemon 1.6).
fn complete(root: &Path, file: &Path) -> Result<Exit, Obstacle> {
    let tell = |finding| unplaced([finding]).collect::<Vec<_>>();
    let node = Node::open(root).map_err(tell)?;
    if !node.root.is_there(file).unwrap_or(true) {
        return Err(Obstacle::Lasting(Box::new(no_config(file))));
    }
    let path = node.path.join(file.strip_prefix("/").unwrap_or(file));
    let source = source::read(&path)?;
    source.expectation()?;
    let _lock = node.lock("firstboot").map_err(tell)?;
    let missing = missing(&node, &source.config.spec).map_err(|error| {
        let message = crate::apply::chain(&error);
        tell(Finding::error(
            error.code(),
            node.path.to_string_lossy(),
            "",
            message,
        ))
    })?;
    if !missing.is_empty() {
        let message = format!("wants {}, which this version does not change", missing.join(", "));
        let finding = Finding::error(
            Code::OS_CHANGE,
            format!("MachineConfig/{}", source.name),
            "",
            message,
        );
        return Err(tell(finding).into());
    }
    // Its name says that this is done; nothing is left to reboot for.
    let failed = |failed: crate::host::write::Failed| {
        tell(Finding::error(
            Code::RECORD_FAILED,
            ENCAPSULATED,
            "",
            crate::apply::chain(&failed),
        ))
    };
    if file == Path::new(ENCAPSULATED) {
        crate::host::Writer::new(&node.root)
            .rename(
                Path::new(ENCAPSULATED),
                Path::new(DONE),
                crate::host::Rename::Over,
            )
            .map_err(failed)?;
    }
    message("the first boot is complete, no reboot is needed\n");
    Ok(Exit::Done)
}

fn no_config(file: &Path) -> Finding {
    let message = format!(
        "is not there: no server has laid down a config for the first boot, or the first boot is complete (then there is {DONE})"
    );
    Finding::error(Code::UNREADABLE, file.to_string_lossy(), "", message)
        .remedy("Provision the machine by a server, or name the file with --machineconfig-file.")
}

/// What a config wants of the operating system and the node does not have, in words.
fn missing(node: &Node, spec: &MachineConfigSpec) -> Result<Vec<String>, OsError> {
    let mut missing = Vec::new();
    let wanted = spec.kernel_arguments.iter().flatten();
    let wanted: Vec<&str> = wanted.flat_map(|entry| entry.split_whitespace()).collect();
    if !wanted.is_empty() {
        let active = node.os.kernel_arguments(&node.commands)?;
        let absent = wanted
            .into_iter()
            .filter(|argument| !active.iter().any(|active| active == argument));
        missing.extend(absent.map(|argument| format!("the kernel argument {argument}")));
    }
    let booted = node.os.images(&node.commands)?.booted.map(|booted| booted.image);
    if node.os != Os::None && !spec.os_image_url.is_empty() && booted.as_deref() != Some(&spec.os_image_url) {
        missing.push(format!("the OS image {}", spec.os_image_url));
    }
    if !matches!(spec.kernel_type.as_str(), "" | "default") {
        missing.push(format!("the kernel type {}", spec.kernel_type));
    }
    missing.extend(
        spec.extensions
            .iter()
            .flatten()
            .map(|name| format!("the extension {name}")),
    );
    Ok(missing)
}
