//! Why a node is not where its pool wants it, in words: which node, since when, what to do.

use std::fmt;

use jiff::Timestamp;

use super::node::{NodeView, Progress, State, Unready, second};

/// At most this many nodes are named in one message: a pool may have thousands, and a message is read by people.
const MAX_NAMED: usize = 5;
/// At most this many bytes of what a node reports go into a message, since all of them are in one object.
const MAX_REPORT: usize = 1024;

/// What is to be said about one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The node's name.
    pub node: String,
    /// Where it stands with its config.
    pub progress: Progress,
    /// What its daemon is doing.
    pub state: State,
    /// The rendered config that it is to have; empty when nobody said.
    pub desired: String,
    /// What its daemon reports; at most a part of it when it is long.
    pub reason: String,
    /// Why it takes no work; empty when it does.
    pub unready: Vec<Unready>,
    /// Since when it is being updated, where that is known.
    pub since: Option<Timestamp>,
}

impl Account {
    /// Of a node on the way to `target`; `since` is when its slot was reserved.
    #[must_use]
    pub fn of(view: &NodeView<'_>, target: &str, since: Option<Timestamp>) -> Self {
        Self {
            node: view.name.to_owned(),
            progress: view.progress(target),
            state: view.state,
            desired: view.desired.to_owned(),
            reason: bounded(view.reason).to_owned(),
            unready: view.unready.clone(),
            since,
        }
    }

    /// Those that matter most come first: what failed, what is under way, what takes no work.
    fn rank(&self) -> u8 {
        match self.progress {
            Progress::Failing => 0,
            Progress::Drifted => 1,
            Progress::Updating => 2,
            Progress::New => 3,
            Progress::Outdated | Progress::Updated => 4,
        }
    }

    /// What to do about it; empty when it is on its way.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self.progress {
            Progress::Failing => {
                "Mend what the node reports, or take the MachineConfig back: the node is then led to the next config by itself."
            }
            Progress::Drifted => {
                "Put right by hand what the node reports; it counts as unavailable until then."
            }
            Progress::Updating | Progress::New | Progress::Outdated | Progress::Updated => {
                self.unready.first().map_or("", |unready| unready.remedy())
            }
        }
    }
}

impl Unready {
    /// What to do about it; empty when it passes by itself.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Unready::NotReady(_) | Unready::DiskPressure(_) | Unready::NetworkUnavailable(_) => {
                "See kubectl describe node; a node that will not come back is to be deleted."
            }
            Unready::CordonedForUpdate => "",
            Unready::CordonedByOthers => "Uncordon it when it may take work again; it is not updated before.",
        }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node, desired, .. } = self;
        match self.progress {
            Progress::Failing => write!(f, "{node} failed to go to {desired}")?,
            Progress::Drifted => write!(f, "{node} is not as {desired} says")?,
            Progress::Updating => {
                write!(f, "{node} is being updated to {desired}")?;
                if let Some(since) = self.since {
                    write!(f, " since {}", second(since))?;
                }
            }
            Progress::New => write!(f, "{node} is being set up")?,
            Progress::Outdated => write!(f, "{node} has {desired}")?,
            Progress::Updated => write!(f, "{node} is updated")?,
        }
        match self.state {
            State::Done | State::Unset | State::Unknown => {}
            State::Working | State::Degraded | State::Unreconcilable | State::Rebooting => {
                write!(f, " ({})", self.state.as_str())?;
            }
        }
        if self.state.is_degraded() && !self.reason.is_empty() {
            write!(f, ": {:?}", self.reason)?;
        }
        for (index, unready) in self.unready.iter().enumerate() {
            write!(f, "{} {unready}", if index == 0 { ", is" } else { " and" })?;
        }
        Ok(())
    }
}

/// The accounts in one sentence, the worst first, and what to do about the worst; empty when there are none.
#[must_use]
pub fn summary(accounts: &[Account]) -> String {
    let mut sorted: Vec<_> = accounts.iter().collect();
    sorted.sort_by_key(|account| account.rank());
    if sorted.is_empty() {
        return String::new();
    }
    let mut text = named(&sorted);
    text.push('.');
    let remedy = sorted
        .iter()
        .map(|account| account.remedy())
        .find(|remedy| !remedy.is_empty());
    if let Some(remedy) = remedy {
        text.push(' ');
        text.push_str(remedy);
    }
    text
}

/// The first few of a list, and how many more there are.
pub(crate) fn named<T: fmt::Display>(items: &[T]) -> String {
    let mut text = items
        .iter()
        .take(MAX_NAMED)
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ");
    if items.len() > MAX_NAMED {
        let more = format!("; and {} more", items.len() - MAX_NAMED);
        text.push_str(&more);
    }
    text
}

/// As much of a report as goes into a message.
pub(crate) fn bounded(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_REPORT)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(node: &str, progress: Progress, state: State) -> Account {
        Account {
            node: node.into(),
            progress,
            state,
            desired: "rendered-a-1".into(),
            reason: String::new(),
            unready: Vec::new(),
            since: None,
        }
    }

    #[test]
    fn an_account_names_the_node_the_time_and_the_reason() {
        let noon: Timestamp = "2026-01-01T12:00:00.75Z".parse().unwrap();
        let mut failing = account("n1", Progress::Failing, State::Degraded);
        failing.reason = "no \"space\"".into();
        let mut busy = account("n2", Progress::Updating, State::Working);
        busy.since = Some(noon);
        busy.unready = vec![Unready::NotReady(Some(noon)), Unready::CordonedForUpdate];
        let mut away = account("n3", Progress::Outdated, State::Done);
        away.unready = vec![Unready::CordonedByOthers];
        insta::assert_snapshot!(summary(&[away, busy, failing]), @r#"n1 failed to go to rendered-a-1 (Degraded): "no \"space\""; n2 is being updated to rendered-a-1 since 2026-01-01T12:00:00Z (Working), is not Ready since 2026-01-01T12:00:00Z and cordoned for its update; n3 has rendered-a-1, is cordoned, not by an update. Mend what the node reports, or take the MachineConfig back: the node is then led to the next config by itself."#);
        assert_eq!(summary(&[]), "");
    }

    #[test]
    fn long_lists_and_long_reports_are_cut() {
        let many: Vec<_> = (0..9)
            .map(|i| account(&format!("n{i}"), Progress::New, State::Unset))
            .collect();
        assert_eq!(summary(&many).matches("being set up").count(), MAX_NAMED);
        assert!(summary(&many).contains("and 4 more"));
        let report = "ä".repeat(MAX_REPORT);
        assert_eq!(bounded(&report).len(), MAX_REPORT);
        assert_eq!(bounded(&format!("a{report}")).len(), MAX_REPORT - 1);
    }
}
