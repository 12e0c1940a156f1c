//! `plan` over the examples: every exit code, every form, where the policy comes from.

use std::fs;
use std::path::Path;

use super::{Ran, machine_config, one_file, run, run_with_input};

const CHANGE: &str = "--from examples/base --to examples/revision-2";
const POLICY: &str = "--policy examples/policy.yaml";

/// What nobody but this test changes, so that the snapshots show the rules and not the hashes of the examples.
fn stable(ran: &Ran) -> String {
    let mut text = ran.out.clone();
    for hash in text
        .clone()
        .split(|c: char| !c.is_ascii_hexdigit())
        .filter(|word| word.len() == 32)
    {
        text = text.replace(hash, "HASH");
    }
    text
}

#[test]
fn nothing_changes_is_0() {
    let ran = run(&format!(
        "plan --pool worker --from examples/base --to examples/base {POLICY}"
    ));
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{}", ran.out);
}

#[test]
fn a_restart_is_2() {
    let ran = run(&format!("plan --pool worker {CHANGE} {POLICY} --show-diff"));
    assert_eq!((ran.code, ran.err.as_str()), (2, ""), "{}", ran.out);
    insta::assert_snapshot!("worker", stable(&ran));
}

#[test]
fn a_reboot_is_3() {
    let ran = run(&format!("plan --pool edge {CHANGE} {POLICY} --show-diff"));
    assert_eq!((ran.code, ran.err.as_str()), (3, ""), "{}", ran.out);
    insta::assert_snapshot!("edge", stable(&ran));
}

#[test]
fn without_a_policy_a_changed_file_is_a_reboot() {
    let ran = run(&format!("plan --pool worker {CHANGE} -o json"));
    assert_eq!(ran.code, 3);
    let plan: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(plan["disruption"], "Reboot");
}

#[test]
fn a_refused_change_is_4_and_names_the_culprit() {
    let old = machine_config("50-fips", "worker", "  fips: false");
    let new = machine_config("50-fips", "worker", "  fips: true");
    let directory = tempfile::tempdir().unwrap();
    let file = write(directory.path(), "old.yaml", &old);
    let ran = run_with_input(
        &format!("plan --pool worker --from {file} --to -"),
        new.as_bytes(),
    );
    assert_eq!((ran.code, ran.err.as_str()), (4, ""), "{}", ran.out);
    assert!(
        ran.out.contains("50-fips") && ran.out.contains("fips"),
        "{}",
        ran.out
    );
}

#[test]
fn an_error_is_1_whichever_side_it_is_on() {
    let bad = "mcctl/tests/bad/mode-setuid.yaml";
    let lines = [
        format!("plan --pool worker --from {bad} --to examples/base"),
        format!("plan --pool worker --from examples/base --to {bad}"),
        format!("plan --pool nosuch {CHANGE}"),
        format!("plan --pool worker {CHANGE} --policy examples/base/50-worker-chrony.yaml"),
    ];
    for line in lines {
        let ran = run(&line);
        assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{line}: {}", ran.err);
        assert!(ran.err.starts_with("error[MC"), "{line}: {}", ran.err);
    }
}

#[test]
fn what_no_node_can_decode_may_be_left_and_not_be_entered() {
    let (broken, sound) = (
        "mcctl/tests/bad/hash-wrong.yaml",
        "examples/base/50-worker-chrony.yaml",
    );
    let entered = run(&format!("plan --pool worker --from {sound} --to {broken}"));
    assert_eq!((entered.code, entered.out.as_str()), (1, ""), "{}", entered.err);
    assert!(
        entered.err.starts_with(&format!("error[MC1113] {broken}:")),
        "{}",
        entered.err
    );
    let left = run(&format!("plan --pool worker --from {broken} --to {sound}"));
    assert_eq!(left.code, 3, "{}{}", left.out, left.err);
}

#[test]
fn every_form_says_the_same() {
    let line = format!("plan --pool edge {CHANGE} {POLICY} --show-diff");
    let json = run(&format!("{line} -o json"));
    let markdown = run(&format!("{line} -o markdown"));
    assert_eq!((json.code, markdown.code), (3, 3));
    let plan: machineconfig::Plan = serde_json::from_str(&json.out).unwrap();
    assert_eq!(plan.disruption, machineconfig::Disruption::Reboot);
    assert!(plan.from.starts_with("rendered-edge-") && plan.to.starts_with("rendered-edge-"));
    assert!(
        markdown.out.contains("Reboot") && markdown.out.contains("30-edge-kargs"),
        "{}",
        markdown.out
    );
}

#[test]
fn secrets_are_in_no_form() {
    for pool in ["worker", "edge"] {
        for form in ["text", "json", "markdown"] {
            let ran = run(&format!("plan --pool {pool} {CHANGE} --show-diff -o {form}"));
            assert!(
                !format!("{}{}", ran.out, ran.err).contains("example-key-of"),
                "{pool} {form}"
            );
        }
    }
}

