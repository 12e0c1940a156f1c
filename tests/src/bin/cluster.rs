//! Real clusters by hand: `cluster up`, `cluster exec NODE -- COMMAND...`, `cluster down`.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use e2e::cluster::{Kept, Options, Parts, keep, wait_on};

/// How long a cluster may take to come up, with the parts built: minutes only with many nodes.
const UP: Duration = Duration::from_mins(10);

/// A real Kubernetes cluster on this machine: its control plane, and nodes with systemd, containerd and kubelet.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask cluster", bin_name = "cargo xtask cluster")]
struct Args {
    /// Which cluster, when there are several
    #[arg(long, default_value = "default", global = true)]
    name: String,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make a cluster; it stays until `down`
    Up {
        /// How many workers it begins with
        #[arg(long, default_value_t = 2)]
        nodes: u8,
        /// Without our system: only Kubernetes
        #[arg(long)]
        bare: bool,
    },
    /// End the cluster; nothing of it is left
    Down,
    /// Say what there is, and which nodes are on and ready
    Status,
    /// Print the path of the administrator's kubeconfig: KUBECONFIG=$(cargo xtask cluster kubeconfig)
    Kubeconfig,
    /// Run a command in a node
    Exec {
        /// The node
        node: String,
        /// The command; a shell by default
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, default_value = "bash")]
        command: Vec<String>,
    },
    /// Cut the power of a node
    Cut {
        /// The node
        node: String,
    },
    /// Switch a node on that is off, and wait until it is ready
    Start {
        /// The node
        node: String,
    },
    /// Print the journal of a node, or where the logs of the control plane are
    Logs {
        /// The node
        node: Option<String>,
    },
    /// Only build what clusters are made of
    #[command(hide = true)]
    Parts,
    /// Make a cluster and be the process that keeps it
    #[command(hide = true)]
    Keep {
        /// How many workers it begins with
        #[arg(long)]
        nodes: u8,
        /// Without our system
        #[arg(long)]
        bare: bool,
    },
}

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("cluster: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(Args { name, what }: Args) -> Result<ExitCode> {
    match what {
        What::Up { nodes, bare } => up(&name, nodes, bare)?,
        What::Down => Kept::attach(&name)?.down()?,
        What::Status => status(&Kept::attach(&name)?)?,
        What::Kubeconfig => println!("{}", Kept::attach(&name)?.state()?.kubeconfig.display()),
        What::Exec { node, command } => {
            let argv: Vec<&str> = command.iter().map(String::as_str).collect();
            let status = Kept::attach(&name)?.command(&node, &argv)?.status()?;
            return Ok(ExitCode::from(
                u8::try_from(status.code().unwrap_or(1)).unwrap_or(1),
            ));
        }
        What::Cut { node } => Kept::attach(&name)?.cut(&node)?,
        What::Start { node } => println!("boot {}", Kept::attach(&name)?.start(&node)?),
        What::Logs { node: Some(node) } => print!("{}", Kept::attach(&name)?.journal(&node)?),
        What::Logs { node: None } => println!("{}", Kept::attach(&name)?.state()?.logs.display()),
        What::Parts => {
            let parts = Parts::provide()?;
            println!("parts of clusters: {}", parts.runtime_dir().display());
        }
        What::Keep { nodes, bare } => {
            let options = Options::workers(nodes);
            keep(&name, &if bare { options } else { options.with_system() })?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Starts the keeper, and waits until it can be reached, which is when the cluster is up.
fn up(name: &str, nodes: u8, bare: bool) -> Result<()> {
    if let Ok(kept) = Kept::attach(name) {
        bail!("cluster {name} is up already, as {}", kept.state()?.id);
    }
    // Here, where what the build says is seen.
    Parts::provide()?;
    let begin = Instant::now();
    let path = Kept::log(name)?;
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).with_context(|| format!("could not create {}", parent.display()))?;
    }
    let mut log = File::create_new(&path)
        .or_else(|_| File::options().read(true).append(true).open(&path))
        .with_context(|| format!("could not open {}", path.display()))?;
    let from = log.seek(SeekFrom::End(0))?;
    // In a session of its own, so that the end of this terminal is not its end.
    let mut keeper = Command::new("setsid")
        .arg(std::env::current_exe()?)
        .args(["keep", "--name", name, "--nodes", &nodes.to_string()])
        .args(bare.then_some("--bare"))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("could not start the keeper of the cluster")?;
    let kept = wait_on(
        format!("cluster {name} to be up; see {}", path.display()),
        UP,
        || {
            if let Some(status) = keeper.try_wait()? {
                return Ok(Some(Err(status)));
            }
            Ok(Some(Ok(Kept::attach(name)?)))
        },
    )?;
    let kept = match kept {
        Ok(kept) => kept,
        Err(status) => {
            let mut text = String::new();
            let mut log = File::open(&path)?;
            log.seek(SeekFrom::Start(from))?;
            log.read_to_string(&mut text)?;
            bail!("the keeper of the cluster ended with {status}:\n{text}");
        }
    };
    println!("up in {:.1} s", begin.elapsed().as_secs_f64());
    status(&kept)
}

fn status(kept: &Kept) -> Result<()> {
    let state = kept.state()?;
    println!("cluster {} at {}", state.id, state.server);
    println!("export KUBECONFIG={}", state.kubeconfig.display());
    println!("kubectl: {}", state.kubectl.display());
    for (name, node) in &state.nodes {
        let power = if node.on { "on" } else { "off" };
        println!("{name}: {power}, {}, root {}", node.address, node.root.display());
    }
    let kubectl = Command::new(&state.kubectl)
        .env("KUBECONFIG", &state.kubeconfig)
        .args(["get", "nodes", "-o", "wide"])
        .status()?;
    if !kubectl.success() {
        bail!("kubectl get nodes ended with {kubectl}");
    }
    Ok(())
}
