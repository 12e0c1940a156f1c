//! Bad input gets one clear message with file, object, field, code and remedy, and nothing on standard output.

use std::fmt::Write as _;
use std::fs;

use super::{Ran, machine_config, one_file, run, run_with_input};

/// One fault: the file below `tests/bad`, and what the message must hold.
struct Fault {
    file: &'static str,
    code: &'static str,
    object: &'static str,
    field: &'static str,
    says: &'static str,
}

const fn fault(
    file: &'static str,
    code: &'static str,
    object: &'static str,
    field: &'static str,
    says: &'static str,
) -> Fault {
    Fault {
        file,
        code,
        object,
        field,
        says,
    }
}

const FAULTS: &[Fault] = &[
    fault("malformed-yaml.yaml", "MC1005", "", "", ""),
    fault(
        "ignition-version-unknown.yaml",
        "MC1104",
        "MachineConfig/50-version-unknown",
        "spec.config.ignition.version",
        "3.9.0",
    ),
    fault(
        "ignition-version-missing.yaml",
        "MC1104",
        "MachineConfig/50-version-missing",
        "spec.config.ignition.version",
        "",
    ),
    fault(
        "path-relative.yaml",
        "MC1106",
        "MachineConfig/50-path-relative",
        "spec.config.storage.files[0].path",
        "etc/motd",
    ),
    fault(
        "path-unclean.yaml",
        "MC1106",
        "MachineConfig/50-path-unclean",
        "spec.config.storage.files[0].path",
        "..",
    ),
    fault(
        "path-twice.yaml",
        "MC1107",
        "MachineConfig/50-path-twice",
        "spec.config.storage.files[1]",
        "/etc/motd",
    ),
    fault(
        "path-file-and-directory.yaml",
        "MC1107",
        "MachineConfig/50-path-file-and-directory",
        "spec.config.storage",
        "/etc/motd.d",
    ),
    fault(
        "mode-setuid.yaml",
        "MC1108",
        "MachineConfig/50-mode",
        "spec.config.storage.files[0].mode",
        "4755",
    ),
    fault(
        "content-malformed.yaml",
        "MC1110",
        "MachineConfig/50-content-malformed",
        "spec.config.storage.files[0].contents.source",
        "",
    ),
    fault(
        "content-not-data.yaml",
        "MC1138",
        "MachineConfig/50-content-not-data",
        "spec.config.storage.files[0].contents.source",
        "data:",
    ),
    fault(
        "gzip-corrupt.yaml",
        "MC1111",
        "MachineConfig/50-gzip",
        "spec.config.storage.files[0].contents",
        "gzip",
    ),
    fault(
        "hash-wrong.yaml",
        "MC1113",
        "MachineConfig/50-hash",
        "spec.config.storage.files[0].contents.verification.hash",
        "",
    ),
    fault(
        "unit-suffix.yaml",
        "MC1114",
        "MachineConfig/50-unit",
        "spec.config.systemd.units[0].name",
        "prune.timr",
    ),
    fault(
        "dropin-suffix.yaml",
        "MC1114",
        "MachineConfig/50-dropin",
        "spec.config.systemd.units[0].dropins[0].name",
        "10-limits.txt",
    ),
    fault(
        "extension-unsupported.yaml",
        "MC1131",
        "MachineConfig/50-extension",
        "spec.extensions",
        "emacs",
    ),
    fault(
        "kernel-type-unsupported.yaml",
        "MC1130",
        "MachineConfig/50-kernel",
        "spec.kernelType",
        "hurd",
    ),
    fault(
        "kernel-devel-realtime.yaml",
        "MC1205",
        "MachineConfig/50-devel",
        "spec.extensions",
        "kernel-devel",
    ),
    fault(
        "user-not-core.yaml",
        "MC1116",
        "MachineConfig/50-user",
        "spec.config.passwd.users[0].name",
        "operator",
    ),
    fault(
        "no-role-label.yaml",
        "MC1132",
        "MachineConfig/50-no-role",
        "metadata.labels",
        "",
    ),
];

#[test]
fn lint_names_file_object_field_and_remedy_of_every_fault() {
    for fault in FAULTS {
        let path = format!("mcctl/tests/bad/{}", fault.file);
        check(&run(&format!("lint -f {path}")), &path, fault);
    }
}

