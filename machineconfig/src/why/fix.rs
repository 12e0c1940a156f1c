//! What to look at because of a cause, and what to do about it.

use crate::Code;
use crate::drain::pods::{Cause as Keeps, Hindrance};
use crate::pool::Unready;

use super::{Cause, Daemon, Kind, Weight};

/// Where a daemon looks for the wish to overwrite what drifted (MCO daemon 7.5).
const FORCE_FILE: &str = "/run/machine-config-daemon-force";
/// Labels of the pods of this system; the reference calls them by `k8s-app`.
const CONTROLLER: &str = "machine-config-controller";

/// What to do about a cause.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fix {
    /// The object to look at, as `kubectl get` takes it.
    pub look: String,
    /// What to do, in a sentence; empty when there is nothing to be done.
    pub text: String,
    /// Commands that show more, or do it.
    pub commands: Vec<String>,
}

impl Fix {
    fn new(look: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            look: look.into(),
            text: text.into(),
            commands: Vec::new(),
        }
    }

    fn run(mut self, command: impl Into<String>) -> Self {
        self.commands.push(command.into());
        self
    }
}

impl Cause {
    /// What to do about it.
    #[must_use]
    pub fn fix(&self) -> Fix {
        let name = self.name();
        let own = match self.object.split_once('/') {
            Some(("Node", name)) => format!("node/{name}"),
            _ => format!("machineconfigpool/{name}"),
        };
        match &self.kind {
            Kind::Updated { .. }
            | Kind::NoPool
            | Kind::PoolUpdated { .. }
            | Kind::Deleting
            | Kind::NotRendered => Fix::new(own, ""),
            Kind::Unplaced(finding) | Kind::Refused(finding) => {
                let show = match finding.code {
                    Code::NODE_IN_POOLS => format!("kubectl get node {name} --show-labels"),
                    Code::RESERVATIONS_UNREADABLE => format!(
                        "kubectl annotate {own} machine-config.io/reservations-"
                    ),
                    _ => format!("kubectl get {own} -o yaml"),
                };
                Fix::new(own, finding.remedy.clone()).run(show)
            }
            Kind::RenderDegraded { message } => render(message, &own),
            Kind::Paused { pool, waiting, .. } => paused(pool, *waiting, own),
            Kind::ConfigMissing { config } => Fix::new(
                format!("machineconfig/{config}"),
                "The controller restores it as long as it runs and the MachineConfigs are as they were; else apply any MachineConfig, and the nodes are led to a new one.",
            )
            .run(format!("kubectl get machineconfig {config}")),
            Kind::NoController => Fix::new(
                "lease/machine-config-controller",
                "Bring the controller back.",
            )
            .run(format!("kubectl get pods -A -l app.kubernetes.io/name={CONTROLLER}"))
            .run(format!("kubectl get lease -A --field-selector metadata.name={CONTROLLER}")),
            Kind::Unassigned { config } => unassigned(config, name),
            Kind::DaemonSilent(daemon) => silent(daemon, name),
            Kind::Unready { why, .. } => unready(why, name),
            Kind::DrainBlocked { pods, .. } => blocked(pods, name),
            Kind::UnderWay(_) | Kind::Waits { .. } | Kind::RollingOut { .. } => self.passing(&own),
            Kind::Failing { refused, .. } => failing(*refused, name),
            Kind::Drifted { .. } => drifted(name),
        }
    }

    /// Of what passes by itself.
    fn passing(&self, own: &str) -> Fix {
        debug_assert_eq!(self.weight(), Weight::Passing);
        Fix::new(own, "Nothing, it passes by itself.").run("mcctl status --watch")
    }
}

fn paused(pool: &str, waiting: usize, own: String) -> Fix {
    if waiting == 0 {
        return Fix::new(own, "");
    }
    Fix::new(own, "Let it go on once it may.")
        .run(format!("mcctl unpause pool/{pool} --dry-run"))
        .run(format!("mcctl unpause pool/{pool}"))
}

/// The message names the MachineConfig at fault, by which it is looked at.
fn render(message: &str, own: &str) -> Fix {
    let named = message.split_whitespace().find_map(|word| {
        let name = word.strip_prefix("MachineConfig/")?;
        Some(name.trim_end_matches([':', ',', ';']))
    });
    let look = named.map_or_else(|| own.to_owned(), |name| format!("machineconfig/{name}"));
    let text = "Correct the object that is named, or delete it; nodes keep their config meanwhile.";
    let fix = Fix::new(look.clone(), text).run(format!("kubectl get {look} -o yaml"));
    match named {
        Some(name) => fix.run(format!("kubectl delete machineconfig {name}")),
        None => fix,
    }
}

