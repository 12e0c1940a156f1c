//! What is read, and as what.

use crds::MachineConfigSpec;
use crds::manifest::{Manifest, Object, parse, value};
use serde_json::json;

/// A MachineConfig with a spec given as lines of YAML; empty for none.
pub(crate) fn machine_config(name: &str, spec: &str) -> String {
    let spec = if spec.is_empty() {
        String::new()
    } else {
        format!("spec:\n  {}\n", spec.replace('\n', "\n  "))
    };
    format!(
        "apiVersion: machineconfiguration.openshift.io/v1\nkind: MachineConfig\nmetadata:\n  name: {name}\n{spec}"
    )
}

pub(crate) fn names(manifests: &[Manifest]) -> Vec<String> {
    manifests
        .iter()
        .map(|manifest| match &manifest.object {
            Object::MachineConfig(object) => object.metadata.name.clone().unwrap_or_default(),
            Object::Unknown { kind, name, .. } => format!("?{kind}/{name}"),
            other => panic!("{other:?}"),
        })
        .collect()
}

/// The objects of a text without errors.
fn all(text: &str) -> Vec<Manifest> {
    let (manifests, errors) = parse("x.yaml", text);
    assert_eq!(errors, [], "{text}");
    manifests
}

fn spec(text: &str) -> MachineConfigSpec {
    let mut manifests = all(text);
    assert_eq!(manifests.len(), 1, "{text}");
    match manifests.remove(0).object {
        Object::MachineConfig(object) => object.spec,
        other => panic!("{other:?}"),
    }
}

/// The right column is what kubectl's reader (sigs.k8s.io/yaml 1.6) says.
#[test]
fn scalars_are_what_kubectl_makes_of_them() {
    let table = [
        ("0644", json!(420)),
        ("0o644", json!(420)),
        ("0_644", json!(420)),
        ("-0644", json!(-420)),
        ("00755", json!(493)),
        ("420.0", json!(420)),
        ("4.2e2", json!(420)),
        ("1e3", json!(1000)),
        ("1_000", json!(1000)),
        ("0b11", json!(3)),
        ("0x1f", json!(31)),
        ("08", json!(8)),
        ("+5", json!(5)),
        ("-0", json!(0)),
        ("0.0", json!(0)),
        ("0.5", json!(0.5)),
        ("1e20", json!(1e20)),
        ("9007199254740993", json!(9_007_199_254_740_993_i64)),
        ("18446744073709551615", json!(u64::MAX)),
        ("y", json!(true)),
        ("Yes", json!(true)),
        ("ON", json!(true)),
        ("N", json!(false)),
        ("off", json!(false)),
        ("~", json!(null)),
        ("=", json!("=")),
        ("<<", json!("<<")),
        ("1:20", json!("1:20")),
        ("2001-01-01", json!("2001-01-01")),
        ("_1", json!("_1")),
        ("0o8", json!("0o8")),
        ("0b2", json!("0b2")),
        ("0644a", json!("0644a")),
        ("\"0644\"", json!("0644")),
        ("!!str 0644", json!("0644")),
        ("!!int 0644", json!(420)),
        ("!!float 1", json!(1)),
        ("!!binary aGk=", json!("hi")),
        ("!foo bar", json!("bar")),
    ];
    for (written, value) in table {
        let spec = spec(&machine_config("a", &format!("config:\n  value: {written}")));
        assert_eq!(spec.config, Some(json!({ "value": value })), "{written}");
    }
}

#[test]
fn words_that_yaml_takes_for_booleans_are_text_in_quotes() {
    let spec = spec(&machine_config(
        "a",
        "fips: yes\nkernelArguments: [\"yes\", 'no', quiet]",
    ));
    assert!(spec.fips);
    assert_eq!(spec.kernel_arguments.unwrap(), ["yes", "no", "quiet"]);
}

#[test]
fn a_null_field_is_absent_except_where_the_content_is_not_ours() {
    let text = machine_config(
        "a",
        "osImageURL: null\nfips: ~\nkernelArguments: null\nextensions:\nkernelType: null\nconfig: {passwd: null, a: [null]}",
    )
    .replace("  name: a\n", "  name: a\n  creationTimestamp: null\n  labels: null\n");
    let expected = MachineConfigSpec {
        config: Some(json!({ "passwd": null, "a": [null] })),
        ..MachineConfigSpec::default()
    };
    assert_eq!(spec(&text), expected);
    assert_eq!(
        spec(&machine_config("a", "config: null")),
        MachineConfigSpec::default()
    );
}

#[test]
fn an_object_without_a_spec_has_an_empty_one() {
    assert_eq!(spec(&machine_config("a", "")), MachineConfigSpec::default());
    assert_eq!(
        spec(&format!("{}spec: null\n", machine_config("a", ""))),
        MachineConfigSpec::default()
    );
}

#[test]
fn several_documents_keep_their_lines() {
    let text = format!(
        "# first\n{}---\n# nothing\n---\nnull\n---\n\n{}...\n{}",
        machine_config("a", ""),
        machine_config("b", ""),
        machine_config("c", "")
    );
    let manifests = all(&text);
    assert_eq!(names(&manifests), ["a", "b", "c"]);
    let lines = manifests.iter().map(|manifest| manifest.line).collect::<Vec<_>>();
    assert_eq!(lines, [2, 12, 17]);
}

