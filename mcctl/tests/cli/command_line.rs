//! Help, wrong flags, names, completion: what a newcomer meets first.

use std::process::Command;

use super::{Ran, finish, mcctl, run, run_with_input};

const COMMANDS: [&str; 15] = [
    "render",
    "plan",
    "lint",
    "convert",
    "inspect",
    "status",
    "why",
    "pause",
    "unpause",
    "diff",
    "history",
    "token",
    "pointer",
    "completion",
    "version",
];

#[test]
fn help_lists_every_command_and_the_exit_codes() {
    let asked = run("--help");
    assert_eq!((asked.code, asked.err.as_str()), (0, ""));
    let bare = run("");
    assert_eq!(
        (bare.code, bare.out.as_str()),
        (1, ""),
        "no command is a wrong command line"
    );
    for help in [&asked.out, &bare.err] {
        for command in COMMANDS {
            assert!(help.contains(&format!("\n  {command} ")), "{command}: {help}");
        }
        assert!(help.contains("Exit codes: 0 done, 1 error"), "{help}");
        assert!(!help.contains("__complete"), "{help}");
    }
}

#[test]
fn every_command_has_help_of_its_own() {
    for command in COMMANDS {
        let ran = run(&format!("{command} --help"));
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{command}");
        assert!(
            ran.out.contains(&format!("Usage: mcctl {command}")),
            "{}",
            ran.out
        );
    }
    assert!(
        run("plan --help")
            .out
            .contains("Exit codes: 0 no change, 2 change")
    );
}

#[test]
fn wrong_command_lines_end_with_1_which_plan_does_not_use_for_an_answer() {
    let lines = [
        ("plan", "--pool <POOL>"),
        ("plan --pool worker --from examples/base", "--to <PATH>"),
        ("plan --pol worker", "--pool"),
        (
            "render --pool worker -f examples/base -o xml",
            "yaml, json, name, ignition",
        ),
        ("convert --to 3.0.0 examples/base/50-worker-chrony.yaml", "3.1.0"),
        ("convert --to 4.0.0 examples/base/50-worker-chrony.yaml", "2.2.0"),
        (
            "render --pool worker -f examples/base --explain -o name",
            "--explain",
        ),
        ("plan --pool worker --from - --to -", "standard input"),
        ("rendr", "render"),
        ("render -f examples/base --pool=", "--pool <POOL>"),
        (
            "plan --from examples/base --to examples/base --pool=",
            "--pool <POOL>",
        ),
    ];
    for (line, says) in lines {
        let ran = run(line);
        assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{line}: {}", ran.err);
        assert!(
            ran.err.starts_with("error: ") && ran.err.contains(says),
            "{line}: {}",
            ran.err
        );
    }
}

#[test]
fn a_missing_file_is_named() {
    let lines = [
        "render --pool worker -f nowhere.yaml",
        "lint -f nowhere.yaml",
        "plan --pool worker --from nowhere.yaml --to examples/base",
        "plan --pool worker --from examples/base --to examples/base --policy nowhere.yaml",
        "inspect nowhere.yaml",
        "convert --to 3.2.0 nowhere.yaml",
    ];
    for line in lines {
        let ran = run(line);
        assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{line}: {}", ran.err);
        let expected =
            "error[MC1001] nowhere.yaml: cannot be read: No such file or directory (os error 2)\n  help: ";
        assert!(ran.err.starts_with(expected), "{line}: {}", ran.err);
    }
}

#[test]
fn a_copy_named_kubectl_mc_speaks_as_the_plugin() {
    let directory = tempfile::tempdir().unwrap();
    let plugin = directory.path().join("kubectl-mc");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_mcctl"), &plugin).unwrap();
    let call = |words: &[&str]| Ran::from(Command::new(&plugin).args(words).output().unwrap());
    assert!(call(&["plan", "--help"]).out.contains("Usage: kubectl mc plan "));
    assert!(call(&["--version"]).out.starts_with("kubectl mc "));
    assert!(call(&["version"]).out.starts_with("kubectl mc "));
    assert!(call(&["plan"]).err.contains("Usage: kubectl mc plan "));
    assert!(call(&["completion", "bash"]).out.contains("kubectl-mc"));
    assert_eq!(
        call(&["__complete", "--", "in"]).out,
        "inspect\tShow what an Ignition config or a MachineConfig holds, decoded\n:4\n"
    );
}