#[test]
fn render_refuses_every_fault_in_the_same_words() {
    // A MachineConfig without a role is in no pool, so rendering one does not meet it.
    for fault in FAULTS.iter().filter(|fault| fault.file != "no-role-label.yaml") {
        let path = format!("mcctl/tests/bad/{}", fault.file);
        check(&run(&format!("render --pool worker -f {path}")), &path, fault);
    }
}

/// The faults that are about pools, which `render` meets when it is asked for that pool.
#[test]
fn pools_that_cannot_be_rendered_are_named() {
    let table = [
        fault(
            "pool-selects-nothing.yaml",
            "MC1201",
            "MachineConfigPool/edge",
            "spec.machineConfigSelector",
            "",
        ),
        fault(
            "pool-max-unavailable.yaml",
            "MC1214",
            "MachineConfigPool/infra",
            "spec.maxUnavailable",
            "-1",
        ),
        fault(
            "pool-unknown.yaml",
            "MC1213",
            "MachineConfig/50-gpus",
            "metadata.labels",
            "gpus",
        ),
    ];
    for fault in &table {
        let path = format!("mcctl/tests/bad/{}", fault.file);
        check(&run(&format!("lint -f {path}")), &path, fault);
    }
    let path = "mcctl/tests/bad/pool-selects-nothing.yaml";
    check(&run(&format!("render --pool edge -f {path}")), path, &table[0]);
}

#[test]
fn a_pool_that_is_not_there_is_answered_with_those_that_are() {
    let ran = run("render --pool egde -f examples/base");
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    assert!(
        ran.err.starts_with("error[MC6001] MachineConfigPool/egde: "),
        "{}",
        ran.err
    );
    assert!(ran.err.contains("edge, worker"), "{}", ran.err);
}

#[test]
fn a_machine_config_without_role_is_told_of_wherever_it_is_left_out() {
    let sound = machine_config("50-a", "worker", &one_file("/etc/a", "0644", "data:,a"));
    let roleless = machine_config("50-b", "x", &one_file("/etc/b", "0644", "data:,b"));
    let other_label = roleless.replace("machineconfiguration.openshift.io/role: x", "team: b");
    let empty = roleless.replace("/role: x", "/role: \"\"");
    let directory = tempfile::tempdir().unwrap();
    for roleless in [other_label, empty] {
        let path = directory.path().join("b.yaml");
        fs::write(&path, &roleless).unwrap();
        let place = format!(
            "warning[MC1132] {}:6:5: MachineConfig/50-b metadata.labels: ",
            path.display()
        );
        let beside = run_with_input(
            &format!("render --pool worker -o name -f - {}", path.display()),
            sound.as_bytes(),
        );
        assert_eq!(beside.code, 0, "{}", beside.err);
        assert!(beside.err.starts_with(&place), "{}", beside.err);
        fs::write(directory.path().join("a.yaml"), &sound).unwrap();
        let both = directory.path().display();
        let plan = run(&format!("plan --pool worker --from {both} --to {both}"));
        assert_eq!(plan.code, 0, "{}", plan.err);
        assert_eq!(plan.err.matches(&place).count(), 1, "{}", plan.err);
        let alone = run(&format!("render --pool worker -f {}", path.display()));
        assert_eq!(alone.code, 1);
        assert!(
            alone.err.contains(&place)
                && alone
                    .err
                    .contains("no pool at all, since 1 MachineConfig in it has no role"),
            "{}",
            alone.err
        );
    }
}

#[test]
fn names_that_no_node_can_have_are_refused() {
    let nul = r"/etc/a\0b";
    let spec = one_file(&format!("\"{nul}\""), "0644", "data:,a");
    let root = one_file("/", "0644", "data:,a");
    for (spec, says) in [(spec, "NUL"), (root, "root")] {
        let input = machine_config("50-a", "worker", &spec);
        for command in ["lint -f -", "render --pool worker -f -", "convert --to 3.4.0 -"] {
            let ran = run_with_input(command, input.as_bytes());
            assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{command}: {}", ran.err);
            assert!(
                ran.err.contains("error[MC1106] -:")
                    && ran
                        .err
                        .contains("MachineConfig/50-a spec.config.storage.files[0].path: ")
                    && ran.err.contains(says),
                "{command}: {}",
                ran.err
            );
        }
    }
}

