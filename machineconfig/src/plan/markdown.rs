//! A plan as a comment on a pull request: a table, and the diffs folded away.
//!
//! Whatever comes from a config is escaped to character references, so that no name of a file, unit or registry can end a table cell,
//! open a tag, mention a person or link an issue.

use std::fmt::Write;

use super::{Plan, Step, phrase};
use crate::Finding;
use crate::redact::{Diff, printable};

/// Bytes a comment may have: GitHub takes 65,536 characters.
const MAX_BYTES: usize = 60_000;
/// Of those, bytes that the rows of the table may have; the rest is for diffs.
const MAX_TABLE: usize = 30_000;
/// Characters of one cell: a single long value must not push every other change out of sight.
const MAX_CELL: usize = 300;
/// Bytes that the names of the changes without a row may have.
const MAX_UNLISTED: usize = 8_000;

/// Punctuation that means nothing within a line of text.
const HARMLESS: &str = "/.,-:;=%+()'\"?!";

/// The plan as GitHub-flavoured Markdown, ending in a newline. Rows and diffs that would make it longer than a comment may be are
/// counted instead.
#[must_use]
pub fn markdown(plan: &Plan) -> String {
    let mut out = format!(
        "### {}\n\n{} → {}\n",
        phrase::headline(plan),
        code(&plan.from),
        code(&plan.to)
    );
    if !plan.steps.is_empty() {
        push(
            &mut out,
            format_args!("\n- **Drain:** {}\n", prose(&phrase::drain(plan))),
        );
        push(
            &mut out,
            format_args!("- **Actions:** {}\n", prose(&phrase::actions(&plan.actions))),
        );
    }
    findings(&mut out, "Refused", &plan.refusals);
    table(&mut out, &plan.steps);
    for (title, lines) in [
        ("Declared otherwise, the same on disk", same(plan)),
        ("Without effect on a running node", ignored(plan)),
    ] {
        bullets(&mut out, title, &lines);
    }
    findings(&mut out, "Warnings", &plan.warnings);
    diffs(&mut out, &plan.steps);
    out
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a String takes all that is written");
}

/// A row for every change that fits. What has none is named above the table: nobody may approve what they were not shown.
fn table(out: &mut String, steps: &[Step]) {
    if steps.is_empty() {
        return;
    }
    let (mut rows, mut unlisted) = (String::new(), Vec::new());
    for step in steps {
        let row = row(step);
        if rows.len() + row.len() > MAX_TABLE {
            unlisted.push(step);
        } else {
            rows.push_str(&row);
        }
    }
    without_row(out, &unlisted);
    out.push_str("\n| | What | Difference | MachineConfig | Actions | Decided by | Disruption |\n");
    out.push_str("|---|---|---|---|---|---|---|\n");
    out.push_str(&rows);
}

/// The changes without a row, by name as far as they fit.
fn without_row(out: &mut String, steps: &[&Step]) {
    if steps.is_empty() {
        return;
    }
    let are = if steps.len() == 1 {
        "change is"
    } else {
        "changes are"
    };
    push(
        out,
        format_args!(
            "\n**{} {are} not in the table**, which is too long for a comment:\n\n",
            steps.len()
        ),
    );
    let end = out.len() + MAX_UNLISTED;
    for (i, step) in steps.iter().enumerate() {
        let line = format!(
            "- {} {}\n",
            phrase::sign(step.change),
            code(&short(&step.target.to_string()))
        );
        if out.len() + line.len() > end {
            let more = steps.len() - i;
            push(
                out,
                format_args!("- and {more} that are not even named here: read the plan as text\n"),
            );
            return;
        }
        out.push_str(&line);
    }
}

fn row(step: &Step) -> String {
    format!(
        "| {} | {} | {} | {} | {} | {} | {} |\n",
        phrase::sign(step.change),
        code(&short(&step.target.to_string())),
        prose(&short(&phrase::aspects(step))),
        prose(&short(&phrase::cause(step))),
        prose(&short(&phrase::effect(step))),
        prose(&short(&phrase::decision(&step.decided_by))),
        step.disruption
    )
}