#[test]
fn text_that_looks_like_a_marker_stays_in_its_document() {
    let spec = spec(&machine_config("a", "kernelType: |\n  ---\n  ...\n  x"));
    assert_eq!(spec.kernel_type, "---\n...\nx\n");
}

#[test]
fn line_ends_of_windows_and_a_byte_order_mark_are_read() {
    let text = machine_config("a", "kernelType: |\n  a\n  b\nfips: true");
    let windows = format!("\u{feff}{}", text.replace('\n', "\r\n"));
    assert_eq!(spec(&windows), spec(&text));
    let two = format!("{windows}---\r\n{}", text.replace('\n', "\r\n"));
    assert_eq!(all(&two).len(), 2);
}

#[test]
fn json_is_read_with_its_tabs_and_escapes() {
    let text = "{\n\t\"apiVersion\": \"machineconfiguration.openshift.io/v1\",\n\t\"kind\": \"MachineConfig\",\n\
                \t\"metadata\": {\"name\": \"a\"},\n\t\"spec\": {\"kernelType\": \"\\ud83d\\ude00 \\u00e4\\/\\n\"}\n}\n";
    assert_eq!(spec(text).kernel_type, "😀 ä/\n");
}

#[test]
fn json_objects_may_follow_one_another() {
    let object = |name: &str| {
        format!(
            r#"{{"apiVersion":"machineconfiguration.openshift.io/v1","kind":"MachineConfig","metadata":{{"name":"{name}"}}}}"#
        )
    };
    let manifests = all(&format!("{}{}\n\n{}\n", object("a"), object("b"), object("c")));
    assert_eq!(names(&manifests), ["a", "b", "c"]);
    assert_eq!(
        manifests.iter().map(|manifest| manifest.line).collect::<Vec<_>>(),
        [1, 1, 3]
    );
}

#[test]
fn lists_are_taken_apart() {
    let yaml = format!(
        "apiVersion: v1\nkind: List\nitems:\n- {}\n- kind: List\n  items:\n  - {}\n",
        machine_config("a", "").trim_end().replace('\n', "\n  "),
        machine_config("b", "").trim_end().replace('\n', "\n    ")
    );
    let manifests = all(&yaml);
    assert_eq!(names(&manifests), ["a", "b"]);
    assert_eq!(
        manifests.iter().map(|manifest| manifest.line).collect::<Vec<_>>(),
        [4, 10]
    );

    let json = r#"{"kind": "List", "apiVersion": "v1", "metadata": {}, "items": [
        {"apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfig", "metadata": {"name": "a"}},
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}}
    ]}"#;
    assert_eq!(names(&all(json)), ["a", "?Deployment/d"]);
    assert_eq!(all("apiVersion: v1\nkind: List\nitems: []\n"), []);
}

#[test]
fn items_of_a_typed_list_take_its_kind() {
    let text = "apiVersion: machineconfiguration.openshift.io/v1\nkind: MachineConfigList\nitems:\n- metadata: {name: a}\n";
    assert_eq!(names(&all(text)), ["a"]);
}

#[test]
fn other_kinds_are_named_and_not_looked_into() {
    let text = "apiVersion: machineconfiguration.openshift.io/v1alpha1\nkind: MachineConfig\nspec: [anything]\n---\n\
                apiVersion: v1\nkind: Secret\nmetadata:\n  name: s\ndata: 5\n";
    let manifests = all(text);
    assert_eq!(names(&manifests), ["?MachineConfig/", "?Secret/s"]);
    let Object::Unknown { api_version, .. } = &manifests[0].object else {
        panic!()
    };
    assert_eq!(api_version, "machineconfiguration.openshift.io/v1alpha1");
}

#[test]
fn fields_that_nobody_reads_are_named() {
    let text = machine_config(
        "a",
        "kernelArgs: [x]\nconfig: {anything: {goes: here}}\nextra: {deep: 1}",
    )
    .replace("  name: a\n", "  name: a\n  label: {}\n");
    let manifests = all(&format!("{text}stauts: {{}}\n"));
    assert_eq!(
        manifests[0].unknown_fields,
        ["metadata.label", "spec.extra", "spec.kernelArgs", "stauts"]
    );
    assert_eq!(
        all(&machine_config("a", "fips: true"))[0].unknown_fields,
        [] as [&str; 0]
    );
}

#[test]
fn aliases_and_merge_keys_are_followed() {
    let text = machine_config(
        "a",
        "kernelArguments: &k [quiet]\nextensions: *k\nconfig:\n  one: &o {a: 1, b: 2}\n  two:\n    <<: *o\n    b: 3",
    );
    let spec = spec(&text);
    assert_eq!(spec.extensions, spec.kernel_arguments);
    assert_eq!(spec.config.unwrap()["two"], json!({ "a": 1, "b": 3 }));
}

#[test]
fn a_text_without_objects_has_neither_objects_nor_errors() {
    for text in [
        "",
        "\n\n",
        "---\n",
        "# only this\n",
        "---\n---\n...\n",
        "null",
        "~\n---\n",
        "\u{feff}",
    ] {
        assert_eq!(parse("x.yaml", text), (vec![], vec![]), "{text:?}");
    }
}

#[test]
fn a_text_of_any_shape_is_one_value() {
    assert_eq!(value("f", "").unwrap(), json!(null));
    assert_eq!(value("f", "---\na: 0644\n---\n").unwrap(), json!({ "a": 420 }));
    assert_eq!(value("f", "[1, x]").unwrap(), json!([1, "x"]));
}