#[test]
fn the_place_in_a_list_that_translation_reorders_is_not_said() {
    let config = r#"{"ignition":{"version":"2.2.0"},"storage":{"files":[
        {"filesystem":"root","path":"/ok","mode":420,"contents":{"source":"data:,a"}},
        {"filesystem":"root","path":"/n\u0000","mode":420,"contents":{"source":"data:,a"}}]}}"#;
    let ran = run_with_input("convert --to 3.2.0 -", config.as_bytes());
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(
        ran.err.contains("storage.files: ") && ran.err.contains("/n"),
        "{}",
        ran.err
    );
}

#[test]
fn a_list_whose_items_are_none_is_refused() {
    for kind in [
        "apiVersion: v1\nkind: List\n",
        "apiVersion: machineconfiguration.openshift.io/v1\nkind: MachineConfigList\n",
    ] {
        let ran = run_with_input("lint -f -", format!("{kind}items: 7\n").as_bytes());
        assert_eq!(ran.code, 1, "{}", ran.err);
        assert!(
            ran.err.starts_with("error[MC1005] -:3:")
                && ran.err.contains("items: expected a list, found a number"),
            "{}",
            ran.err
        );
    }
}

#[test]
fn malformed_yaml_is_placed_by_line_and_column() {
    let ran = run("lint -f mcctl/tests/bad/malformed-yaml.yaml");
    let place = ran
        .err
        .strip_prefix("error[MC1005] mcctl/tests/bad/malformed-yaml.yaml:")
        .unwrap();
    let mut numbers = place.split(':');
    for what in ["line", "column"] {
        let number: usize = numbers
            .next()
            .unwrap()
            .parse()
            .unwrap_or_else(|_| panic!("{what}: {}", ran.err));
        assert!(number > 0, "{what}: {}", ran.err);
    }
}

#[test]
fn two_objects_of_one_name_are_both_named() {
    let ran = run("lint -f mcctl/tests/bad/two-of-one-name");
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    for part in [
        "MC1202",
        "MachineConfig/50-twice",
        "first.yaml:1",
        "second.yaml:4:9",
        "metadata.name",
        "help: ",
    ] {
        assert!(ran.err.contains(part), "{part}: {}", ran.err);
    }
}

#[test]
fn an_unknown_kind_is_only_warned_of() {
    let path = "mcctl/tests/bad/unknown-kind.yaml";
    let linted = run(&format!("lint -f {path}"));
    assert_eq!(linted.code, 0, "{}", linted.err);
    assert!(
        linted
            .err
            .starts_with(&format!("warning[MC1006] {path}:2:7: Gadget/whatever kind: ")),
        "{}",
        linted.err
    );
    let rendered = run(&format!("render --pool worker -o name -f {path}"));
    assert_eq!(rendered.code, 0, "{}", rendered.err);
    assert!(rendered.err.contains("warning[MC1006]"), "{}", rendered.err);
    assert!(rendered.out.starts_with("rendered-worker-"), "{}", rendered.out);
}

#[test]
fn contents_that_inflate_beyond_the_bound_are_refused() {
    let zeros = vec![0; ignition::contents::MAX_INFLATED + 1];
    let bomb = ignition::contents::base64(&ignition::contents::gzip(&zeros));
    let spec = format!(
        "{}            compression: gzip\n",
        one_file("/etc/zeros", "0644", &bomb)
    );
    let ran = run_with_input("lint -f -", machine_config("50-bomb", "worker", &spec).as_bytes());
    let fault = fault(
        "",
        "MC1112",
        "MachineConfig/50-bomb",
        "spec.config.storage.files[0].contents",
        "67108864",
    );
    check(&ran, "-", &fault);
}

