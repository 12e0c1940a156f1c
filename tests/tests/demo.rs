//! The story of `cargo xtask demo`, which fails by itself where the programs behave otherwise, and what the README shows of it.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use e2e::program::run;

#[test]
fn the_demo_tells_its_story_and_the_readme_quotes_it() {
    let ran = run(
        &mut Command::new(env!("CARGO_BIN_EXE_demo")),
        Duration::from_mins(1),
    )
    .unwrap();
    assert_eq!(ran.code, Some(0), "{}", ran.all());
    assert!(
        !ran.stdout.contains('\x1b'),
        "colour although this is no terminal"
    );
    let told: Vec<&str> = ran.stdout.lines().collect();

    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md")).unwrap();
    let quoted = readme
        .split("```console\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next())
        .unwrap();
    let mut from = 0;
    for line in quoted.lines().filter(|line| *line != "…") {
        let found = told[from..].iter().position(|other| *other == line);
        assert!(
            found.is_some(),
            "the README quotes what the demo does not say, or not there: {line}"
        );
        from += found.unwrap();
    }
    assert!(quoted.lines().count() > 10);
}
