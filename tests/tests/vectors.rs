//! The project's own vectors, all of which must agree with us or differ by a listed rule.

use std::path::Path;

use e2e::vectors::{Deviations, run};

#[test]
fn every_vector_agrees_or_differs_by_a_rule() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors");
    let deviations = Deviations::read(&dir.join("deviations.toml")).unwrap();
    let mut out = Vec::new();
    let totals = run(&dir, deviations, &mut out).unwrap();
    let report = String::from_utf8(out).unwrap();
    assert_eq!(totals.failed, 0, "{report}");
    // Fewer would mean that a family went unnoticed.
    assert!(totals.passed >= 330, "{report}");
    assert!(
        report.ends_with(&format!("{} passed, 0 failed\n", totals.passed)),
        "{report}"
    );
}

#[test]
fn without_the_rules_the_same_vectors_fail() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors");
    let totals = run(&dir, Deviations::default(), &mut Vec::new()).unwrap();
    assert!(
        totals.failed > 10,
        "the rules excuse nothing, or are not asked for: {totals:?}"
    );
}