fn unassigned(config: &str, node: &str) -> Fix {
    let look = format!("node/{node}");
    if config.is_empty() {
        return Fix::new(
            look,
            "Make a MachineConfig for its pool, so that there is a config to be told.",
        );
    }
    let text = "Tell it the config of its pool. A node that the server has started is told by that.";
    let key = crds::annotations::DESIRED_CONFIG;
    Fix::new(look, text).run(format!("kubectl annotate node {node} {key}={config}"))
}

fn silent(daemon: &Daemon, node: &str) -> Fix {
    let anywhere = format!(
        "kubectl get pods -A --field-selector spec.nodeName={node} -l app.kubernetes.io/name=machine-config-daemon"
    );
    match daemon {
        Daemon::Unknown => {
            Fix::new(format!("node/{node}"), "See whether the daemon runs on the node.").run(anywhere)
        }
        Daemon::Absent => Fix::new(
            "daemonset/machine-config-daemon",
            "Find out why the DaemonSet has no pod on the node.",
        )
        .run("kubectl get daemonset -A -l app.kubernetes.io/name=machine-config-daemon")
        .run(anywhere),
        Daemon::Broken { namespace, pod, .. } | Daemon::Runs { namespace, pod } => {
            Fix::new(format!("pod/{pod}"), "See what the daemon says.")
                .run(format!("kubectl -n {namespace} describe pod {pod}"))
                .run(format!("kubectl -n {namespace} logs {pod} --tail=20"))
        }
    }
}

fn unready(why: &Unready, node: &str) -> Fix {
    let look = format!("node/{node}");
    match why {
        Unready::NotReady(_) | Unready::DiskPressure(_) | Unready::NetworkUnavailable(_) => Fix::new(
            look,
            "Bring the node back; one that will not come back is to be deleted, so that the others can go on.",
        )
        .run(format!("kubectl describe node {node}")),
        Unready::CordonedForUpdate => Fix::new(look, ""),
        Unready::CordonedByOthers => {
            Fix::new(look, "Let it take work again when it may.").run(format!("kubectl uncordon {node}"))
        }
    }
}

fn blocked(pods: &[Hindrance], node: &str) -> Fix {
    let text = Code::DRAIN_BLOCKED.entry().map_or("", |entry| entry.remedy);
    let Some(first) = pods.first() else {
        return Fix::new(format!("node/{node}"), text)
            .run(format!(
                "kubectl get pods -A --field-selector spec.nodeName={node}"
            ))
            .run("kubectl get poddisruptionbudgets -A");
    };
    let Hindrance {
        namespace,
        pod,
        owner,
        cause,
    } = first;
    let budget = match cause {
        Keeps::Budget { names, .. } => names.first(),
        Keeps::Refused(_) | Keeps::Terminating(_) => None,
    };
    let look = budget.map_or_else(
        || format!("pod/{pod} in {namespace}"),
        |budget| format!("poddisruptionbudget/{budget} in {namespace}"),
    );
    let mut fix = Fix::new(look, text);
    if let Some(budget) = budget {
        fix = fix.run(format!("kubectl -n {namespace} get poddisruptionbudget {budget}"));
    }
    if let Some((kind, name)) = owner.split_once('/') {
        fix = fix.run(format!(
            "kubectl -n {namespace} get {} {name}",
            kind.to_lowercase()
        ));
    }
    fix.run(format!("kubectl -n {namespace} delete pod {pod}"))
}

fn failing(refused: bool, node: &str) -> Fix {
    let text = if refused {
        "Take the change back: correct or delete the MachineConfig that makes it, and the node is led to the next config by itself. Or make the node anew."
    } else {
        "Mend what it reports, it tries again by itself; or correct or delete the MachineConfig, and it is led to the next config."
    };
    Fix::new(format!("node/{node}"), text).run(format!("mcctl diff node/{node}"))
}

fn drifted(node: &str) -> Fix {
    let text = format!(
        "Put right on the node what it reports, or make the change in a MachineConfig. Or have the config applied once more, with the \
         drain and reboot that takes: touch {FORCE_FILE} on the node."
    );
    Fix::new(format!("node/{node}"), text)
        .run(format!("mcctl diff node/{node}"))
        .run(format!(
            "kubectl debug node/{node} -it --image=busybox -- chroot /host touch {FORCE_FILE}"
        ))
}