/// The text of a cell, cut where it is longer than a reader follows, and saying so.
fn short(text: &str) -> String {
    match text.char_indices().nth(MAX_CELL) {
        None => text.to_owned(),
        Some((end, _)) => format!(
            "{} … and {} more characters",
            &text[..end],
            text[end..].chars().count()
        ),
    }
}

fn same(plan: &Plan) -> Vec<String> {
    plan.same_on_disk.iter().map(|path| code(path)).collect()
}

fn ignored(plan: &Plan) -> Vec<String> {
    let line = |ignored: &super::Ignored| {
        let names: Vec<_> = ignored.names.iter().map(|name| code(name)).collect();
        let names = if names.is_empty() {
            String::new()
        } else {
            format!(" ({})", names.join(", "))
        };
        format!("{}{names}: {}", code(&ignored.section), prose(&ignored.reason))
    };
    plan.ignored.iter().map(line).collect()
}

fn findings(out: &mut String, title: &str, findings: &[Finding]) {
    let lines: Vec<_> = findings
        .iter()
        .map(|finding| prose(&finding.to_string()))
        .collect();
    bullets(out, title, &lines);
}

fn bullets(out: &mut String, title: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    push(out, format_args!("\n**{title}**\n\n"));
    for (i, line) in lines.iter().enumerate() {
        if out.len() + line.len() > MAX_BYTES {
            push(out, format_args!("- {} more\n", lines.len() - i));
            return;
        }
        push(out, format_args!("- {line}\n"));
    }
}

/// Every diff, folded; those that do not fit are counted.
fn diffs(out: &mut String, steps: &[Step]) {
    let blocks = steps
        .iter()
        .filter_map(|step| Some(diff(step, step.diff.as_ref()?)));
    let mut left_out = 0;
    for block in blocks {
        if out.len() + block.len() > MAX_BYTES {
            left_out += 1;
        } else {
            out.push_str(&block);
        }
    }
    if left_out > 0 {
        push(out, format_args!("\n{left_out} diffs are not shown.\n"));
    }
}

fn diff(step: &Step, diff: &Diff) -> String {
    let name = code(&step.target.to_string());
    match diff {
        Diff::Text {
            unified,
            omitted_lines,
        } => {
            let fence = "`".repeat(longest_run(unified, '`').max(2) + 1);
            let more = if *omitted_lines > 0 {
                format!("… {omitted_lines} more lines\n")
            } else {
                String::new()
            };
            format!(
                "\n<details><summary>{name}</summary>\n\n{fence}diff\n{unified}{more}{fence}\n\n</details>\n"
            )
        }
        Diff::Binary | Diff::Secret | Diff::TooLarge => {
            format!("\n{name}: {}\n", diff.instead().unwrap_or_default())
        }
    }
}

/// The longest run of a character: a fence must be longer to enclose it.
fn longest_run(text: &str, wanted: char) -> usize {
    text.split(|c| c != wanted)
        .map(str::len)
        .max()
        .unwrap_or_default()
}

/// Text in code style.
fn code(text: &str) -> String {
    format!("<code>{}</code>", escape(text, |_| false))
}

/// Text among text, where `@name` would call a person and `#1` link an issue: an element round the sign keeps it from both.
fn prose(text: &str) -> String {
    escape(text, |c| matches!(c, '@' | '#'))
}

/// Every character that could mean something to Markdown or HTML as a character reference, those of `apart` in an element of their own.
/// Parentheses mean something after brackets only, and those are escaped; what would become a link is taken apart.
fn escape(text: &str, apart: impl Fn(char) -> bool) -> String {
    let text = printable(text);
    let mut out = String::with_capacity(text.len());
    for (i, c) in text.char_indices() {
        let link = match c {
            ':' => text[i + 1..].starts_with('/'),
            '.' => out.ends_with(['w', 'W']),
            _ => false,
        };
        match c {
            c if apart(c) => push(&mut out, format_args!("<span>&#{};</span>", u32::from(c))),
            '\t' => out.push(' '),
            c if c.is_ascii_punctuation() && (link || !HARMLESS.contains(c)) => {
                push(&mut out, format_args!("&#{};", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out
}