#[test]
fn every_shell_gets_a_script_that_names_the_tool() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let ran = run(&format!("completion {shell}"));
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{shell}");
        assert!(ran.out.contains("mcctl") && ran.out.contains("render"), "{shell}");
    }
    let script = run("completion kubectl").out;
    assert!(
        script.starts_with("#!/bin/sh\n") && script.contains("exec kubectl-mc __complete"),
        "{script}"
    );
}

#[test]
fn the_bash_script_is_bash() {
    let script = run("completion bash").out;
    let checked = Command::new("bash").args(["-n", "-c", &script]).output().unwrap();
    assert!(
        checked.status.success(),
        "{}",
        String::from_utf8_lossy(&checked.stderr)
    );
}

#[test]
fn version_tells_the_ignition_versions() {
    let ran = run("version");
    let expected = format!(
        "mcctl {}\nreads Ignition 2.0.0 to 2.2.0, 3.0.0 to 3.6.0\n\
         writes Ignition 2.2.0, 3.1.0, 3.2.0, 3.3.0, 3.4.0, 3.5.0\n",
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!((ran.code, ran.out), (0, expected));
}

// === convert ===

#[test]
fn convert_writes_every_version_it_offers() {
    for version in ["2.2.0", "3.1.0", "3.2.0", "3.3.0", "3.4.0", "3.5.0"] {
        for file in ["50-worker-chrony", "50-worker-sysctl", "55-worker-image-prune"] {
            let ran = run(&format!("convert --to {version} examples/base/{file}.yaml"));
            assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{version} {file}");
            let config: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
            assert_eq!(config["ignition"]["version"], version, "{file}");
        }
    }
}

#[test]
fn convert_reads_a_bare_config_from_standard_input_and_back() {
    let config = r#"{"ignition":{"version":"3.4.0"},"storage":{"files":[{"path":"/etc/a","contents":{"source":"data:,a"}}]}}"#;
    let older = run_with_input("convert --to 3.1.0 -", config.as_bytes());
    assert_eq!((older.code, older.err.as_str()), (0, ""));
    let back = run_with_input("convert --to 3.4.0 -", older.out.as_bytes());
    assert_eq!(back.out.trim_end(), config);
}

#[test]
fn convert_refuses_with_every_reason_what_the_target_cannot_say() {
    let config = r#"{"ignition":{"version":"3.4.0"},"kernelArguments":{"shouldExist":["a"]},
        "storage":{"luks":[{"name":"root","device":"/dev/disk/by-label/root","discard":true}]}}"#;
    let ran = run_with_input("convert --to 2.2.0 -", config.as_bytes());
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    for part in [
        "error[MC1118] -: kernelArguments",
        "error[MC1118] -: storage.luks",
        "  help: ",
    ] {
        assert!(ran.err.contains(part), "{part}: {}", ran.err);
    }
}

#[test]
fn convert_says_when_a_file_would_vanish() {
    let config = r#"{"ignition":{"version":"3.5.0"},"storage":{"files":[{"path":"/n","mode":420}]}}"#;
    let ran = run_with_input("convert --to 2.2.0 -", config.as_bytes());
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    assert!(
        ran.err.contains("error[MC1118] -: storage.files[0].contents") && ran.err.contains("\"/n\""),
        "{}",
        ran.err
    );
    assert_eq!(run_with_input("convert --to 3.1.0 -", config.as_bytes()).code, 0);
}

#[test]
fn convert_needs_exactly_one_config() {
    let both = std::fs::read_to_string("tests/bad/kernel-devel-realtime.yaml").unwrap();
    let ran = run_with_input("convert --to 3.2.0 -", both.as_bytes());
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    assert!(
        ran.err.starts_with("error[MC6002] -: holds 2 MachineConfigs"),
        "{}",
        ran.err
    );
    let pool = run("convert --to 3.2.0 examples/base/pool-edge.yaml");
    assert_eq!((pool.code, pool.out.as_str()), (1, ""));
    assert!(
        pool.err.contains("error[MC6002] examples/base/pool-edge.yaml: "),
        "{}",
        pool.err
    );
}

#[test]
fn arguments_may_be_any_bytes() {
    use std::os::unix::ffi::OsStrExt as _;
    let name = std::ffi::OsStr::from_bytes(b"nowhere-\xff\x1b[2J.yaml");
    let ran = finish(mcctl(["lint", "-f"]).arg(name));
    assert_eq!(ran.code, 1);
    assert!(
        ran.err
            .starts_with("error[MC1001] nowhere-\u{fffd}\\u{1b}[2J.yaml: cannot be read"),
        "{}",
        ran.err
    );
}
