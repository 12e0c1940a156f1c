//! The definitions as a whole: names, columns, sub-resources, and the files made of them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use crds::manifest::{Object, parse};

#[test]
fn the_manifests_are_fresh() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests");
    let on_disk = std::fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        // It lists the others.
        .filter(|path| !path.ends_with("kustomization.yaml"))
        .map(|path| {
            (
                path.file_name().unwrap().to_str().unwrap().to_owned(),
                std::fs::read_to_string(&path).unwrap(),
            )
        })
        .collect::<BTreeMap<_, _>>();
    let generated = crds::manifests();
    assert_eq!(
        on_disk.keys().collect::<Vec<_>>(),
        generated.keys().collect::<Vec<_>>(),
        "run `cargo xtask generate`"
    );
    for (name, text) in &generated {
        assert!(
            on_disk[name] == *text,
            "{name} is stale; run `cargo xtask generate`"
        );
    }
}

#[test]
fn the_manifests_are_definitions() {
    for (name, text) in crds::manifests() {
        let (manifests, errors) = parse(&name, &text);
        assert_eq!(errors, []);
        let [manifest] = manifests.as_slice() else {
            panic!("{name}")
        };
        let Object::Unknown {
            api_version,
            kind,
            name: object,
            ..
        } = &manifest.object
        else {
            panic!("{name}")
        };
        assert_eq!(
            (api_version.as_str(), kind.as_str()),
            ("apiextensions.k8s.io/v1", "CustomResourceDefinition")
        );
        let (group, plural) = name.strip_suffix(".yaml").unwrap().split_once('_').unwrap();
        assert_eq!(*object, format!("{plural}.{group}"));
    }
}

/// What `kubectl api-resources` and `kubectl get` show.
#[test]
fn names_and_columns() {
    let mut text = String::new();
    for definition in crds::definitions() {
        let spec = definition.spec;
        let [version] = spec.versions.as_slice() else {
            panic!("one version each")
        };
        let short = spec.names.short_names.unwrap_or_default().join(",");
        let status = if version.subresources.is_some() {
            "status"
        } else {
            "-"
        };
        writeln!(
            text,
            "{} {} {} [{short}] {}/{} {} {status} served={} storage={}",
            spec.names.kind,
            spec.names.list_kind.unwrap_or_default(),
            spec.names.plural,
            spec.group,
            version.name,
            spec.scope,
            version.served,
            version.storage
        )
        .unwrap();
        for column in version.additional_printer_columns.iter().flatten() {
            let wide = column.priority.unwrap_or_default();
            writeln!(
                text,
                "  {} {} {} {wide}",
                column.name, column.type_, column.json_path
            )
            .unwrap();
        }
    }
    insta::assert_snapshot!(text);
}

#[test]
fn a_definition_in_full() {
    insta::assert_snapshot!(crds::manifests()["machineconfiguration.openshift.io_pinnedimagesets.yaml"]);
}