#[test]
fn a_result_over_the_size_limit_is_refused() {
    let mut input = String::new();
    for number in 0..4 {
        let source = format!("data:,{}", "x".repeat(400_000));
        let spec = one_file(&format!("/etc/large-{number}"), "0644", &source);
        let _ = write!(
            input,
            "---\n{}",
            machine_config(&format!("50-large-{number}"), "worker", &spec)
        );
    }
    for command in ["lint -f -", "render --pool worker -f -"] {
        let ran = run_with_input(command, input.as_bytes());
        assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{}", ran.err);
        for part in [
            "error[MC1207]",
            "MachineConfig/50-large-0 spec.config: ",
            "of the pool worker has ",
            "1572864",
            "400006 of 50-large-0, 400006 of 50-large-1",
            "help: ",
        ] {
            assert!(ran.err.contains(part), "{part}: {}", ran.err);
        }
        assert!(!ran.err.contains("xxxxxxxx"), "contents are not shown");
    }
}

#[test]
fn a_directory_or_an_entry_of_it_that_cannot_be_read_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    for (what, says) in [("missing", "cannot be read"), ("missing/below", "cannot be read")] {
        let ran = run(&format!("lint -f {path}/{what}"));
        let place = format!("error[MC1001] {path}/{what}: {says}");
        assert!(ran.err.starts_with(&place), "{}", ran.err);
        assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    }
    // Not a matter of rights, which do not bind the superuser: links that lead nowhere, and in a circle.
    std::os::unix::fs::symlink("nowhere", directory.path().join("a.yaml")).unwrap();
    std::os::unix::fs::symlink("b.yaml", directory.path().join("b.yaml")).unwrap();
    let ran = run(&format!("lint -f {path}"));
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    for name in ["a.yaml", "b.yaml"] {
        assert!(
            ran.err
                .contains(&format!("error[MC1001] {path}/{name}: cannot be read: ")),
            "{}",
            ran.err
        );
    }
}

#[test]
fn what_is_no_text_is_refused_by_offset() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("junk.yaml");
    let name = path.to_str().unwrap();
    let table: [(&[u8], &str); 4] = [
        (b"abc\xff\xfe", "bytes that are not UTF-8 at offset 3"),
        (b"\xff\xfea\0b\0", "bytes that are not UTF-8 at offset 0"),
        (b"ab\0c", "a NUL byte at offset 2"),
        (b"\x7fELF\x02\x01\x01\0", "a NUL byte at offset 7"),
    ];
    for (bytes, says) in table {
        fs::write(&path, bytes).unwrap();
        for command in [
            "lint -f",
            "render --pool worker -f",
            "inspect",
            "convert --to 3.2.0",
        ] {
            let ran = run(&format!("{command} {name}"));
            assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{command}");
            let expected = format!("error[MC1003] {name}: is no text: {says}\n  help: ");
            assert!(ran.err.starts_with(&expected), "{command}: {}", ran.err);
        }
    }
}

#[test]
fn what_holds_no_object_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let empty = run(&format!("lint -f {path}"));
    assert!(
        empty.err.starts_with(&format!("error[MC1004] {path}: ")),
        "{}",
        empty.err
    );
    assert_eq!(empty.code, 1);
    let nothing = run_with_input("lint -f -", b"---\n# nothing\n---\n");
    assert!(nothing.err.starts_with("error[MC1004] -: "), "{}", nothing.err);
    assert_eq!(nothing.code, 1);
}

#[test]
fn all_problems_of_all_files_are_reported_in_one_run() {
    let ran = run("lint -f mcctl/tests/bad");
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    let missing: Vec<_> = FAULTS
        .iter()
        .filter(|fault| !ran.err.contains(&format!("mcctl/tests/bad/{}:", fault.file)))
        .map(|fault| fault.file)
        .collect();
    assert_eq!(missing, Vec::<&str>::new(), "{}", ran.err);
}

fn check(ran: &Ran, place: &str, fault: &Fault) {
    let Fault {
        code,
        object,
        field,
        says,
        ..
    } = fault;
    assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{place}: {}", ran.err);
    let head = format!("error[{code}] {place}:");
    let message = ran.err.split_inclusive('\n').collect::<Vec<_>>();
    let found = message.windows(2).find(|lines| {
        let [line, help] = lines else { return false };
        line.starts_with(&head)
            && [object, field, says].iter().all(|part| line.contains(**part))
            && help.starts_with("  help: ")
    });
    assert!(found.is_some(), "{head} {object} {field} {says}: {}", ran.err);
}
