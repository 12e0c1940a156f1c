//! The network namespace of one machine. It outlives the boots, so that what listens in it for the machine does too. A device that
//! leads elsewhere can be put into it by its name.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::program::{line, run};

/// How long a change of the network may take; it takes milliseconds.
const QUICKLY: Duration = Duration::from_secs(20);

/// Where `ip netns` keeps namespaces.
pub(crate) fn path(id: &str) -> PathBuf {
    Path::new("/run/netns").join(id)
}

/// Makes the namespace, with its loopback device up.
pub(crate) fn create(id: &str) -> Result<()> {
    ip(&["netns", "add", id])?;
    ip(&["-n", id, "link", "set", "lo", "up"])
}

/// Removes it, if it exists.
pub(crate) fn remove(id: &str) -> Result<()> {
    if path(id).exists() {
        ip(&["netns", "delete", id])?;
    }
    Ok(())
}

/// Listens in the namespace. A socket stays where it was made, so only the thread that makes it has to go there.
pub(super) fn listen(id: &str, address: SocketAddr) -> Result<TcpListener> {
    let path = path(id);
    let namespace = File::open(&path).with_context(|| format!("could not open {}", path.display()))?;
    let visitor = thread::spawn(move || -> Result<TcpListener> {
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
            .context("could not enter the network of the machine")?;
        TcpListener::bind(address).with_context(|| format!("could not listen on {address} of the machine"))
    });
    visitor
        .join()
        .map_err(|_| anyhow!("the thread that was to listen panicked"))?
}

/// Changes the network with iproute2.
pub(crate) fn ip(args: &[&str]) -> Result<()> {
    asked(args).map(drop)
}

/// As [`ip`]; the result is what it said.
pub(crate) fn asked(args: &[&str]) -> Result<String> {
    let mut command = Command::new("ip");
    let ran =
        run(command.args(args), QUICKLY).context("iproute2 is needed: `cargo xtask test` installs it")?;
    if ran.code != Some(0) {
        bail!("{} ended with {:?}: {}", line(&command), ran.code, ran.all());
    }
    Ok(ran.stdout)
}
