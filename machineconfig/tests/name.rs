//! The rendered name against what the reference's own libraries say.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use machineconfig::name::{hashed_yaml, rendered_name};
use serde_json::{Value, json};

/// The cases of a family, sorted by file name.
fn vectors(family: &str) -> io::Result<Vec<(PathBuf, Value)>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/vectors")
        .join(family);
    let mut paths = fs::read_dir(directory)?
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    paths
        .into_iter()
        .map(|path| Ok((path.clone(), serde_json::from_slice(&fs::read(path)?)?)))
        .collect()
}

#[test]
fn rendered_specs_have_the_names_that_the_reference_gives_them() {
    let mut checked = 0;
    for (path, vector) in vectors("render")
        .unwrap()
        .into_iter()
        .chain(vectors("render-errors").unwrap())
    {
        let Some(name) = vector["expect"]["name"].as_str() else {
            continue;
        };
        let pool = vector["input"]["pool"].as_str().unwrap();
        let spec: Value = serde_json::from_str(vector["expect"]["specJSON"].as_str().unwrap()).unwrap();
        assert_eq!(
            hashed_yaml(&spec).unwrap(),
            vector["expect"]["hashedYAML"],
            "{}",
            path.display()
        );
        assert_eq!(rendered_name(pool, &spec).unwrap(), name, "{}", path.display());
        checked += 1;
    }
    assert!(checked >= 35, "only {checked} vectors were found");
}

/// `data/yaml.jsonl` holds strings and what go-yaml 2.4.0, driven by ghodss/yaml, makes of them: every word
/// with a meaning of its own, numbers and times in all their shapes, and a sample of random text.
#[test]
fn strings_are_written_as_go_yaml_writes_them() {
    let table = include_str!("data/yaml.jsonl");
    for line in table.lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let ours = hashed_yaml(&json!({ "text": row["text"] }));
        match row["yaml"].as_str() {
            Some(theirs) => assert_eq!(ours.as_deref(), Ok(theirs), "{}", row["text"]),
            None => assert!(ours.is_err(), "{} is refused there", row["text"]),
        }
    }
    assert!(table.lines().count() > 250);
}

#[test]
fn a_character_that_cannot_be_hashed_is_named_with_its_place() {
    let spec = json!({ "config": { "systemd": { "units": [{}, { "contents": "a\u{81}b" }] } }, "kernelArguments": [] });
    let refused = rendered_name("worker", &spec).unwrap_err();
    assert_eq!(refused.path, "config.systemd.units[1].contents");
    assert_eq!(
        refused.to_string(),
        "config.systemd.units[1].contents holds the control character U+0081, which cannot be rendered"
    );
}

#[test]
fn text_is_hashed_alike_whether_it_is_copied_or_streamed() {
    // Longer than any buffer on the way.
    let long = "x".repeat(100_000);
    let spec = json!({ "a": long, "b": ["y", long, "z z"] });
    let yaml = hashed_yaml(&spec).unwrap();
    assert_eq!(yaml, format!("a: {long}\nb:\n- \"y\"\n- {long}\n- z z\n"));
}
