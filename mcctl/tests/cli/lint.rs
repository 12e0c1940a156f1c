//! `lint`: the examples are clean, and what is doubtful between objects is told.

use super::{machine_config, one_file, run, run_with_input};

#[test]
fn the_examples_have_no_problems_and_one_contest_within_a_role() {
    for set in ["base", "revision-2"] {
        let ran = run(&format!("lint -f examples/{set} examples/policy.yaml"));
        assert_eq!((ran.code, ran.out.as_str()), (0, ""), "{}", ran.err);
        let lines: Vec<_> = ran.err.lines().collect();
        let note = "note: MachineConfig/50-worker-sysctl: /etc/sysctl.d/90-worker.conf is overridden by 70-worker-sysctl-network";
        assert_eq!(lines[0], note, "{}", ran.err);
        assert!(
            lines[1].ends_with(": no problems") && lines.len() == 2,
            "{}",
            ran.err
        );
    }
}

#[test]
fn json_holds_what_the_text_says() {
    let ran = run("lint -o json -f mcctl/tests/bad/mode-setuid.yaml mcctl/tests/bad/unknown-kind.yaml");
    assert_eq!((ran.code, ran.err.as_str()), (1, ""));
    let report: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&report["errors"], &report["warnings"]), (&1.into(), &1.into()));
    let finding = &report["findings"][0];
    assert_eq!(finding["file"], "mcctl/tests/bad/mode-setuid.yaml");
    assert_eq!((&finding["line"], &finding["column"]), (&14.into(), &17.into()));
    assert_eq!(finding["code"], "MC1108");
    assert_eq!(finding["severity"], "error");
    assert_eq!(finding["object"], "MachineConfig/50-mode");
    assert_eq!(finding["field"], "spec.config.storage.files[0].mode");
    for text in ["message", "remedy"] {
        assert!(
            finding[text].as_str().is_some_and(|text| !text.is_empty()),
            "{text}"
        );
    }
}

#[test]
fn each_problem_is_told_once_though_two_pools_are_rendered_from_it() {
    let ran = run_with_input(
        "lint -f -",
        format!(
            "{}---\n{}",
            machine_config("50-bad", "worker", &one_file("/etc/a", "04755", "data:,a")),
            machine_config("50-edge", "edge", &one_file("/etc/b", "0644", "data:,b")),
        )
        .as_bytes(),
    );
    assert_eq!(ran.code, 1);
    assert_eq!(ran.err.matches("error[MC1108]").count(), 1, "{}", ran.err);
    assert!(ran.err.ends_with(": 1 error, 1 warning\n"), "{}", ran.err);
}

#[test]
fn without_pools_a_role_that_not_every_cluster_has_is_warned_of_once() {
    let two = format!(
        "{}---\n{}---\n{}",
        machine_config("50-a", "gpus", &one_file("/etc/a", "0644", "data:,a")),
        machine_config("50-b", "gpus", &one_file("/etc/b", "0644", "data:,b")),
        machine_config("50-c", "arbiter", &one_file("/etc/c", "0644", "data:,c")),
    );
    let ran = run_with_input("lint -f -", two.as_bytes());
    assert_eq!(ran.code, 0, "{}", ran.err);
    let first = ran.err.lines().next().unwrap();
    assert!(
        first.starts_with("warning[MC1213] -:6:")
            && first.contains(" MachineConfig/50-a metadata.labels[")
            && first.ends_with("the pools of every cluster are master, worker, arbiter"),
        "{first}"
    );
    assert!(ran.err.ends_with(": 1 warning\n"), "{}", ran.err);
    let pool = "apiVersion: machineconfiguration.openshift.io/v1\nkind: MachineConfigPool\nmetadata: {name: gpus}\nspec:\n  \
                machineConfigSelector:\n    matchLabels: {machineconfiguration.openshift.io/role: gpus}\n";
    let with_pool = run_with_input("lint -f -", format!("{two}---\n{pool}").as_bytes());
    assert!(!with_pool.err.contains("MC1213"), "{}", with_pool.err);
}

#[test]
fn a_missing_role_is_told_once_beside_other_labels_and_never_of_what_render_prints() {
    let labelled = machine_config("50-x", "worker", "  fips: true")
        .replace("machineconfiguration.openshift.io/role: worker", "team: a");
    let ran = run_with_input("lint -f -", labelled.as_bytes());
    assert_eq!(ran.err.matches("MC1132").count(), 1, "{}", ran.err);
    let rendered = run("render --pool worker -f examples/base");
    let ran = run_with_input("lint -f -", rendered.out.as_bytes());
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(
        !ran.err.contains("MC1132") && !ran.err.contains("MC1134"),
        "{}",
        ran.err
    );
}

#[test]
fn an_extension_that_does_not_exist_is_an_error_without_a_config_too() {
    let input = machine_config("50-x", "worker", "  extensions: [emacs]");
    for command in ["lint -f -", "render --pool worker -f -"] {
        let ran = run_with_input(command, input.as_bytes());
        assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{command}: {}", ran.err);
        assert_eq!(ran.err.matches("[MC1131]").count(), 1, "{command}: {}", ran.err);
        assert!(ran.err.contains("error[MC1131]"), "{command}: {}", ran.err);
    }
}

