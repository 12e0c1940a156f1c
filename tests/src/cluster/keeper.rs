//! A cluster that outlives the command that made it: a process keeps it, and does what it is asked through a socket. One request is one
//! line of JSON, and so is its answer.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Pid;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Cluster, Component, NodeSpec, Options};
use crate::machine::entering;
use crate::machine::place::{absent, cache};

/// What a keeper is asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Request {
    State,
    AddNode {
        name: String,
        labels: BTreeMap<String, String>,
    },
    RemoveNode {
        name: String,
    },
    Cut {
        name: String,
    },
    Start {
        name: String,
    },
    PowerOff {
        name: String,
    },
    Reboot {
        name: String,
    },
    Disconnect {
        name: String,
    },
    Connect {
        name: String,
    },
    LoadImage {
        archive: PathBuf,
    },
    StartComponent {
        component: Component,
    },
    KillComponent {
        component: Component,
    },
    Journal {
        name: String,
    },
    Bundle {
        dir: PathBuf,
    },
    Down,
}

/// A cluster as its keeper tells it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct State {
    /// What the cluster is called on this host.
    pub id: String,
    /// The kubeconfig file of its administrator.
    pub kubeconfig: PathBuf,
    /// The URL of the API server.
    pub server: String,
    /// kubectl of the cluster's version.
    pub kubectl: PathBuf,
    /// The logs of the control plane.
    pub logs: PathBuf,
    /// The nodes, by name.
    pub nodes: BTreeMap<String, NodeState>,
}

/// A node as its keeper tells it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NodeState {
    /// Its address.
    pub address: std::net::Ipv4Addr,
    /// Whether it is on.
    pub on: bool,
    /// The process id, on the host, of its process 1; none when it is off or between two boots.
    pub init: Option<i32>,
    /// Its root as the host sees it.
    pub root: PathBuf,
}

/// The directory of the keeper of that name.
fn home(keeper: &str) -> Result<PathBuf> {
    let valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    ensure!(
        !keeper.is_empty() && keeper.chars().all(valid),
        "{keeper:?} is no name for a cluster: lower case letters, digits and dashes"
    );
    Ok(cache()?.join("cluster/kept").join(keeper))
}

/// Where it listens.
fn socket(home: &Path) -> PathBuf {
    home.join("socket")
}

// === the keeper ===

/// Makes a cluster and keeps it until it is asked to end it. While others can reach it, it is up.
pub fn keep(keeper: &str, options: &Options) -> Result<()> {
    let home = home(keeper)?;
    fs::create_dir_all(&home).with_context(|| format!("could not create {}", home.display()))?;
    let mut cluster = Cluster::up(options)?;
    let path = socket(&home);
    absent(fs::remove_file(&path))?;
    let listener =
        UnixListener::bind(&path).with_context(|| format!("could not listen on {}", path.display()))?;
    for stream in listener.incoming() {
        let mut stream = stream.context("could not accept a request")?;
        let request = match read(&stream) {
            Ok(request) => request,
            Err(error) => {
                eprintln!("a request could not be read: {error:#}");
                continue;
            }
        };
        eprintln!("{request:?}");
        if matches!(request, Request::Down) {
            drop(cluster);
            absent(fs::remove_dir_all(&home))?;
            return answer(&mut stream, Ok(Value::Null));
        }
        let outcome = act(&mut cluster, request);
        if let Err(error) = answer(&mut stream, outcome) {
            // Who asked has gone.
            eprintln!("an answer was not taken: {error:#}");
        }
    }
    Ok(())
}

fn read(stream: &UnixStream) -> Result<Request> {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    Ok(serde_json::from_str(&line)?)
}

fn answer(stream: &mut UnixStream, outcome: Result<Value>) -> Result<()> {
    let outcome: Result<Value, String> = outcome.map_err(|error| format!("{error:#}"));
    Ok(writeln!(stream, "{}", serde_json::to_string(&outcome)?)?)
}

fn act(cluster: &mut Cluster, request: Request) -> Result<Value> {
    match request {
        Request::State => return Ok(serde_json::to_value(state(cluster))?),
        Request::AddNode { name, labels } => {
            cluster.add_node(&NodeSpec { name, labels })?;
        }
        Request::RemoveNode { name } => cluster.remove_node(&name)?,
        Request::Cut { name } => cluster.cut(&name)?,
        Request::Start { name } => return Ok(cluster.start(&name)?.into()),
        Request::PowerOff { name } => cluster.power_off(&name)?,
        Request::Reboot { name } => return Ok(cluster.reboot(&name)?.into()),
        Request::Disconnect { name } => cluster.disconnect(&name)?,
        Request::Connect { name } => cluster.connect(&name)?,
        Request::LoadImage { archive } => cluster.load_image(&archive)?,
        Request::StartComponent { component } => cluster.start_component(component)?,
        Request::KillComponent { component } => cluster.kill_component(component)?,
        Request::Journal { name } => return Ok(cluster.node(&name)?.machine().journal()?.into()),
        Request::Bundle { dir } => cluster.bundle(&dir)?,
        Request::Down => bail!("it is the keeper itself that ends the cluster"),
    }
    Ok(Value::Null)
}

