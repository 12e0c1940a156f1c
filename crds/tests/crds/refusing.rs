//! What is refused, and what the user is told: the file, the line, the column, the object, the
//! field, and never a value.

use crds::manifest::{MAX_TEXT_BYTES, parse, value};
use proptest::prelude::*;

use crate::reading::{machine_config, names};

fn errors(text: &str) -> Vec<String> {
    let (manifests, errors) = parse("x.yaml", text);
    assert_eq!(manifests, [], "{text}");
    errors.iter().map(ToString::to_string).collect()
}

fn error(text: &str) -> String {
    let mut errors = errors(text);
    assert_eq!(errors.len(), 1, "{text}: {errors:?}");
    errors.remove(0)
}

#[test]
fn a_bad_document_does_not_hide_the_others() {
    let text = format!(
        "{}---\nkind: MachineConfig\nmetadata: {{name: broken}}\nspec: [1\n---\n{}---\n- 1\n",
        machine_config("a", ""),
        machine_config("b", "")
    );
    let (manifests, errors) = parse("dir/x.yaml", &text);
    assert_eq!(names(&manifests), ["a", "b"]);
    assert_eq!(
        errors.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [
            "dir/x.yaml:8:7: MachineConfig/broken: not valid YAML: unclosed bracket '['",
            "dir/x.yaml:15:1: expected an object, found a list",
        ]
    );
}

#[test]
fn broken_text_is_pointed_at() {
    let table = [
        (
            "spec:\n\tfips: true",
            "x.yaml:6:2: MachineConfig/a: not valid YAML: tabs disallowed within this context (block indentation)",
        ),
        (
            "spec: {a: 1\n",
            "x.yaml:5:7: MachineConfig/a: not valid YAML: unclosed bracket '{'",
        ),
        (
            "spec: a: b",
            "x.yaml:5:8: MachineConfig/a: not valid YAML: mapping values are not allowed in this context",
        ),
        (
            "spec:\n  a: 1\n b: 2",
            "x.yaml:7:2: MachineConfig/a: not valid YAML: while parsing a block mapping, did not find expected key",
        ),
        (
            "spec: *nowhere",
            "x.yaml:5:7: MachineConfig/a: not valid YAML: alias references unknown anchor",
        ),
        (
            "spec:\n  a: x\u{7}y",
            "x.yaml:6:6: MachineConfig/a: not valid YAML: unexpected character: `\\u{7}'",
        ),
        (
            "spec:\n  a: .inf",
            "x.yaml:6:6: MachineConfig/a: a number that JSON does not have (infinite, not a number or too large); put it in quotes if text is meant",
        ),
        (
            "spec:\n  a: 1\n  a: 2",
            "x.yaml:7:3: MachineConfig/a: the key `a` is given twice in one mapping; remove one of them",
        ),
        (
            "kind: MachineConfig",
            "x.yaml:5:1: MachineConfig/a: the key `kind` is given twice in one mapping; remove one of them",
        ),
        (
            "? [a]\n: b",
            "x.yaml:5:3: MachineConfig/a: not valid YAML: expected string scalar",
        ),
        (
            "~: b",
            "x.yaml:5:1: MachineConfig/a: a key of a mapping must be text, this one is null",
        ),
    ];
    for (lines, message) in table {
        assert_eq!(
            error(&format!("{}{lines}\n", machine_config("a", ""))),
            message,
            "{lines}"
        );
    }
}

#[test]
fn broken_json_is_pointed_at() {
    let json = r#"{"kind": "MachineConfig", "metadata": {"name": "a"},
  "spec": {"fips": true, "fips": false}}"#;
    assert_eq!(
        error(json),
        "x.yaml:2:26: MachineConfig/a: the key `fips` is given twice in one mapping; remove one of them"
    );
    let good = r#"{"apiVersion": "v1", "kind": "Secret"}"#;
    let (manifests, errors) = parse("x.yaml", &format!("{good} {{\"kind\": \"A\", \"b\"}} "));
    assert_eq!(manifests.len(), 1);
    assert_eq!(
        (errors[0].line, errors[0].object.as_deref()),
        (1, Some("A")),
        "{errors:?}"
    );
}

#[test]
fn values_of_a_wrong_type_are_pointed_at() {
    let table = [
        (
            "fips: \"yes\"",
            "x.yaml:6:9: MachineConfig/a: spec.fips: expected a boolean, found a string",
        ),
        (
            "fips: 1",
            "x.yaml:6:9: MachineConfig/a: spec.fips: expected a boolean, found a number",
        ),
        (
            "kernelArguments: quiet",
            "x.yaml:6:20: MachineConfig/a: spec.kernelArguments: expected a list, found a string",
        ),
        (
            "kernelArguments:\n- quiet\n- yes",
            "x.yaml:8:5: MachineConfig/a: spec.kernelArguments[1]: expected a string, found a boolean (true, yes and on are booleans unless in quotes)",
        ),
        (
            "kernelArguments: [null]",
            "x.yaml:6:21: MachineConfig/a: spec.kernelArguments[0]: expected a string, found null",
        ),
        (
            "osImageURL: {}",
            "x.yaml:6:15: MachineConfig/a: spec.osImageURL: expected a string, found a mapping",
        ),
    ];
    for (spec, message) in table {
        assert_eq!(error(&machine_config("a", spec)), message, "{spec}");
    }
}

