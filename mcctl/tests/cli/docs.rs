//! docs/mcctl.md shows what the tool really answers.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

/// Runs every `$ command` of the `console` blocks and puts its answer below it.
///
/// With `UPDATE_DOCS=1` in the environment the page is written anew instead of being compared.
#[test]
fn the_answers_on_the_page_are_real() {
    let page = "../docs/mcctl.md";
    let written = std::fs::read_to_string(page).unwrap();
    let real = answered(&written);
    assert!(
        real.contains("exit code 2") && real.matches("\n$ mcctl").count() >= 6,
        "the page has its examples"
    );
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(page, real).unwrap();
    } else {
        similar_asserts::assert_eq!(written, real, "{page} is stale: run this test with UPDATE_DOCS=1");
    }
}

fn answered(page: &str) -> String {
    let mut real = String::new();
    let mut in_console = false;
    for line in page.lines() {
        if line.starts_with("```") {
            in_console = line == "```console";
        }
        if !in_console || line.starts_with("```") {
            let _ = writeln!(real, "{line}");
        } else if let Some(command) = line.strip_prefix("$ ") {
            let _ = writeln!(real, "{line}\n{}", answer(command).trim_end());
        }
    }
    real
}

/// What a shell prints for a command, messages too.
fn answer(command: &str) -> String {
    let program = Path::new(env!("CARGO_BIN_EXE_mcctl"));
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}", program.parent().unwrap().display());
    let output = Command::new("sh")
        .args(["-c", &format!("exec 2>&1; {command}")])
        .current_dir("..")
        .env("PATH", path)
        .env_remove("CLICOLOR_FORCE")
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}