#[test]
fn what_is_wrong_with_one_field_hides_nothing_else() {
    let file = "  kernelType: rt\n  config:\n    ignition: {version: 3.4.0}\n    storage: {files: [{path: /a}, {path: b}]}";
    let ran = run_with_input("lint -f -", machine_config("50-x", "worker", file).as_bytes());
    for code in ["MC1130", "MC1135", "MC1106"] {
        assert_eq!(
            ran.err.matches(&format!("error[{code}]")).count(),
            if code == "MC1135" { 2 } else { 1 },
            "{}",
            ran.err
        );
    }
}

#[test]
fn a_misspelt_field_is_warned_of() {
    let input = machine_config("50-x", "worker", "  kernelArgs:\n    - a=b");
    let ran = run_with_input("lint -f -", input.as_bytes());
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(
        ran.err
            .starts_with("warning[MC1007] -:9:5: MachineConfig/50-x spec.kernelArgs: "),
        "{}",
        ran.err
    );
    assert!(
        ran.err.ends_with("1 object in 1 file: 1 warning\n"),
        "{}",
        ran.err
    );
}

#[test]
fn kinds_that_a_cluster_turns_into_machine_configs_are_warned_of() {
    let input = format!(
        "{}---\napiVersion: machineconfiguration.openshift.io/v1\nkind: KubeletConfig\nmetadata:\n  name: small\n",
        machine_config("50-x", "worker", "  fips: false")
    );
    let ran = run_with_input("lint -f -", input.as_bytes());
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(
        ran.err.contains("warning[MC1008] -:10: KubeletConfig/small: "),
        "{}",
        ran.err
    );
}

#[test]
fn an_unreadable_file_does_not_hide_what_is_wrong_with_the_others() {
    let ran =
        run("lint -f nowhere.yaml mcctl/tests/bad/mode-setuid.yaml mcctl/tests/bad/malformed-yaml.yaml");
    assert_eq!(ran.code, 1);
    for code in ["MC1001", "MC1005", "MC1108"] {
        assert!(ran.err.contains(&format!("error[{code}]")), "{}", ran.err);
    }
}

#[test]
fn a_pool_may_select_by_another_label_than_the_role() {
    let config = machine_config("50-x", "", "  fips: false")
        .replace("machineconfiguration.openshift.io/role: ", "team: storage");
    let alone = run_with_input("lint -f -", config.as_bytes());
    assert_eq!(alone.err.matches("error[MC1132]").count(), 1, "{}", alone.err);
    let pool = std::fs::read_to_string("../examples/base/pool-worker.yaml").unwrap();
    let pool = pool.replacen(
        "machineconfiguration.openshift.io/role: worker",
        "team: storage",
        1,
    );
    let both = format!("{config}---\n{pool}");
    for command in ["lint -f -", "render --pool worker -o name -f -"] {
        let ran = run_with_input(command, both.as_bytes());
        assert_eq!(ran.code, 0, "{command}: {}", ran.err);
    }
}

#[test]
fn an_unusable_policy_is_an_error() {
    let policy = std::fs::read_to_string("../examples/policy.yaml").unwrap();
    let policy = policy.replace("name: image-prune.timer", "name: image-prune");
    let ran = run_with_input("lint -f examples/base -", policy.as_bytes());
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.err.contains("error[MC3005] -:"), "{}", ran.err);
}

#[test]
fn what_version_2_takes_otherwise_than_written_is_warned_of() {
    let config = |version: &str| {
        let file =
            |path: &str| format!("{{filesystem: root, path: {path}, contents: {{source: 'data:,a'}}}}");
        let files = ["/etc/a", "/etc/b//c/", "/etc/a"].map(file).join(", ");
        let units = "{name: a.service, mask: true}, {name: a.service, enabled: false}";
        let spec = format!(
            "  config:\n    ignition: {{version: {version}}}\n    storage: {{files: [{files}]}}\n    systemd: {{units: [{units}]}}"
        );
        machine_config("50-old", "worker", &spec)
    };
    let ran = run_with_input("lint -f -", config("2.2.0").as_bytes());
    assert_eq!(ran.code, 0, "{}", ran.err);
    for expected in [
        "storage.files[0].path: /etc/a is defined again in storage.files[2], and the last one counts",
        "storage.files[1].path: /etc/b//c/ is not in its shortest form, and is written to /etc/b/c",
        "systemd.units[0].name: a.service is defined again in systemd.units[1], and the last one counts",
    ] {
        assert_eq!(ran.err.matches(expected).count(), 1, "{expected}\n{}", ran.err);
    }
    // No mode means 0644 at 2.2, and nothing else is doubtful.
    assert!(ran.err.ends_with(": 3 warnings\n"), "{}", ran.err);
    let ran = run_with_input("lint -f -", config("2.1.0").as_bytes());
    assert_eq!(
        ran.err.matches("before version 2.2.0 it is 0000").count(),
        3,
        "{}",
        ran.err
    );
}

#[test]
fn a_wildcard_in_a_policy_is_warned_of() {
    let policy = std::fs::read_to_string("../examples/policy.yaml").unwrap();
    let policy = policy.replacen(
        "- path: /",
        "- path: /etc/app/*.conf\n        actions: [{type: None}]\n      - path: /",
        1,
    );
    assert!(policy.contains("*.conf"));
    let ran = run_with_input("lint -f examples/base -", policy.as_bytes());
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("warning[MC3012] -:"), "{}", ran.err);
    assert!(
        ran.err.contains("\"/etc/app/*.conf\" is taken as it is written"),
        "{}",
        ran.err
    );
    assert!(ran.err.ends_with(": 1 warning\n"), "{}", ran.err);
}
