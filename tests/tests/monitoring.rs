//! What `deploy/monitoring` asks of Prometheus, against what there is: every expression is one, and asks for documented metrics alone, of
//! which tests of both programs say that they are told. The alerts are those of the documentation.

use std::collections::BTreeSet;
use std::fs;

use e2e::repository;
use promql_parser::parser::{Expr, parse};
use promql_parser::util::{ExprVisitor, walk_expr};
use serde_json::Value;

/// The metrics that an expression asks for.
#[derive(Default)]
struct Asked(BTreeSet<String>);

impl ExprVisitor for Asked {
    type Error = String;

    fn pre_visit(&mut self, expression: &Expr) -> Result<bool, String> {
        let selector = match expression {
            Expr::VectorSelector(selector) => selector,
            Expr::MatrixSelector(range) => &range.vs,
            _ => return Ok(true),
        };
        let name = selector.name.clone();
        self.0.insert(name.ok_or("a selector without a name")?);
        Ok(true)
    }
}

fn asked(expression: &str) -> BTreeSet<String> {
    let parsed = parse(expression).unwrap_or_else(|error| panic!("{expression}: {error}"));
    let mut asked = Asked::default();
    walk_expr(&mut asked, &parsed).unwrap_or_else(|error| panic!("{expression}: {error}"));
    asked.0
}

fn read(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What the first column of the documentation's tables names: sections, and in each the names.
fn documented(section: &str) -> Vec<(String, String)> {
    let page = read("docs/metrics.md");
    let section = page
        .split("\n## ")
        .find(|found| found.starts_with(section))
        .unwrap_or_else(|| panic!("docs/metrics.md has no section {section}"));
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| {
        let (name, rest) = row.split_once("` | ").unwrap_or_else(|| panic!("no row: {row}"));
        let second = rest.split(" |").next().unwrap_or_default();
        (name.to_owned(), second.to_owned())
    })
    .collect()
}

fn metrics() -> BTreeSet<String> {
    let all = documented("Controller").into_iter().chain(documented("Daemon"));
    all.map(|(name, _)| name).collect()
}

fn rules() -> Vec<Value> {
    let manifest: Value =
        serde_saphyr::from_str(&read("deploy/monitoring/rules.yaml")).expect("the rules are YAML");
    let groups = manifest["spec"]["groups"]
        .as_array()
        .expect("the rules are in groups");
    let rules = groups
        .iter()
        .flat_map(|group| group["rules"].as_array().expect("a group has rules"));
    rules.cloned().collect()
}

fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("expr").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|value| expressions(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| expressions(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn alerts_and_the_dashboard_ask_for_metrics_that_there_are() {
    let dashboard: Value = serde_json::from_str(&read("deploy/monitoring/dashboard.json")).unwrap();
    let mut found = Vec::new();
    expressions(&dashboard, &mut found);
    let shown = found.len();
    for rule in rules() {
        expressions(&rule, &mut found);
    }
    assert!(shown > 5 && found.len() > shown + 5, "{found:?}");
    let metrics = metrics();
    for expression in found {
        let asked = asked(&expression);
        assert!(!asked.is_empty(), "{expression} asks for nothing");
        let unknown: Vec<_> = asked.difference(&metrics).collect();
        assert!(unknown.is_empty(), "{expression} asks for {unknown:?}");
    }
}

#[test]
fn every_alert_is_documented_with_its_severity_and_says_what_to_do() {
    let mut told = Vec::new();
    for rule in rules() {
        let text = |field: &str| rule.pointer(field).and_then(Value::as_str).unwrap_or_default();
        for field in ["/annotations/summary", "/annotations/action"] {
            assert!(text(field).ends_with('.'), "{field} of {rule}");
        }
        told.push((text("/alert").to_owned(), text("/labels/severity").to_owned()));
    }
    assert_eq!(told, documented("Alerts"));
}

#[test]
fn what_is_no_expression_is_found() {
    for bad in ["max by (pool) mco > ", "sum(a", "a == == b"] {
        assert!(parse(bad).is_err(), "{bad}");
    }
    let asked = asked("max by (a) (x * on () y) == 1 and absent(rate(z[5m])) > 0 or vector(0)");
    assert_eq!(asked.into_iter().collect::<Vec<_>>(), ["x", "y", "z"]);
}