#[test]
fn places_are_those_of_the_whole_file_and_of_the_item() {
    let bad = machine_config("b", "fips: 1");
    let (_, errors) = parse("x.yaml", &format!("{}---\n{bad}", machine_config("a", "")));
    assert_eq!(
        errors[0].to_string(),
        "x.yaml:11:9: MachineConfig/b: spec.fips: expected a boolean, found a number"
    );
    let list = format!("kind: List\nitems:\n- {}\n", bad.trim_end().replace('\n', "\n  "));
    assert_eq!(
        error(&list),
        "x.yaml:8:11: MachineConfig/b: spec.fips: expected a boolean, found a number"
    );
}

#[test]
fn fields_of_other_kinds_are_pointed_at() {
    let table = [
        (
            "kind: MachineConfigPool\nmetadata: {name: p}\nspec:\n  nodeSelector:\n    matchLabels: {\"a/b\": 1}",
            "x.yaml:6:26: MachineConfigPool/p: spec.nodeSelector.matchLabels[\"a/b\"]: expected a string, found a number",
        ),
        (
            "kind: MachineConfigPool\nmetadata: {name: p, labels: [a]}\nspec: {}",
            "x.yaml:3:29: MachineConfigPool/p: metadata.labels: expected a mapping, found a list",
        ),
        (
            "kind: MachineConfigPool\nmetadata: {name: p}\nspec: {maxUnavailable: 99999999999}",
            "x.yaml:4:24: MachineConfigPool/p: spec.maxUnavailable: the number is out of range, expected a 32-bit integer",
        ),
        (
            "kind: PinnedImageSet\nmetadata: {name: s}\nspec: {pinnedImages: [{}]}",
            "x.yaml:4:23: PinnedImageSet/s: spec.pinnedImages[0].name is missing",
        ),
        (
            "kind: PinnedImageSet\nmetadata: {name: s}",
            "x.yaml:1:1: PinnedImageSet/s: spec.pinnedImages is missing",
        ),
        (
            "kind: KubeletConfig\nmetadata: {name: k}\nspec: {systemGomaxprocsBehavior: Sometimes}",
            "x.yaml:4:34: KubeletConfig/k: spec.systemGomaxprocsBehavior: unknown value, expected `Autosize` or `Disabled`",
        ),
        (
            "kind: ControllerConfig\nmetadata: {name: c}\nspec: {rootCAData: \"not base64!\"}",
            "x.yaml:4:20: ControllerConfig/c: spec.rootCAData: the text is malformed",
        ),
    ];
    for (object, message) in table {
        let text = format!("apiVersion: machineconfiguration.openshift.io/v1\n{object}\n");
        assert_eq!(error(&text), message);
    }
}

#[test]
fn an_object_must_say_what_it_is() {
    let table = [
        (
            "a: 1",
            "x.yaml:1:1: kind is missing; a Kubernetes object needs apiVersion, kind and metadata.name",
        ),
        (
            "kind: MachineConfig",
            "x.yaml:1:1: MachineConfig: apiVersion is missing; a Kubernetes object needs apiVersion, kind and metadata.name",
        ),
        ("kind: [x]", "x.yaml:1:7: kind: expected a string, found a list"),
        (
            "kind: true",
            "x.yaml:1:7: kind: expected a string, found a boolean (true, yes and on are booleans unless in quotes)",
        ),
        (
            "apiVersion: machineconfiguration.openshift.io/v1\nkind: MachineConfig\nspec: {}",
            "x.yaml:1:1: MachineConfig: metadata.name is missing or empty; give the object a name",
        ),
        (
            "apiVersion: machineconfiguration.openshift.io/v1\nkind: MachineConfig\nmetadata:\n  labels: {}\n",
            "x.yaml:4:3: MachineConfig: metadata.name is missing or empty; give the object a name",
        ),
        (
            "apiVersion: machineconfiguration.openshift.io/v1\nkind: MachineConfig\nmetadata: {name: 5}\n",
            "x.yaml:3:18: MachineConfig: metadata.name: expected a string, found a number",
        ),
        ("just words", "x.yaml:1:1: expected an object, found a string"),
        (
            "kind: List\nitems: [5]",
            "x.yaml:2:9: expected an object, found a number",
        ),
    ];
    for (text, message) in table {
        assert_eq!(error(text), message, "{text}");
    }
}

