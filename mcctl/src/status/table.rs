//! How a cluster stands, for a screen.

use std::fmt::Write as _;

use anstyle::Style;
use jiff::Timestamp;
use machineconfig::standing::{NodeStanding, Phase, PoolStanding, Standing};
use machineconfig::style::Styles;

use crate::age::age;
use crate::escape;
use crate::report::plural;
use crate::terminal::paint;

/// Nodes of one pool that wait for nothing but their turn and are listed, unless the pool is asked for: the next few are of interest.
const WAITING: usize = 3;
/// Characters of a text about a node; the rest of it is told by `why`.
const DETAIL: usize = 300;

/// The pools one below the other, each with its nodes that are not done.
pub(super) fn text(standing: &Standing, whole: bool, now: Timestamp, styles: &Styles) -> String {
    let mut out = String::new();
    for pool in &standing.pools {
        if !out.is_empty() {
            out.push('\n');
        }
        one(&mut out, pool, whole, now, styles);
    }
    for stray in &standing.unplaced {
        let text = format!("{} {}", stray.finding.code, stray.finding.message);
        let _ = writeln!(
            out,
            "\n{} in no pool: {}",
            paint(styles.strong, &escape::line(&format!("node/{}", stray.node))),
            paint(styles.alarm, &escape::line(&text))
        );
    }
    if out.is_empty() {
        out.push_str("no pools\n");
    }
    out
}

/// A pool in a word.
pub(super) fn word(pool: &PoolStanding) -> &'static str {
    if pool.degraded > 0 || !pool.render_degraded.is_empty() {
        "degraded"
    } else if pool.paused.is_some() {
        "paused"
    } else if pool.desired.is_empty() {
        "not rendered"
    } else if pool.updated == pool.nodes && pool.unavailable == 0 {
        "updated"
    } else {
        "updating"
    }
}

fn one(out: &mut String, pool: &PoolStanding, whole: bool, now: Timestamp, styles: &Styles) {
    let style = match word(pool) {
        "degraded" => styles.alarm,
        "updated" => styles.added,
        _ => styles.caution,
    };
    let name = paint(styles.strong, &escape::line(&format!("pool/{}", pool.pool)));
    let state = paint(style, word(pool));
    let have = match (pool.nodes, pool.desired.as_str()) {
        (0, "") => "no nodes".to_owned(),
        (0, config) => format!("no nodes, {config}"),
        (nodes, "") => plural(usize::try_from(nodes).unwrap_or_default(), "node"),
        (nodes, config) => format!("{} of {nodes} have {config}", pool.updated),
    };
    let _ = writeln!(out, "{name}  {state}  {}", escape::line(&have));
    let mut line = |style: Style, label: &str, text: &str| {
        let _ = writeln!(out, "  {label}{}", paint(style, &escape::line(text)));
    };
    if let Some(pause) = &pool.paused {
        let since = pause
            .since
            .map_or_else(String::new, |since| format!(" for {}", age(since, now)));
        let because = if pause.because.is_empty() {
            String::new()
        } else {
            format!(": {:?}", pause.because)
        };
        line(styles.caution, "", &format!("paused{since}{because}"));
    }
    if !pool.render_degraded.is_empty() {
        line(styles.alarm, "", &pool.render_degraded);
    }
    if pool.unavailable > 0 || pool.degraded > 0 {
        let text = format!(
            "{} unavailable, at most {} may be; {} degraded",
            pool.unavailable, pool.next.limit, pool.degraded
        );
        line(Style::new(), "", &text);
    }
    nodes(out, pool, whole, now, styles);
    if pool.updated < pool.nodes {
        let _ = writeln!(out, "  next: {}", escape::line(&pool.next.words()));
    }
}

fn nodes(out: &mut String, pool: &PoolStanding, whole: bool, now: Timestamp, styles: &Styles) {
    let waits = |member: &&NodeStanding| member.phase == Phase::Waiting && member.unready.is_empty();
    let (mut waiting, busy): (Vec<_>, Vec<_>) = pool.members.iter().partition(waits);
    waiting.sort_by_key(|member| member.place);
    let shown = if whole { waiting.len() } else { WAITING };
    let rows: Vec<_> = busy
        .into_iter()
        .chain(waiting.iter().copied().take(shown))
        .map(|member| row(member, now))
        .collect();
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or_default()
    };
    let (name, state, since) = (width(0), width(1), width(2));
    for row in &rows {
        let [node, phase, age, detail] = row;
        let style = match phase.as_str() {
            "failed" | "refused" | "drifted" => styles.alarm,
            _ => Style::new(),
        };
        let line = format!(
            "  {node:name$}  {}  {age:>since$}  {detail}",
            paint(style, &format!("{phase:state$}"))
        );
        let _ = writeln!(out, "{}", line.trim_end());
    }
    if waiting.len() > shown {
        let _ = writeln!(out, "  … and {} more wait", waiting.len() - shown);
    }
}

