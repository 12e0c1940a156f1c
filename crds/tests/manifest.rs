//! Reading manifests: what is accepted, what is refused, and where the errors point.

use crds::manifest::{Manifest, Object, parse};

fn machine_config(name: &str, spec: &str) -> String {
    let spec = if spec.is_empty() {
        String::new()
    } else {
        format!("spec:\n  {}\n", spec.replace('\n', "\n  "))
    };
    format!(
        "apiVersion: machineconfiguration.openshift.io/v1\nkind: MachineConfig\nmetadata:\n  name: {name}\n{spec}"
    )
}

fn names(manifests: &[Manifest]) -> Vec<String> {
    manifests
        .iter()
        .map(|manifest| match &manifest.object {
            Object::MachineConfig(object) => object.metadata.name.clone().unwrap_or_default(),
            Object::Unknown { kind, name, .. } => format!("?{kind}/{name}"),
            other => panic!("{other:?}"),
        })
        .collect()
}

/// The one object of a text that must be good.
fn one(text: &str) -> Object {
    let (mut manifests, errors) = parse("x.yaml", text);
    assert_eq!(errors, [], "{text}");
    assert_eq!(manifests.len(), 1, "{text}");
    manifests.remove(0).object
}

fn spec(text: &str) -> crds::MachineConfigSpec {
    match one(text) {
        Object::MachineConfig(object) => object.spec,
        other => panic!("{other:?}"),
    }
}

#[test]
fn octal_modes_are_what_kubectl_makes_of_them() {
    for (written, mode) in [
        ("0644", 420),
        ("0o644", 420),
        ("420", 420),
        ("0755", 493),
        ("4.2e2", 420),
        ("08", 8),
    ] {
        let spec = spec(&machine_config("a", &format!("config:\n  mode: {written}")));
        assert_eq!(
            spec.config,
            Some(serde_json::json!({ "mode": mode })),
            "{written}"
        );
    }
}

#[test]
fn several_documents_keep_their_lines() {
    let text = format!(
        "# first\n{}---\n# nothing\n---\n\n---\n{}...\n",
        machine_config("a", ""),
        machine_config("b", "")
    );
    let (manifests, errors) = parse("x.yaml", &text);
    assert_eq!(errors, []);
    assert_eq!(names(&manifests), ["a", "b"]);
    assert_eq!(
        manifests.iter().map(|manifest| manifest.line).collect::<Vec<_>>(),
        [2, 11]
    );
}

#[test]
fn a_bad_document_does_not_hide_the_others() {
    let text = format!(
        "{}---\nkind: MachineConfig\nmetadata: {{name: broken}}\nspec: [1\n---\n{}",
        machine_config("a", ""),
        machine_config("b", "")
    );
    let (manifests, errors) = parse("x.yaml", &text);
    assert_eq!(names(&manifests), ["a", "b"]);
    assert_eq!(errors.len(), 1);
    assert_eq!(
        errors[0].to_string(),
        "x.yaml:8:7: MachineConfig/broken: not valid YAML: unclosed bracket '['"
    );
}

#[test]
fn a_text_of_any_shape_is_one_value() {
    use crds::manifest::value;
    assert_eq!(value("f", "").unwrap(), serde_json::Value::Null);
    assert_eq!(
        value("f", "---\na: 0644\n---\n").unwrap(),
        serde_json::json!({"a": 420})
    );
    let broken = value("f", "a: 1\nb: [").unwrap_err();
    assert_eq!(broken.file, "f");
    assert!(broken.line >= 2, "{broken}");
    assert!(
        value("f", "a: 1\n---\nb: 2\n")
            .unwrap_err()
            .message
            .contains("several documents")
    );
}