#[test]
fn a_value_is_never_in_the_message() {
    let secret = "hunter2";
    for text in [
        format!("fips: {secret}"),
        format!("config: {{a: {secret}, a: {secret}}}"),
        format!("kernelArguments: {secret}"),
        format!("config: \"{secret}\\q\""),
        format!("config: [{secret}"),
        format!("config: *{secret}"),
    ] {
        let message = error(&machine_config("a", &text));
        assert!(!message.contains(secret), "{message}");
    }
    let text = format!(
        "apiVersion: machineconfiguration.openshift.io/v1\nkind: ControllerConfig\nmetadata: {{name: c}}\n\
         spec: {{internalRegistryPullSecret: \"{secret}!\"}}\n"
    );
    assert!(!error(&text).contains(secret));
}

#[test]
fn what_would_grow_without_bound_is_refused() {
    let mut bomb = "a: &a [x, x]\n".to_owned();
    for (before, key) in ('a'..='y').zip('b'..='z') {
        bomb.push_str(
            &["KEY: &KEY [", "*BEFORE, *BEFORE, *BEFORE, *BEFORE", "]\n"]
                .concat()
                .replace("KEY", &key.to_string())
                .replace("BEFORE", &before.to_string()),
        );
    }
    let long = [
        "a: &a ",
        &"x".repeat(1_000_000),
        "\nb: [",
        &"*a,".repeat(200),
        "]\n",
    ]
    .concat();
    let deep = ["a: ", &"[".repeat(200), &"]".repeat(200), "\n"].concat();
    let block = (0..200)
        .flat_map(|depth| [" ".repeat(depth), "a:\n".to_owned()])
        .collect::<String>();
    for text in [bomb, long, deep, block] {
        let message = error(&text);
        assert!(
            message.ends_with(
                "the document is too large, too deep (more than 64 levels) or repeats too much by aliases"
            ),
            "{message}"
        );
    }
    let message = error(&"#".repeat(MAX_TEXT_BYTES + 1));
    assert_eq!(
        message,
        "x.yaml: the text is 67108865 bytes long and the limit is 67108864; split it into several files"
    );
}

/// Were the text read again for every item, this would take minutes.
#[test]
fn a_long_list_with_many_errors_is_read_in_one_go() {
    const ITEMS: usize = 4000;
    let mut text =
        "kind: MachineConfigList\napiVersion: machineconfiguration.openshift.io/v1\nitems:\n".to_owned();
    for i in 0..ITEMS {
        let fips = if i % 2 == 0 { "true" } else { "no?" };
        text.push_str(
            &[
                "- metadata: {name: a",
                &i.to_string(),
                "}\n  spec:\n    fips: ",
                fips,
                "\n",
            ]
            .concat(),
        );
    }
    let (manifests, errors) = parse("x.yaml", &text);
    assert_eq!((manifests.len(), errors.len()), (ITEMS / 2, ITEMS / 2));
    assert_eq!(manifests[ITEMS / 2 - 1].line, 3 + 3 * (ITEMS - 2) + 1);
    assert_eq!(
        (errors[ITEMS / 2 - 1].line, errors[ITEMS / 2 - 1].column),
        (3 + 3 * ITEMS, 11)
    );
}

#[test]
fn one_value_is_not_two() {
    let message = |text: &str| value("x.yaml", text).unwrap_err().to_string();
    assert_eq!(
        message("a: 1\nb: ["),
        "x.yaml:2:4: not valid YAML: unclosed bracket '['"
    );
    assert_eq!(
        message("a: 1\n---\n\nb: 2\n"),
        "x.yaml:4:1: the file holds several documents, and only one is expected"
    );
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in r"(?s).{0,200}") {
        let _ = parse("x.yaml", &text);
    }

    #[test]
    fn no_change_of_a_manifest_makes_it_panic(
        at in 0.0..1.0_f64,
        cut in 0..20_usize,
        put in r"[\n\r\t \-:\[\]{}&*!|>'\x22%@`#,?~a0.\u{85}\u{feff}]{0,6}",
    ) {
        let text = format!(
            "{}---\n{}",
            machine_config("a", "config: &x {storage: {files: [{path: /a, mode: 0644}]}}\nkernelArguments: [a]"),
            r#"{"kind": "List", "items": [{"kind": "X"}, {"apiVersion": "v1", "metadata": {"name": "x"}}]}"#
        );
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let at = (at * text.len() as f64) as usize;
        let changed = format!("{}{put}{}", &text[..at], &text[(at + cut).min(text.len())..]);
        let (manifests, errors) = parse("x.yaml", &changed);
        // YAML takes a lone carriage return for a line break too.
        let lines = changed.matches(['\n', '\r']).count() + 1;
        for line in manifests.iter().map(|manifest| manifest.line).chain(errors.iter().map(|error| error.line)) {
            prop_assert!((1..=lines).contains(&line), "line {line} of {lines}: {changed:?}");
        }
    }
}
