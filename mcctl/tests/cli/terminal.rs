//! Colours, pipes that close, and text that tries to steer the terminal.

use std::io::Read as _;
use std::process::Stdio;

use super::{finish, machine_config, mcctl, one_file, run, run_with_input};

const BAD: &str = "mcctl/tests/bad/mode-setuid.yaml";
const ESCAPE: char = '\u{1b}';

#[test]
fn pipes_get_no_colours_unless_they_are_forced() {
    type Row<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], bool);
    let table: [Row; 9] = [
        (&[], &[("CLICOLOR_FORCE", "0")], false),
        (&[], &[], false),
        (&["--color", "auto"], &[], false),
        (&["--color", "always"], &[], true),
        (&[], &[("CLICOLOR_FORCE", "1")], true),
        (&[], &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], false),
        (&["--color", "always"], &[("NO_COLOR", "1")], true),
        (&["--color", "never"], &[("CLICOLOR_FORCE", "1")], false),
        (&[], &[("NO_COLOR", "1")], false),
    ];
    for (flags, environment, coloured) in table {
        let commands: [&[&str]; 3] = [
            &["lint", "-f", BAD],
            &["inspect", "examples/base/50-worker-sshd.yaml"],
            &[
                "plan",
                "--pool",
                "worker",
                "--from",
                "examples/base",
                "--to",
                "examples/revision-2",
            ],
        ];
        for words in commands {
            let mut command = mcctl(words.iter().chain(flags));
            command.envs(environment.iter().copied());
            let ran = finish(&mut command);
            let shown = format!("{}{}", ran.out, ran.err);
            assert_eq!(
                shown.contains(ESCAPE),
                coloured,
                "{words:?} {flags:?} {environment:?}: {shown:?}"
            );
        }
    }
}

#[test]
fn machine_readable_output_is_never_coloured() {
    for form in ["json", "markdown"] {
        let line = format!(
            "plan --pool worker --from examples/base --to examples/revision-2 --show-diff --color always -o {form}"
        );
        assert!(!run(&line).out.contains(ESCAPE), "{form}");
    }
    assert!(
        !run("render --pool worker -f examples/base --color always")
            .out
            .contains(ESCAPE)
    );
    assert!(
        !run(&format!("lint -f {BAD} -o json --color always"))
            .out
            .contains(ESCAPE)
    );
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let lines = [
        ("render --pool worker -f examples/base", 0),
        (
            "plan --pool worker --from examples/base --to examples/revision-2 -o json --show-diff",
            3,
        ),
        ("inspect examples/base/50-worker-sshd.yaml", 0),
        ("completion bash", 0),
        ("--help", 0),
    ];
    for (line, code) in lines {
        let mut command = mcctl(line.split_whitespace());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // Closed before anything is written, most of the time, and always before all is read.
        drop(child.stdout.take());
        let mut err = String::new();
        child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code), "{line}: {err}");
        assert!(
            !err.contains("panicked") && !err.contains("Broken pipe"),
            "{line}: {err}"
        );
    }
}

#[test]
fn a_full_disk_is_a_failure() {
    for line in [
        "render --pool worker -f examples/base",
        "--help",
        "plan --help",
        "--version",
    ] {
        let mut command = mcctl(line.split_whitespace());
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = command
            .stdout(full)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
            .wait_with_output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{line}");
        let err = String::from_utf8(output.stderr).unwrap();
        assert!(
            err.starts_with("error: cannot write to standard output: No space left"),
            "{line}: {err}"
        );
    }
}

/// Clears the screen, sets the title, writes right to left, and passes for a line of its own.
const HOSTILE: &str = "%1b%5b2J%1b%5d0%3bowned%07%e2%80%ae%c2%9b31m%0d/etc/harmless";

#[test]
fn contents_and_names_cannot_act_on_the_terminal() {
    // In double quotes, so that YAML makes the characters of the escapes.
    let path = "\"/etc/hostile\\e[2J\\u202e\\u200b\\ttail\"";
    let spec = one_file(path, "0644", &format!("data:,{HOSTILE}"));
    let input = machine_config("50-hostile", "worker", &spec);
    let lines = [
        "inspect -",
        "lint -f -",
        "lint -o json -f -",
        "render --pool worker -f -",
        "render --pool worker -o json -f -",
        "render --pool worker -o ignition -f -",
        "render --pool worker --explain=all -f -",
        "plan --pool worker --from examples/base --to - --show-diff",
        "plan --pool worker --from examples/base --to - --show-diff -o json",
        "plan --pool worker --from examples/base --to - --show-diff -o markdown",
    ];
    for line in lines {
        let ran = run_with_input(line, input.as_bytes());
        assert_ne!(ran.code, 1, "{line}: {}", ran.err);
        assert!(
            line.starts_with("lint") || ran.out.contains("hostile"),
            "{line}: {}",
            ran.out
        );
        let acting: Vec<_> = format!("{}{}", ran.out, ran.err)
            .chars()
            .filter(|c| (c.is_control() && !"\n\t".contains(*c)) || ('\u{202a}'..='\u{202e}').contains(c))
            .collect();
        assert_eq!(acting, [], "{line}: {:?} {:?}", ran.out, ran.err);
    }
}
