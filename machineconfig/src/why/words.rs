//! A cause in words.

use std::fmt;

use super::{Cause, Daemon, Kind};
use crate::pool::Unready;
use crate::standing::{Pause, Phase};

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Updated { config } => {
                write!(f, "nothing is wrong: it has {config}, as its pool wants it")
            }
            Kind::NoPool => f.write_str("nothing is wrong: no pool selects it, so nothing is done to it"),
            Kind::Unplaced(finding) | Kind::Refused(finding) => {
                write!(f, "{} {}", finding.code, finding.message)
            }
            Kind::NotRendered => f.write_str("no config is rendered for it yet"),
            Kind::Deleting => f.write_str("it is being deleted, so nothing is rolled out in it"),
            Kind::RenderDegraded { message } => f.write_str(message),
            Kind::Paused { pause, waiting, .. } => paused(pause, *waiting, f),
            Kind::ConfigMissing { config } => write!(f, "the rendered MachineConfig {config} does not exist"),
            Kind::NoController => {
                f.write_str("no controller works, so nothing is rendered, rolled out or drained")
            }
            Kind::Unassigned { .. } => {
                f.write_str("it joined without a config, and nobody has told it which to have")
            }
            Kind::DaemonSilent(daemon) => silent(daemon, f),
            Kind::Unready { why, said } => unready(why, said, f),
            Kind::DrainBlocked { text, .. } => write!(f, "its drain is blocked: {text}"),
            Kind::UnderWay(phase) => under_way(phase, f),
            Kind::Failing {
                config,
                reason,
                refused,
            } => {
                let what = if *refused {
                    "no running node can be changed to"
                } else {
                    "it could not be changed to"
                };
                write!(f, "{what} {config}: {}", or_silence(reason))
            }
            Kind::Drifted { config, reason } => {
                write!(f, "it is not as {config} says: {}", or_silence(reason))
            }
            Kind::Waits { place, reason } => waits(*place, reason, f),
            Kind::PoolUpdated { config, nodes: 0 } => {
                write!(
                    f,
                    "nothing is wrong: it has no nodes; one that joins gets {config}"
                )
            }
            Kind::PoolUpdated { config, nodes } => {
                write!(f, "nothing is wrong: all {nodes} nodes have {config}")
            }
            Kind::RollingOut { updated, nodes, next } => {
                write!(
                    f,
                    "it is being rolled out, {updated} of {nodes} nodes have it; next: {next}"
                )
            }
        }
    }
}

fn paused(pause: &Pause, waiting: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match waiting {
        0 => f.write_str("nothing is wrong: it is paused, and every node has its config")?,
        1 => f.write_str("it is paused, and 1 node waits")?,
        many => write!(f, "it is paused, and {many} nodes wait")?,
    }
    if pause.because.is_empty() {
        Ok(())
    } else {
        write!(f, ": {:?}", pause.because)
    }
}

fn or_silence(reason: &str) -> &str {
    // Lines below the first one are a diff.
    reason
        .lines()
        .next()
        .filter(|reason| !reason.is_empty())
        .unwrap_or("it does not say why")
}

fn silent(daemon: &Daemon, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str("its daemon has not taken up the config")?;
    match daemon {
        Daemon::Unknown | Daemon::Runs { .. } => Ok(()),
        Daemon::Absent => f.write_str(": no pod of machine-config-daemon is on the node"),
        Daemon::Broken { pod, reason, .. } => write!(f, ": its pod {pod} does not run ({reason})"),
    }
}

fn unready(why: &Unready, said: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match why {
        Unready::NotReady(_) => f.write_str("it is not Ready")?,
        Unready::DiskPressure(_) => f.write_str("it is short of disk space")?,
        Unready::NetworkUnavailable(_) => f.write_str("it has no network")?,
        Unready::CordonedForUpdate => f.write_str("it is cordoned for its update")?,
        Unready::CordonedByOthers => {
            f.write_str("somebody has cordoned it, and a node that takes no work is not updated")?;
        }
    }
    if said.is_empty() {
        Ok(())
    } else {
        write!(f, ": {said}")
    }
}

fn under_way(phase: &Phase, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let what = match phase {
        Phase::New => "it is being set up",
        Phase::Told => "it was told its config, and its daemon takes it up",
        Phase::AskingForDrain => "it has asked for its drain",
        Phase::Draining { .. } => "its pods are being evicted",
        Phase::Applying { .. } => "the change is being written",
        Phase::Rebooting => "it reboots",
        Phase::Releasing => "it is done, and is about to take work again",
        Phase::Updated | Phase::Waiting | Phase::Failing { .. } | Phase::Drifted { .. } => phase.words(),
    };
    f.write_str(what)?;
    match phase {
        Phase::Applying { takes } if !takes.is_empty() => write!(f, " ({takes})"),
        _ => Ok(()),
    }
}

fn waits(place: Option<usize>, reason: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match place {
        Some(1) => f.write_str("it is next")?,
        Some(place) => write!(f, "it waits for its turn, {} go before it", place - 1)?,
        None => f.write_str("it is not updated as long as it takes no work")?,
    }
    match (place, reason) {
        (None, _) | (_, "") => Ok(()),
        (Some(_), reason) => write!(f, "; {reason}"),
    }
}