#[test]
fn rendered_configs_are_taken_as_they_are() {
    let directory = tempfile::tempdir().unwrap();
    let rendered = |set: &str| {
        let ran = run(&format!("render --pool edge -f examples/{set}"));
        assert_eq!(ran.code, 0, "{}", ran.err);
        write(directory.path(), &format!("{set}.yaml"), &ran.out)
    };
    let (old, new) = (rendered("base"), rendered("revision-2"));
    let from_files = run(&format!(
        "plan --pool edge --from {old} --to {new} {POLICY} -o json"
    ));
    let from_sources = run(&format!("plan --pool edge {CHANGE} {POLICY} -o json"));
    assert_eq!((from_files.code, from_sources.code), (3, 3), "{}", from_files.err);
    let plan = |ran: &Ran| serde_json::from_str::<machineconfig::Plan>(&ran.out).unwrap();
    let (given, made) = (plan(&from_files), plan(&from_sources));
    let targets = |plan: &machineconfig::Plan| {
        plan.steps
            .iter()
            .map(|step| step.target.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (&given.from, &given.to, targets(&given)),
        (&made.from, &made.to, targets(&made))
    );
    let other = run(&format!("plan --pool worker --from {old} --to {new}"));
    assert_eq!((other.code, other.out.as_str()), (1, ""));
    let first = other.err.lines().next().unwrap();
    assert!(
        first.starts_with(&format!("error[MC6001] {old}:")),
        "{}",
        other.err
    );
    assert!(
        first.contains(": MachineConfig/rendered-edge-") && first.contains(" metadata.name: is no rendered"),
        "{}",
        other.err
    );
}

#[test]
fn the_policy_of_the_desired_objects_holds_unless_another_is_given() {
    let directory = tempfile::tempdir().unwrap();
    let policy = fs::read_to_string("../examples/policy.yaml").unwrap();
    let strict = policy.replace("/etc/chrony.conf", "/etc/elsewhere.conf");
    let strict = write(directory.path(), "strict.yaml", &strict);
    let among = run(&format!("plan --pool worker {CHANGE} examples/policy.yaml"));
    assert_eq!(among.code, 2, "{}{}", among.out, among.err);
    let given = run(&format!(
        "plan --pool worker {CHANGE} examples/policy.yaml --policy {strict}"
    ));
    assert_eq!(given.code, 3, "{}{}", given.out, given.err);
}

#[test]
fn an_unusable_policy_is_refused_at_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let policy = fs::read_to_string("../examples/policy.yaml").unwrap();
    let policy = policy.replace("path: /etc/chrony.conf", "path: etc/chrony.conf");
    let file = write(directory.path(), "policy.yaml", &policy);
    let ran = run(&format!("plan --pool worker {CHANGE} --policy {file}"));
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    assert!(
        ran.err.starts_with(&format!("error[MC3001] {file}:")),
        "{}",
        ran.err
    );
    assert!(
        ran.err
            .contains("MachineConfiguration/cluster spec.nodeDisruptionPolicy.files[0].path"),
        "{}",
        ran.err
    );
}

#[test]
fn a_policy_of_another_name_is_called_by_it() {
    let directory = tempfile::tempdir().unwrap();
    let policy = fs::read_to_string("../examples/policy.yaml").unwrap();
    let policy = policy
        .replace("path: /etc/chrony.conf", "path: etc/chrony.conf")
        .replace("name: cluster", "name: other");
    let file = write(directory.path(), "policy.yaml", &policy);
    for line in [
        format!("plan --pool worker {CHANGE} --policy {file}"),
        format!("lint -f {file}"),
    ] {
        let ran = run(&line);
        assert_eq!(ran.code, 1);
        let place = format!("{file}:");
        let object = "MachineConfiguration/other spec.nodeDisruptionPolicy.files[0].path";
        assert!(
            ran.err.contains(&place) && ran.err.contains(object),
            "{line}: {}",
            ran.err
        );
    }
}

#[test]
fn several_paths_make_one_side() {
    let file = machine_config(
        "55-more",
        "worker",
        &one_file("/etc/motd.d/20-more", "0644", "data:,more"),
    );
    let line = format!("plan --pool worker --from examples/base --to examples/base - {POLICY}");
    let ran = run_with_input(&line, file.as_bytes());
    assert_eq!(ran.code, 2, "{}{}", ran.out, ran.err);
    assert!(
        ran.out.contains("/etc/motd.d/20-more") && ran.out.contains("55-more"),
        "{}",
        ran.out
    );
}

fn write(directory: &Path, name: &str, text: &str) -> String {
    let path = directory.join(name);
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}
