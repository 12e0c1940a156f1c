//! The conditions of a pool: their names, and how one is set (MCO controller 1.2).

use crds::condition::PlainCondition;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::Finding;

/// A condition of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Every node has the pool's config and takes work.
    Updated,
    /// Nodes are being led to the pool's config.
    Updating,
    /// A node, the rendering or an image build is at fault.
    Degraded,
    /// A node is at fault.
    NodeDegraded,
    /// The rendering is at fault: there is no new config. Written by who renders.
    RenderDegraded,
    /// The build of an OS image on the cluster is at fault. Written by who builds.
    ImageBuildDegraded,
    /// Our own: every node takes work, whatever config it has.
    Available,
}

impl Kind {
    /// Its name in the status.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Updated => "Updated",
            Kind::Updating => "Updating",
            Kind::Degraded => "Degraded",
            Kind::NodeDegraded => "NodeDegraded",
            Kind::RenderDegraded => "RenderDegraded",
            Kind::ImageBuildDegraded => "ImageBuildDegraded",
            Kind::Available => "machine-config.io/Available",
        }
    }
}

/// What is to be said of one condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Which.
    pub kind: Kind,
    /// Whether it holds.
    pub holds: bool,
    /// Why, in one word for programs; may be empty.
    pub reason: String,
    /// Why, in words for people; may be empty.
    pub message: String,
}

impl Verdict {
    /// One that holds.
    pub fn holds(kind: Kind, message: impl Into<String>) -> Self {
        Self::new(kind, true, message.into())
    }

    /// One that does not.
    pub fn fails(kind: Kind, message: impl Into<String>) -> Self {
        Self::new(kind, false, message.into())
    }

    fn new(kind: Kind, holds: bool, message: String) -> Self {
        Self {
            kind,
            holds,
            reason: String::new(),
            message,
        }
    }

    /// With a word for programs.
    #[must_use]
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = reason.into();
        self
    }

    /// Of the rendering: what refused it, or that nothing did.
    #[must_use]
    pub fn of_render(result: Result<(), &[Finding]>) -> Self {
        match result {
            Ok(()) => Self::fails(Kind::RenderDegraded, ""),
            Err(findings) => {
                let message = super::account::named(findings);
                Self::holds(Kind::RenderDegraded, format!("no config is rendered: {message}"))
            }
        }
    }
}

/// Sets a condition in place, or adds it at the end. Its transition time moves only when its status does; nothing at all is
/// changed when it says the same as before.
pub fn set(conditions: &mut Vec<PlainCondition>, verdict: Verdict, now: Timestamp) {
    let status = if verdict.holds { "True" } else { "False" };
    let type_ = verdict.kind.name();
    let fresh = PlainCondition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        last_transition_time: Some(Time(super::node::second(now))),
        reason: verdict.reason,
        message: verdict.message,
    };
    let Some(place) = conditions.iter_mut().find(|condition| condition.type_ == type_) else {
        conditions.push(fresh);
        return;
    };
    let time = if place.status == status {
        place.last_transition_time.take().or(fresh.last_transition_time)
    } else {
        fresh.last_transition_time
    };
    *place = PlainCondition {
        last_transition_time: time,
        ..fresh
    };
}

/// The condition of that kind, if it holds.
#[must_use]
pub fn holding(conditions: &[PlainCondition], kind: Kind) -> Option<&PlainCondition> {
    conditions
        .iter()
        .find(|condition| condition.type_ == kind.name() && condition.status == "True")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Code;

    #[test]
    fn the_transition_time_moves_with_the_status_alone() {
        let time = |second| Timestamp::from_second(second).unwrap();
        let mut conditions = Vec::new();
        let mut say = |verdict, second| {
            set(&mut conditions, verdict, time(second));
            let told = conditions.iter();
            told.map(|c: &PlainCondition| {
                let seconds = c.last_transition_time.as_ref().unwrap().0.as_second();
                (c.type_.clone(), c.status.clone(), c.message.clone(), seconds)
            })
            .collect::<Vec<_>>()
        };
        let updating = |status: &str, message: &str, second| {
            (
                "Updating".to_owned(),
                status.to_owned(),
                message.to_owned(),
                second,
            )
        };
        say(Verdict::holds(Kind::Updating, "a"), 1);
        assert_eq!(
            say(Verdict::holds(Kind::Updating, "a"), 2),
            [updating("True", "a", 1)]
        );
        assert_eq!(
            say(Verdict::holds(Kind::Updating, "b"), 3),
            [updating("True", "b", 1)]
        );
        assert_eq!(
            say(Verdict::fails(Kind::Updating, "b"), 4),
            [updating("False", "b", 4)]
        );
        let both = say(Verdict::fails(Kind::Updated, ""), 5);
        assert_eq!(both[0], updating("False", "b", 4));
        assert_eq!(both[1].0, "Updated");
    }

    #[test]
    fn a_refused_rendering_names_the_object_and_the_field() {
        let finding = Finding::error(
            Code::KERNEL_TYPE,
            "MachineConfig/50-x",
            "spec.kernelType",
            "\"slow\"",
        );
        let verdict = Verdict::of_render(Err(&[finding]));
        assert!(verdict.holds);
        assert!(
            verdict.message.contains("MachineConfig/50-x spec.kernelType"),
            "{}",
            verdict.message
        );
        assert!(!Verdict::of_render(Ok(())).holds);
    }
}