fn row(member: &NodeStanding, now: Timestamp) -> [String; 4] {
    let since = member.since.filter(|_| member.phase != Phase::Updated);
    [
        escape::line(&member.node).into_owned(),
        member.phase.words().to_owned(),
        since.map_or_else(String::new, |since| age(since, now)),
        escape::line(&detail(member)).into_owned(),
    ]
}

/// What is to be said of a node besides its phase.
pub(super) fn detail(member: &NodeStanding) -> String {
    let mut parts = Vec::new();
    // Diffs are shown by `diff`.
    let said = member.phase.detail().lines().next().unwrap_or_default();
    if !said.is_empty() {
        parts.push(cut(said));
    }
    if let Some(place) = member.place.filter(|_| member.phase == Phase::Waiting) {
        parts.push(if place == 1 {
            "next".to_owned()
        } else {
            format!("after {}", plural(place - 1, "other"))
        });
    }
    if !member.unready.is_empty() {
        parts.push(member.unready.join(" and "));
    }
    parts.join("; ")
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(DETAIL) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use machineconfig::standing::{Next, Turn};

    use super::*;

    pub(crate) fn member(node: &str, phase: Phase, place: Option<usize>) -> NodeStanding {
        NodeStanding {
            node: node.into(),
            current: "rendered-worker-a".into(),
            desired: "rendered-worker-b".into(),
            phase,
            since: Some("2026-01-01T11:56:30Z".parse().unwrap()),
            unready: Vec::new(),
            place,
        }
    }

    pub(crate) fn pool(members: Vec<NodeStanding>) -> PoolStanding {
        PoolStanding {
            pool: "worker".into(),
            desired: "rendered-worker-b".into(),
            current: "rendered-worker-a".into(),
            paused: None,
            nodes: 6,
            updated: 1,
            ready: 1,
            unavailable: 1,
            degraded: 0,
            render_degraded: String::new(),
            members,
            next: Turn {
                step: Next::Waits {
                    reasons: vec!["w0 is away".into()],
                },
                queue: vec!["w1".into()],
                limit: 1,
                busy: vec!["w0".into()],
            },
        }
    }

    #[test]
    fn a_pool_is_a_headline_its_nodes_and_what_comes_next() {
        let held_up = "pod shop/web-0 is kept by PodDisruptionBudget web".to_owned();
        let mut members = vec![member("w0", Phase::Draining { held_up }, None)];
        members.extend((1..5).map(|place| {
            let mut waits = member(&format!("w{place}"), Phase::Waiting, Some(place));
            waits.since = None;
            waits
        }));
        let mut away = member("w5", Phase::Waiting, None);
        away.since = None;
        away.unready = vec!["cordoned, not by an update".into()];
        members.push(away);
        let standing = Standing {
            pools: vec![pool(members)],
            unplaced: Vec::new(),
        };
        let now = "2026-01-01T12:00:00Z".parse().unwrap();
        insta::assert_snapshot!(text(&standing, false, now, &Styles::plain()), @r"
        pool/worker  updating  1 of 6 have rendered-worker-b
          1 unavailable, at most 1 may be; 0 degraded
          w0  draining  3m30s  pod shop/web-0 is kept by PodDisruptionBudget web
          w5  waiting          cordoned, not by an update
          w1  waiting          next
          w2  waiting          after 1 other
          w3  waiting          after 2 others
          … and 1 more wait
          next: w1, but w0 is away
        ");
        let whole = text(&standing, true, now, &Styles::plain());
        assert!(whole.contains("w4  waiting          after 3 others"), "{whole}");
    }

    #[test]
    fn nothing_that_a_node_says_acts_on_the_terminal() {
        let reason = "\u{1b}[2Jgone".to_owned();
        let standing = Standing {
            pools: vec![pool(vec![member("w0", Phase::Drifted { reason }, None)])],
            unplaced: Vec::new(),
        };
        let now = "2026-01-01T12:00:00Z".parse().unwrap();
        let shown = text(&standing, false, now, &Styles::plain());
        assert!(!shown.contains('\u{1b}') && shown.contains("gone"), "{shown}");
    }
}
