//! The runner itself: what it finds, and that no case can stop it or pass unseen.
use std::fs;

use super::{Case, Checks, Compare, Deviations, Totals, cases, run, run_case};

fn case(text: &str) -> Case {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("made-up.jsonl"), text).unwrap();
    cases::find(dir.path())
        .unwrap()
        .remove(0)
        .cases
        .remove(0)
        .1
        .unwrap()
}

fn outcome(compare: Compare) -> Result<Vec<String>, String> {
    let case = case(r#"{"case":"a","input":1,"expect":2}"#);
    run_case(case, compare, Deviations::default().into()).map_err(|error| format!("{error:#}"))
}

#[test]
fn families_are_directories_and_lines_files() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    for family in ["b", "empty"] {
        fs::create_dir(path.join(family)).unwrap();
    }
    fs::write(path.join("README.md"), "text").unwrap();
    fs::write(path.join("b/1.json"), r#"{"case":"a","input":1,"expect":2}"#).unwrap();
    fs::write(
        path.join("b/more.jsonl"),
        "{\"case\":\"b\",\"input\":1,\"expect\":2}\n\nnot JSON\n",
    )
    .unwrap();
    fs::write(
        path.join("a.jsonl"),
        "{\"case\":\"c\",\"input\":1,\"expect\":2}\n",
    )
    .unwrap();
    let families = cases::find(path).unwrap();
    let seen: Vec<(&str, Vec<(&str, bool)>)> = families
        .iter()
        .map(|f| {
            (
                f.name.as_str(),
                f.cases
                    .iter()
                    .map(|(place, case)| (place.as_str(), case.is_ok()))
                    .collect(),
            )
        })
        .collect();
    let expected = [
        ("a", vec![("a.jsonl:1", true)]),
        (
            "b",
            vec![("1.json", true), ("more.jsonl:1", true), ("more.jsonl:3", false)],
        ),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn a_panic_and_an_unreadable_case_are_failures_of_that_case() {
    assert_eq!(outcome(|_, _| Ok(())), Ok(vec![]));
    let panics: Compare = |_, _: &mut Checks<'_>| panic!("on purpose");
    assert_eq!(outcome(panics).unwrap_err(), "our code panicked: on purpose");
    let unreadable: Compare = |case, _| case.input::<String>().map(drop);
    assert!(
        outcome(unreadable)
            .unwrap_err()
            .starts_with("the case cannot be read: input")
    );
}

#[test]
fn an_empty_directory_fails_and_an_unknown_family_is_not_covered() {
    let dir = tempfile::tempdir().unwrap();
    let mut out = Vec::new();
    assert!(run(dir.path(), Deviations::default(), &mut out).is_err());
    assert!(run(&dir.path().join("absent"), Deviations::default(), &mut out).is_err());

    fs::write(
        dir.path().join("made-up.jsonl"),
        r#"{"case":"a","input":1,"expect":2}"#,
    )
    .unwrap();
    let totals = run(dir.path(), Deviations::default(), &mut out).unwrap();
    assert_eq!(totals, Totals::default());
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "made-up: not covered (1 cases)\n0 passed, 0 failed\n"
    );
}
