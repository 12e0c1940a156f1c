//! A plan for a terminal: the verdict first, then each step with what causes it, what it triggers and who decided that.

use std::fmt::Write;

use anstyle::Style;

use super::phrase;
use super::step::{Change, Step};
use super::{Disruption, Plan, Verdict};
use crate::Finding;
use crate::redact::{Diff, printable};
use crate::style::Styles;

/// The plan as text, ending in a newline. Diffs are shown when the plan carries them. Control characters of names are escaped.
#[must_use]
pub fn text(plan: &Plan, styles: &Styles) -> String {
    let mut out = Out {
        text: String::new(),
        styles,
    };
    out.line(0, Style::new(), &format!("{} → {}", plan.from, plan.to));
    let verdict = match plan.verdict() {
        Verdict::NoChange => styles.strong,
        Verdict::Change | Verdict::Disruption => styles.disruption(plan.disruption),
        Verdict::Refused => styles.alarm,
    };
    out.line(0, verdict, &phrase::headline(plan));
    if !plan.steps.is_empty() {
        out.line(1, Style::new(), &format!("drain:   {}", phrase::drain(plan)));
        out.line(
            1,
            Style::new(),
            &format!("actions: {}", phrase::actions(&plan.actions)),
        );
    }
    out.findings("Refused", styles.alarm, &plan.refusals);
    out.section("Changes", &plan.steps, Out::step);
    out.section(
        "Declared otherwise, the same on disk",
        &plan.same_on_disk,
        |out, path| {
            out.line(1, Style::new(), path);
        },
    );
    out.section(
        "Without effect on a running node",
        &plan.ignored,
        |out, ignored| {
            let names = if ignored.names.is_empty() {
                String::new()
            } else {
                format!(" ({})", ignored.names.join(", "))
            };
            out.line(
                1,
                Style::new(),
                &format!("{}{names}: {}", ignored.section, ignored.reason),
            );
        },
    );
    out.findings("Warnings", styles.caution, &plan.warnings);
    out.text
}

/// What is written so far.
struct Out<'a> {
    text: String,
    styles: &'a Styles,
}

impl Out<'_> {
    /// A line of its own style, indented by steps of two.
    fn line(&mut self, depth: usize, style: Style, line: &str) {
        self.text.push_str(&"  ".repeat(depth));
        writeln!(self.text, "{style}{}{style:#}", printable(line))
            .expect("a String takes all that is written");
    }

    /// A headed list, if there is anything in it.
    fn section<T>(&mut self, title: &str, entries: &[T], mut each: impl FnMut(&mut Self, &T)) {
        if entries.is_empty() {
            return;
        }
        self.text.push('\n');
        self.line(0, self.styles.strong, title);
        for entry in entries {
            each(self, entry);
        }
    }

    fn findings(&mut self, title: &str, style: Style, findings: &[Finding]) {
        self.section(title, findings, |out, finding| {
            out.line(1, style, &finding.to_string());
        });
    }

    fn step(&mut self, step: &Step) {
        let style = match step.change {
            Change::Added => self.styles.added,
            Change::Changed => self.styles.strong,
            Change::Removed => self.styles.removed,
        };
        self.line(
            1,
            style,
            &format!("{} {}", phrase::sign(step.change), step.target),
        );
        self.line(3, Style::new(), &phrase::aspects(step));
        let cause = phrase::cause(step);
        if !cause.is_empty() {
            self.line(3, Style::new(), &format!("from {cause}"));
        }
        let decided = format!(
            "{} ({})",
            phrase::effect(step),
            phrase::decision(&step.decided_by)
        );
        self.line(3, self.styles.disruption(step.disruption), &decided);
        if let Some(diff) = &step.diff {
            self.diff(diff);
        }
    }

    fn diff(&mut self, diff: &Diff) {
        diff_lines(diff, self.styles, |style, line| self.line(3, style, line));
    }
}

/// The lines of a diff, each with its style.
pub(crate) fn diff_lines(diff: &Diff, styles: &Styles, mut each: impl FnMut(Style, &str)) {
    let Diff::Text {
        unified,
        omitted_lines,
    } = diff
    else {
        each(styles.faint, diff.instead().unwrap_or_default());
        return;
    };
    for line in unified.lines() {
        let style = match line.as_bytes().first() {
            Some(b'+') => styles.added,
            Some(b'-') => styles.removed,
            Some(b'@' | b'\\') => styles.faint,
            _ => Style::new(),
        };
        each(style, line);
    }
    if *omitted_lines > 0 {
        each(styles.faint, &format!("… {omitted_lines} more lines"));
    }
}

impl Styles {
    /// How disturbing something is.
    fn disruption(&self, disruption: Disruption) -> Style {
        match disruption {
            Disruption::None | Disruption::Reload => self.faint,
            Disruption::Restart => self.caution,
            Disruption::Drain | Disruption::Reboot => self.alarm,
        }
    }
}
