//! One row of the table: a measurement, what it is compared with, and whether the goal holds.

use std::fmt;

use serde::Serialize;
use serde::ser::SerializeStruct;

/// What a row is to reach.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Goal {
    /// The value is at most this.
    AtMost(f64),
    /// The value is at least this many times what it is compared with.
    RatioAtLeast(f64),
    /// The value is at most this many times what it is compared with.
    RatioAtMost(f64),
}

/// One row.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// What was measured.
    pub name: &'static str,
    /// The measurement.
    pub value: f64,
    /// Its unit.
    pub unit: &'static str,
    /// What it is compared with.
    pub compared_with: &'static str,
    /// The same measurement of that, in the same unit.
    pub other: f64,
    /// What it is to reach.
    pub goal: Goal,
}

impl Row {
    /// The value over what it is compared with.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        self.value / self.other
    }

    /// Whether the goal is reached.
    #[must_use]
    pub fn holds(&self) -> bool {
        match self.goal {
            Goal::AtMost(limit) => self.value <= limit,
            Goal::RatioAtLeast(limit) => self.ratio() >= limit,
            Goal::RatioAtMost(limit) => self.ratio() <= limit,
        }
    }

    fn goal_text(&self) -> String {
        match self.goal {
            Goal::AtMost(limit) => format!("<= {} {}", figure(limit), self.unit),
            Goal::RatioAtLeast(limit) => format!(">= {} x", figure(limit)),
            Goal::RatioAtMost(limit) => format!("<= {} x", figure(limit)),
        }
    }
}

impl Serialize for Row {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut row = serializer.serialize_struct("Row", 8)?;
        row.serialize_field("name", self.name)?;
        row.serialize_field("value", &self.value)?;
        row.serialize_field("unit", self.unit)?;
        row.serialize_field("comparedWith", self.compared_with)?;
        row.serialize_field("other", &self.other)?;
        row.serialize_field("ratio", &self.ratio())?;
        row.serialize_field("goal", &self.goal_text())?;
        row.serialize_field("holds", &self.holds())?;
        row.end()
    }
}

/// The rows in columns, one line each.
pub(super) fn table(rows: &[Row]) -> String {
    let head = [
        "name",
        "value",
        "unit",
        "compared with",
        "",
        "ratio",
        "goal",
        "holds",
    ]
    .map(str::to_owned);
    let cells = rows.iter().map(|row| {
        let holds = if row.holds() { "yes" } else { "NO" };
        let (value, other, ratio) = (figure(row.value), figure(row.other), figure(row.ratio()));
        let (name, unit, with) = (
            row.name.to_owned(),
            row.unit.to_owned(),
            row.compared_with.to_owned(),
        );
        [
            name,
            value,
            unit,
            with,
            other,
            ratio,
            row.goal_text(),
            holds.to_owned(),
        ]
    });
    let lines: Vec<[String; 8]> = std::iter::once(head).chain(cells).collect();
    let width = |column: usize| {
        lines
            .iter()
            .map(|line| line[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..8).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        let padded: Vec<String> = line.iter().zip(&widths).enumerate().map(pad).collect();
        text.push_str(padded.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// Numbers stand to the right, words to the left.
fn pad((column, (cell, width)): (usize, (&String, &usize))) -> String {
    if matches!(column, 1 | 4 | 5) {
        format!("{cell:>width$}")
    } else {
        format!("{cell:<width$}")
    }
}

/// Three digits that say something.
fn figure(number: f64) -> String {
    struct Figure(f64);
    impl fmt::Display for Figure {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let decimals = match self.0.abs() {
                size if size >= 100.0 || size == 0.0 => 0,
                size if size >= 10.0 => 1,
                size if size >= 1.0 => 2,
                _ => 3,
            };
            write!(f, "{:.decimals$}", self.0)
        }
    }
    Figure(number).to_string()
}

#[cfg(test)]
mod tests {
    use super::{Goal, Row, table};

    fn row(value: f64, goal: Goal) -> Row {
        Row {
            name: "a",
            value,
            unit: "ms",
            compared_with: "b",
            other: 10.0,
            goal,
        }
    }

    #[test]
    fn goals_hold_up_to_their_limit() {
        assert!(row(3.0, Goal::AtMost(3.0)).holds() && !row(3.1, Goal::AtMost(3.0)).holds());
        assert!(row(13.0, Goal::RatioAtLeast(1.3)).holds() && !row(12.9, Goal::RatioAtLeast(1.3)).holds());
        assert!(row(10.0, Goal::RatioAtMost(1.0)).holds() && !row(10.1, Goal::RatioAtMost(1.0)).holds());
        assert!(
            !row(f64::NAN, Goal::RatioAtMost(1.0)).holds(),
            "nothing measured holds nothing"
        );
    }

    #[test]
    fn the_table_has_a_line_per_row() {
        let text = table(&[row(3.0, Goal::AtMost(3.0)), row(31.0, Goal::AtMost(3.0))]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert_eq!(
            lines[1],
            "a      3.00  ms    b              10.0  0.300  <= 3.00 ms  yes"
        );
        assert!(lines[2].ends_with("NO"));
    }
}