fn state(cluster: &Cluster) -> State {
    let nodes = cluster.nodes.iter().map(|(name, node)| {
        let state = NodeState {
            address: node.address(),
            on: node.is_on(),
            init: node.machine().init().ok().map(|pid| pid.as_raw_nonzero().get()),
            root: node.machine().root().to_owned(),
        };
        (name.clone(), state)
    });
    State {
        id: cluster.id(),
        kubeconfig: cluster.kubeconfig.clone(),
        server: cluster.server(),
        kubectl: cluster.parts.kubernetes("kubectl"),
        logs: cluster.control_plane.logs().clone(),
        nodes: nodes.collect(),
    }
}

// === those who ask it ===

/// A cluster that a keeper has. It goes on when the value goes.
#[derive(Debug, Clone)]
pub struct Kept {
    home: PathBuf,
}

impl Kept {
    /// The cluster that the keeper of that name has; an error if there is none.
    pub fn attach(keeper: &str) -> Result<Self> {
        let kept = Self { home: home(keeper)? };
        kept.state()
            .with_context(|| format!("there is no cluster {keeper}: `cargo xtask cluster up` makes one"))?;
        Ok(kept)
    }

    /// The file that a keeper of that name writes its log to.
    pub fn log(keeper: &str) -> Result<PathBuf> {
        Ok(home(keeper)?.join("log"))
    }

    /// The cluster as it is now.
    pub fn state(&self) -> Result<State> {
        Ok(serde_json::from_value(self.ask(&Request::State)?)?)
    }

    /// As [`Cluster::add_node`].
    pub fn add_node(&self, spec: &NodeSpec) -> Result<()> {
        let NodeSpec { name, labels } = spec.clone();
        self.tell(&Request::AddNode { name, labels })
    }

    /// As [`Cluster::remove_node`].
    pub fn remove_node(&self, name: &str) -> Result<()> {
        let name = name.to_owned();
        self.tell(&Request::RemoveNode { name })
    }

    /// As [`Cluster::cut`].
    pub fn cut(&self, name: &str) -> Result<()> {
        let name = name.to_owned();
        self.tell(&Request::Cut { name })
    }

    /// As [`Cluster::start`].
    pub fn start(&self, name: &str) -> Result<String> {
        let name = name.to_owned();
        self.hear(&Request::Start { name })
    }

    /// As [`Cluster::power_off`].
    pub fn power_off(&self, name: &str) -> Result<()> {
        let name = name.to_owned();
        self.tell(&Request::PowerOff { name })
    }

    /// As [`Cluster::reboot`].
    pub fn reboot(&self, name: &str) -> Result<String> {
        let name = name.to_owned();
        self.hear(&Request::Reboot { name })
    }

    /// As [`Cluster::disconnect`].
    pub fn disconnect(&self, name: &str) -> Result<()> {
        let name = name.to_owned();
        self.tell(&Request::Disconnect { name })
    }

    /// As [`Cluster::connect`].
    pub fn connect(&self, name: &str) -> Result<()> {
        let name = name.to_owned();
        self.tell(&Request::Connect { name })
    }

    /// As [`Cluster::load_image`].
    pub fn load_image(&self, archive: &Path) -> Result<()> {
        let archive = std::path::absolute(archive)?;
        self.tell(&Request::LoadImage { archive })
    }

    /// As [`Cluster::start_component`].
    pub fn start_component(&self, component: Component) -> Result<()> {
        self.tell(&Request::StartComponent { component })
    }

    /// As [`Cluster::kill_component`].
    pub fn kill_component(&self, component: Component) -> Result<()> {
        self.tell(&Request::KillComponent { component })
    }

    /// The journal of all boots of a node.
    pub fn journal(&self, name: &str) -> Result<String> {
        let name = name.to_owned();
        self.hear(&Request::Journal { name })
    }

    /// As [`Cluster::bundle`].
    pub fn bundle(&self, dir: &Path) -> Result<()> {
        let dir = std::path::absolute(dir)?;
        self.tell(&Request::Bundle { dir })
    }

    /// The command that runs a program inside a node: see [`Machine::command`](crate::machine::Machine::command).
    pub fn command(&self, name: &str, argv: &[&str]) -> Result<Command> {
        let state = self.state()?;
        let node = state.nodes.get(name);
        let node = node.with_context(|| format!("cluster {} has no node {name}", state.id))?;
        let init = node.init.and_then(Pid::from_raw);
        let init = init.with_context(|| format!("node {name} is off, or between two boots"))?;
        Ok(entering(init, argv))
    }

    /// Ends the cluster and its keeper; nothing of it is left on return.
    pub fn down(self) -> Result<()> {
        self.tell(&Request::Down)
    }

    fn tell(&self, request: &Request) -> Result<()> {
        self.ask(request).map(drop)
    }

    fn hear(&self, request: &Request) -> Result<String> {
        let text = self.ask(request)?;
        let text = text.as_str().context("the keeper answered with no text")?;
        Ok(text.to_owned())
    }

    fn ask(&self, request: &Request) -> Result<Value> {
        let path = socket(&self.home);
        let connected = UnixStream::connect(&path);
        let mut stream = connected.with_context(|| format!("nobody listens on {}", path.display()))?;
        writeln!(stream, "{}", serde_json::to_string(request)?)?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line)?;
        let outcome: Result<Value, String> =
            serde_json::from_str(&line).context("the keeper ended before it answered; see its log")?;
        outcome.map_err(anyhow::Error::msg)
    }
}
