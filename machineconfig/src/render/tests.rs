use std::collections::BTreeMap;

use crds::{ControllerConfig, ControllerConfigSpec, MachineConfig, MachineConfigSpec, annotations};
use serde_json::{Value, json};

use super::*;
use crate::provenance::{Origin, Part};

const HASH: &str = "sha512-00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000";

fn config(name: &str, role: &str, spec: Value) -> MachineConfig {
    let spec: MachineConfigSpec = serde_json::from_value(spec).unwrap();
    let mut config = MachineConfig::new(name, spec);
    config.metadata.labels = Some(BTreeMap::from([(annotations::ROLE.to_owned(), role.to_owned())]));
    config
}

fn worker(name: &str, spec: Value) -> MachineConfig {
    config(name, "worker", spec)
}

/// A worker MachineConfig with one file.
fn with_file(name: &str, file: &Value) -> MachineConfig {
    worker(
        name,
        json!({ "config": { "ignition": { "version": "3.2.0" }, "storage": { "files": [file] } } }),
    )
}

fn defaults() -> Defaults {
    Defaults {
        os_image_url: "os@sha256:1".to_owned(),
        extensions_image_url: "ext".to_owned(),
        controller_hash: "own".to_owned(),
        release_version: "4.22.0".to_owned(),
        os_image_stream: String::new(),
    }
}

fn refused(configs: &[MachineConfig]) -> Vec<Finding> {
    render("worker", configs, &defaults()).unwrap_err()
}

/// The one finding of this code.
fn only(findings: &[Finding], code: Code) -> &Finding {
    let found: Vec<_> = findings.iter().filter(|finding| finding.code == code).collect();
    assert_eq!(found.len(), 1, "{code} in {findings:?}");
    found[0]
}

#[test]
fn everything_wrong_with_single_machine_configs_is_told_by_name() {
    let mut unlabelled = worker("c", json!({ "kernelType": "rt" }));
    unlabelled.metadata.labels = None;
    let extensions =
        json!({ "config": { "ignition": { "version": "3.2.0" } }, "extensions": ["foo", "usbguard", "bar"] });
    let configs = [
        unlabelled,
        worker("b", extensions),
        worker("a", json!({ "config": {} })),
        worker("a", json!({})),
    ];
    let told: Vec<_> = refused(&configs)
        .iter()
        .map(|f| (f.code, f.object.clone(), f.field.clone()))
        .collect();
    let expected = [
        (Code::DUPLICATE_NAME, "MachineConfig/a", "metadata.name"),
        (
            Code::IGNITION_VERSION,
            "MachineConfig/a",
            "spec.config.ignition.version",
        ),
        (Code::EXTENSION, "MachineConfig/b", "spec.extensions[0]"),
        (Code::EXTENSION, "MachineConfig/b", "spec.extensions[2]"),
        (Code::NO_ROLE, "MachineConfig/c", "metadata.labels"),
        (Code::KERNEL_TYPE, "MachineConfig/c", "spec.kernelType"),
    ];
    let expected = expected.map(|(code, object, field)| (code, object.to_owned(), field.to_owned()));
    assert_eq!(told, expected);
}

#[test]
fn a_pool_without_machine_configs_is_refused() {
    let finding = &refused(&[])[0];
    assert_eq!(
        (finding.code, finding.object.as_str()),
        (Code::POOL_SELECTS_NOTHING, "MachineConfigPool/worker")
    );
}

#[test]
fn generated_machine_configs_of_another_controller_are_refused_and_of_none_checked_when_it_has_no_hash() {
    let mut generated = worker("00", json!({}));
    let hash = annotations::GENERATED_BY_CONTROLLER_VERSION.to_owned();
    generated.metadata.annotations = Some(BTreeMap::from([(hash, "other".to_owned())]));
    let configs = [generated];
    only(&refused(&configs), Code::GENERATED_BY_OTHER);
    let unchecked = Defaults {
        controller_hash: String::new(),
        ..defaults()
    };
    assert!(render("worker", &configs, &unchecked).is_ok());
}

#[test]
fn kernel_devel_beside_another_kernel_names_both_machine_configs() {
    let configs = [
        worker("00", json!({ "extensions": ["kernel-devel"] })),
        worker("01", json!({ "kernelType": "realtime" })),
    ];
    let findings = refused(&configs);
    let finding = only(&findings, Code::KERNEL_DEVEL);
    assert_eq!(finding.object, "MachineConfig/00");
    assert!(finding.message.contains("MachineConfig/01"), "{finding}");
}

#[test]
fn an_os_image_by_tag_is_doubtful_and_beside_a_stream_refused() {
    let configs = [worker("00", json!({ "osImageURL": "quay.io/os:latest" }))];
    let rendered = render("worker", &configs, &defaults()).unwrap();
    assert_eq!(
        only(&rendered.warnings, Code::OS_IMAGE_WITHOUT_DIGEST).object,
        "MachineConfig/00"
    );
    assert_eq!(rendered.annotations[annotations::OS_IMAGE_URL_OVERRIDDEN], "true");
    let streamed = Defaults {
        os_image_stream: "rhel-10".to_owned(),
        ..defaults()
    };
    let findings = render("worker", &configs, &streamed).unwrap_err();
    assert_eq!(
        only(&findings, Code::OS_IMAGE_AND_STREAM).field,
        "spec.osImageURL"
    );
    let default = [worker("00", json!({ "osImageURL": "os@sha256:1" }))];
    assert!(
        render("worker", &default, &streamed).is_ok(),
        "the default image is no override"
    );
}

#[test]
fn a_file_that_no_node_can_apply_is_refused_on_the_first_render() {
    let findings = refused(&[with_file("00", &json!({ "path": "/a" }))]);
    let finding = only(&findings, Code::FILE_WITHOUT_CONTENTS);
    assert_eq!(
        (finding.object.as_str(), finding.field.as_str()),
        ("MachineConfig/00", "spec.config.storage.files")
    );
    assert!(finding.message.contains("/a"));
    let appended = json!({ "path": "/b", "append": [{ "source": "data:,x" }] });
    assert_eq!(
        only(&refused(&[with_file("00", &appended)]), Code::APPENDED_FILE).object,
        "MachineConfig/00"
    );
    let kept = json!({ "path": "/a", "overwrite": false });
    assert!(render("worker", &[with_file("00", &kept)], &defaults()).is_ok());
    let filled = [
        with_file("00", &json!({ "path": "/a" })),
        with_file(
            "01",
            &json!({ "path": "/a", "contents": { "source": "data:,x" } }),
        ),
    ];
    assert!(
        render("worker", &filled, &defaults()).is_ok(),
        "another MachineConfig gives the contents"
    );
}

#[test]
fn what_contradicts_once_merged_is_refused_and_both_sides_are_named() {
    let with = |name: &str, section: Value| {
        let mut config = section;
        config["ignition"] = json!({ "version": "3.2.0" });
        worker(name, json!({ "config": config }))
    };
    let link = with(
        "00",
        json!({ "storage": { "links": [{ "path": "/l", "target": "/t" }] } }),
    );
    let below = with_file(
        "01",
        &json!({ "path": "/l/x", "contents": { "source": "data:,x" } }),
    );
    let findings = refused(&[link, below]);
    let finding = only(&findings, Code::MERGED_INVALID);
    assert_eq!(
        (finding.object.as_str(), finding.field.as_str()),
        ("MachineConfig/01", "spec.config.storage.files")
    );
    assert!(finding.message.contains("/l/x"), "{finding}");
    let disk = |name: &str, number: u32, start: u32| {
        let partitions = json!([{ "number": number, "startMiB": start, "sizeMiB": 100 }]);
        with(
            name,
            json!({ "storage": { "disks": [{ "device": "/dev/a", "partitions": partitions }] } }),
        )
    };
    let findings = refused(&[disk("00", 1, 1), disk("01", 2, 50)]);
    let finding = only(&findings, Code::MERGED_INVALID);
    assert_eq!(finding.object, "MachineConfig/01");
    assert!(finding.message.contains("over 00"), "{finding}");
}

#[test]
fn a_control_character_is_found_in_the_machine_config_that_brought_it() {
    let unit = json!({ "name": "a.service", "contents": "[Unit]\nDescription=\u{81}\n" });
    let configs = [
        worker("00", json!({ "kernelArguments": ["ok"] })),
        worker(
            "01",
            json!({ "config": { "ignition": { "version": "3.2.0" }, "systemd": { "units": [unit] } } }),
        ),
    ];
    let findings = refused(&configs);
    let finding = only(&findings, Code::CONTROL_CHARACTER);
    assert_eq!(
        (finding.object.as_str(), finding.field.as_str()),
        ("MachineConfig/01", "spec.config.systemd.units[0].contents")
    );
    assert!(finding.message.contains("U+0081"));
}

#[test]
fn the_size_limit_lies_where_the_reference_has_it() {
    let of = |n: usize| {
        let os = format!("quay.io/openshift/os@sha256:{}", "1".repeat(64));
        let extensions = format!("quay.io/openshift/ext@sha256:{}", "2".repeat(64));
        let hash = "5f0c1d2e3a4b5c6d7e8f90a1b2c3d4e5f6071829".to_owned();
        let defaults = Defaults {
            os_image_url: os,
            extensions_image_url: extensions,
            controller_hash: hash,
            ..defaults()
        };
        render(
            "worker",
            &[worker("00", json!({ "kernelArguments": ["x".repeat(n)] }))],
            &defaults,
        )
    };
    only(&of(1_572_050).unwrap().warnings, Code::RENDERED_LARGE);
    let finding = &of(1_572_100).unwrap_err()[0];
    assert_eq!(finding.code, Code::RENDERED_TOO_LARGE);
    assert_eq!(
        (finding.object.as_str(), finding.field.as_str()),
        ("MachineConfigPool/worker", "")
    );
    assert!(finding.message.contains("1572900"), "{finding}");
    assert_eq!(of(1_200_000).unwrap().warnings, []);
}

#[test]
fn what_only_nodes_find_out_is_a_warning_of_render_and_refused_strictly() {
    let cases = [
        (
            json!({ "source": "https://example.org/x" }),
            Code::CONTENTS_NOT_DATA,
        ),
        (
            json!({ "source": "data:,x", "compression": "gzip" }),
            Code::IGNITION_COMPRESSION,
        ),
        (
            json!({ "source": "data:,x", "verification": { "hash": HASH } }),
            Code::IGNITION_HASH,
        ),
    ];
    for (contents, code) in cases {
        let configs = [with_file("00", &json!({ "path": "/a", "contents": contents }))];
        let rendered = render("worker", &configs, &defaults()).unwrap();
        let warning = only(&rendered.warnings, code);
        assert!(
            warning.field.starts_with("spec.config.storage.files[0].contents"),
            "{warning}"
        );
        assert!(
            only(
                &render_strictly("worker", &configs, &defaults()).unwrap_err(),
                code
            )
            .is_error()
        );
        assert!(only(&check(&configs[0]), code).is_error());
    }
}

#[test]
fn files_that_inflate_beyond_the_bound_together_are_told_once() {
    let gzipped = |bytes: usize| {
        let stream = ignition::contents::gzip(&vec![0; bytes]);
        json!({ "source": ignition::contents::base64(&stream), "compression": "gzip" })
    };
    let half = gzipped(ignition::contents::MAX_INFLATED / 2);
    let file = |path: &str, contents: &Value| json!({ "path": path, "contents": contents });
    let config = |files: Value| {
        worker(
            "00",
            json!({ "config": { "ignition": { "version": "3.2.0" }, "storage": { "files": files } } }),
        )
    };
    let fits = config(json!([file("/a", &half), file("/b", &half)]));
    assert_eq!(check(&fits), []);
    let beyond = config(json!([
        file("/a", &half),
        file("/b", &half),
        file("/c", &gzipped(1)),
        file("/d", &half)
    ]));
    let findings = check(&beyond);
    let finding = only(&findings, Code::IGNITION_TOO_LARGE);
    assert_eq!(finding.field, "spec.config.storage.files[2].contents.source");
    assert!(finding.is_error() && finding.message.contains("/c"), "{finding}");
}

#[test]
fn new_contents_under_an_inherited_hash_are_warned_about() {
    let hash_of_one = "sha256-7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed";
    let hashed = |data: &str| json!({ "path": "/a", "contents": { "source": data, "verification": { "hash": hash_of_one } } });
    let plain = |data: &str| json!({ "path": "/a", "contents": { "source": data } });
    let render = |files: [Value; 2]| {
        let [first, second] = files;
        render(
            "worker",
            &[with_file("00", &first), with_file("01", &second)],
            &defaults(),
        )
        .unwrap()
        .warnings
    };
    let warnings = render([hashed("data:,one"), plain("data:,two")]);
    let warning = only(&warnings, Code::INHERITED_HASH);
    assert_eq!(warning.object, "MachineConfig/01");
    assert_eq!(render([hashed("data:,one"), plain("data:,one")]), []);
    assert_eq!(render([plain("data:,two"), hashed("data:,one")]), []);
}

#[test]
fn fields_beside_the_config_are_merged_each_in_its_way() {
    let configs = [
        worker(
            "00",
            json!({ "kernelType": "realtime", "kernelArguments": ["b", "a"], "fips": true, "osImageURL": "os@sha256:a" }),
        ),
        worker(
            "01",
            json!({ "kernelType": "default", "kernelArguments": ["a"], "extensions": ["usbguard"] }),
        ),
        worker(
            "02",
            json!({ "extensions": ["usbguard"], "baseOSExtensionsContainerImage": "other" }),
        ),
    ];
    let spec = render("worker", &configs, &defaults()).unwrap().spec;
    assert_eq!(
        spec.kernel_type, "realtime",
        "an explicit default overrides nothing"
    );
    assert_eq!(spec.kernel_arguments.unwrap(), ["b", "a", "a"]);
    assert_eq!(spec.extensions.unwrap(), ["usbguard", "usbguard"]);
    assert!(spec.fips);
    assert_eq!(
        (
            spec.os_image_url.as_str(),
            spec.base_os_extensions_container_image.as_str()
        ),
        ("os@sha256:a", "other")
    );
    let spec = render("worker", &configs[1..2], &defaults()).unwrap().spec;
    assert_eq!(
        (spec.kernel_type.as_str(), spec.os_image_url.as_str()),
        ("default", "os@sha256:1")
    );
    assert!(!spec.fips);
}

#[test]
fn images_of_generated_machine_configs_do_not_count() {
    let mut generated = worker(
        "99",
        json!({ "osImageURL": "old@sha256:b", "baseOSExtensionsContainerImage": "old" }),
    );
    let hash = annotations::GENERATED_BY_CONTROLLER_VERSION.to_owned();
    generated.metadata.annotations = Some(BTreeMap::from([(hash, "own".to_owned())]));
    let rendered = render("worker", &[generated], &defaults()).unwrap();
    assert_eq!(
        (
            rendered.spec.os_image_url.as_str(),
            rendered.spec.base_os_extensions_container_image.as_str()
        ),
        ("os@sha256:1", "ext")
    );
    assert_eq!(
        rendered.annotations.get(annotations::OS_IMAGE_URL_OVERRIDDEN),
        None
    );
}

#[test]
fn unsupported_extensions_without_config_are_accepted_with_a_warning() {
    let rendered = render(
        "worker",
        &[worker("00", json!({ "extensions": ["foo"] }))],
        &defaults(),
    )
    .unwrap();
    assert_eq!(rendered.spec.extensions.as_deref(), Some(&["foo".to_owned()][..]));
    assert!(!only(&rendered.warnings, Code::EXTENSION).is_error());
    let config = worker("00", json!({ "extensions": ["foo", "usbguard"] }));
    assert!(only(&check(&config), Code::EXTENSION).is_error());
    let refused = render_strictly("worker", &[config], &defaults()).unwrap_err();
    assert_eq!(only(&refused, Code::EXTENSION).field, "spec.extensions[0]");
}

#[test]
fn provenance_tells_who_won_and_over_whom() {
    let spec = |contents: &str, enabled: bool| {
        json!({
            "config": {
                "ignition": { "version": "3.2.0" },
                "storage": { "files": [{ "path": "/a", "contents": { "source": contents } }] },
                "systemd": { "units": [{ "name": "u.service", "enabled": enabled }] },
                "passwd": { "users": [{ "name": "core", "sshAuthorizedKeys": [contents] }] },
            },
            "kernelArguments": ["quiet"],
        })
    };
    let configs = [
        config("10-edge", "edge", spec("data:,edge", true)),
        worker(
            "99-last",
            json!({ "kernelType": "realtime", "osImageURL": "os@sha256:2", "fips": true }),
        ),
        worker("50-mid", spec("data:,mid", false)),
    ];
    let rendered = render("edge", &configs, &defaults()).unwrap();
    assert_eq!(rendered.sources, ["50-mid", "99-last", "10-edge"]);
    let origin = |part: Part| &rendered.provenance.origins[&part];
    let over_mid = Origin {
        winner: "10-edge".to_owned(),
        beaten: vec!["50-mid".to_owned()],
    };
    let alone = |name: &str| Origin {
        winner: name.to_owned(),
        beaten: vec![],
    };
    assert_eq!(*origin(Part::Path("/a".to_owned())), over_mid);
    assert_eq!(*origin(Part::Unit("u.service".to_owned())), over_mid);
    assert_eq!(*origin(Part::KernelArgument("quiet".to_owned())), over_mid);
    assert_eq!(
        *origin(Part::SshKey("core".to_owned(), "data:,mid".to_owned())),
        alone("50-mid")
    );
    for field in ["kernelType", "osImageURL", "fips"] {
        assert_eq!(
            *origin(Part::Field(field.to_owned())),
            alone("99-last"),
            "{field}"
        );
    }
}

#[test]
fn a_rendered_object_carries_name_annotations_and_spec() {
    let file = json!({"path": "/etc/a", "contents": {"source": "data:,a"}});
    let rendered = render("worker", &[with_file("00", &file)], &defaults()).unwrap();
    let object = rendered.machine_config();
    assert_eq!(object.metadata.name.as_deref(), Some(rendered.name.as_str()));
    let mut annotations = object.metadata.annotations.clone().unwrap();
    let origins = annotations.remove(crds::annotations::PROVENANCE).unwrap();
    assert_eq!(annotations, rendered.annotations);
    let origins = Provenance::from_annotation(&origins);
    assert_eq!(origins.winner(&Part::Path("/etc/a".to_owned())), Some("00"));
    assert_eq!(
        serde_json::from_str::<Value>(&rendered.spec_json).unwrap(),
        serde_json::to_value(&object.spec).unwrap()
    );
}

#[test]
fn a_rendered_config_among_the_inputs_keeps_its_own_origins() {
    let file = |path: &str| json!({"path": path, "contents": {"source": "data:,a"}});
    let first = render(
        "worker",
        &[with_file("00", &file("/a")), with_file("01", &file("/b"))],
        &defaults(),
    )
    .unwrap();
    let winner = |inputs: &[MachineConfig]| {
        let again = render("worker", inputs, &defaults()).unwrap();
        let origin = |path: &str| again.provenance.origins[&Part::Path(path.to_owned())].clone();
        (origin("/a").winner, origin("/b"))
    };
    let mut given = first.machine_config();
    given.metadata.labels = Some(BTreeMap::from([("any".to_owned(), "label".to_owned())]));
    // Of another role, so that it comes last.
    let mut over = with_file("z", &file("/b"));
    over.metadata.labels = given.metadata.labels.clone();
    let (a, b) = winner(&[given.clone(), over.clone()]);
    assert_eq!(
        (a.as_str(), b.winner.as_str(), b.beaten),
        ("00", "z", vec!["01".to_owned()])
    );
    // One that is no rendered config is itself where its parts come from, whatever it says.
    given.metadata.name = Some("mine".to_owned());
    given
        .metadata
        .annotations
        .as_mut()
        .unwrap()
        .remove(annotations::GENERATED_BY_CONTROLLER_VERSION);
    assert_eq!(winner(&[given, over]).0, "mine");
}

#[test]
fn the_origins_are_left_out_where_they_would_make_the_object_large() {
    let of = |size: usize| {
        let text = format!("data:,{}", "x".repeat(size));
        let file = with_file("00", &json!({ "path": "/a", "contents": { "source": text } }));
        render("worker", &[file], &defaults()).unwrap()
    };
    let object_size = |rendered: &Rendered| {
        let mut annotations = rendered.annotations.clone();
        let all = rendered.machine_config().metadata.annotations.unwrap_or_default();
        let told = all.contains_key(annotations::PROVENANCE);
        annotations.extend(all);
        (
            json::object_size(&rendered.name, "worker", &annotations, &rendered.spec_json),
            told,
        )
    };
    let (with, told) = object_size(&of(1000));
    assert!(told);
    let room = LARGE_SIZE - with;
    assert_eq!(object_size(&of(1000 + room)), (LARGE_SIZE, true));
    let without = of(1001 + room);
    assert_eq!(without.warnings, []);
    let (size, told) = object_size(&without);
    assert!(!told && size == without.size && size < LARGE_SIZE, "{size}");
}

#[test]
fn a_rendered_config_needs_no_role_and_a_name_like_one_is_doubtful() {
    let mut rendered = render("worker", &[worker("00", json!({}))], &defaults())
        .unwrap()
        .machine_config();
    assert_eq!(check(&rendered), []);
    rendered.metadata.annotations = None;
    assert_eq!(check(&rendered), [], "its name is enough");
    let labelled = worker(&rendered.metadata.name.clone().unwrap(), json!({}));
    only(&check(&labelled), Code::RESERVED_NAME);
    for name in [
        "rendered-worker",
        "rendered-worker-1",
        "rendered-0123456789abcdef0123456789abcdef",
    ] {
        rendered.metadata.name = Some(name.to_owned());
        let findings = check(&rendered);
        only(&findings, Code::NO_ROLE);
        only(&findings, Code::RESERVED_NAME);
    }
}

#[test]
fn everything_wrong_with_one_machine_config_is_told_at_once_and_each_thing_once() {
    let plain = json!({ "source": "data:,x" });
    let files = json!([
        { "path": "etc/x", "contents": plain },
        { "path": "/hash", "contents": { "source": "data:,x", "verification": { "hash": HASH } } },
        { "path": "/gzip", "contents": { "source": "data:,x", "compression": "gzip" } },
        { "path": "/run/machine-config-daemon-force", "contents": plain },
        { "path": "/http", "contents": { "source": "http://x/y" } },
        { "path": "/none" },
        { "path": "/zip", "contents": { "source": "data:,x", "compression": "zip" } },
        { "path": "/url", "contents": { "source": "data:;base64,*" } },
        { "path": "/scheme", "contents": { "source": "nfs://x/y" } },
        { "path": "/mode", "mode": 2541, "contents": plain },
    ]);
    let file = |code, at: &str| (code, format!("spec.config.storage.files{at}"));
    let own = [
        (Code::KERNEL_TYPE, "spec.kernelType".to_owned()),
        file(Code::IGNITION_PATH, "[0].path"),
        file(Code::IGNITION_HASH, "[1].contents.verification.hash"),
        file(Code::IGNITION_COMPRESSION, "[2].contents.source"),
        file(Code::FORCE_FILE, "[3].path"),
        file(Code::CONTENTS_NOT_DATA, "[4].contents.source"),
        file(Code::IGNITION_COMPRESSION, "[6].contents.compression"),
        file(Code::IGNITION_DATA_URL, "[7].contents.source"),
        file(Code::IGNITION_URL, "[8].contents.source"),
        file(Code::IGNITION_MODE, "[9].mode"),
    ];
    let sorted = |findings: Vec<Finding>| {
        let mut told: Vec<_> = findings
            .into_iter()
            .map(|finding| (finding.code, finding.field))
            .collect();
        told.sort_by_key(|(code, field)| (field.clone(), *code));
        told
    };
    let storage = json!({ "ignition": { "version": "3.4.0" }, "storage": { "files": files } });
    let config = worker("a", json!({ "config": storage, "kernelType": "rt" }));
    let mut expected = own.to_vec();
    expected.sort_by_key(|(code, field)| (field.clone(), *code));
    assert_eq!(sorted(check(&config)), expected);
    expected.push(file(Code::FILE_WITHOUT_CONTENTS, ""));
    expected.sort_by_key(|(code, field)| (field.clone(), *code));
    for refused in [render, render_strictly] {
        assert_eq!(
            sorted(refused("worker", std::slice::from_ref(&config), &defaults()).unwrap_err()),
            expected
        );
    }
}

/// What is a warning of `render` must be an error of `render_strictly`.
fn refused_strictly_only(configs: &[MachineConfig], code: Code) -> Finding {
    let warnings = render("worker", configs, &defaults()).unwrap().warnings;
    assert!(!only(&warnings, code).is_error());
    let refused = render_strictly("worker", configs, &defaults()).unwrap_err();
    assert!(only(&refused, code).is_error());
    only(&refused, code).clone()
}

#[test]
fn compressed_contents_that_lose_their_compression_are_told_of_with_both_sides() {
    let source = ignition::contents::base64(&ignition::contents::gzip(b"x"));
    let gzip = with_file(
        "00",
        &json!({ "path": "/a", "contents": { "source": source, "compression": "gzip" } }),
    );
    let over = |file: Value| [gzip.clone(), with_file("01", &file)];
    let lost = refused_strictly_only(
        &over(json!({ "path": "/a", "mode": 384 })),
        Code::LOST_COMPRESSION,
    );
    assert_eq!(lost.object, "MachineConfig/01");
    assert!(
        lost.message.contains("/a") && lost.message.contains("MachineConfig/00"),
        "{lost}"
    );
    for kept in [
        json!({ "path": "/a", "mode": 384, "contents": { "compression": "gzip" } }),
        json!({ "path": "/a", "contents": { "source": "data:,y" } }),
        json!({ "path": "/b", "contents": { "source": "data:,y" } }),
    ] {
        let rendered = render_strictly("worker", &over(kept), &defaults()).unwrap();
        assert_eq!(rendered.warnings, []);
    }
}

#[test]
fn what_lies_below_a_file_is_told_of_with_both_sides() {
    let file = |path: &str| json!({ "path": path, "contents": { "source": "data:,x" } });
    let parent = with_file("00", &file("/etc/a"));
    let apart = [parent.clone(), with_file("01", &file("/etc/a/c/b"))];
    let below = refused_strictly_only(&apart, Code::BELOW_FILE);
    assert_eq!(below.object, "MachineConfig/01");
    for part in ["/etc/a/c/b", "/etc/a,", "MachineConfig/00"] {
        assert!(below.message.contains(part), "{below}");
    }
    assert_eq!(check(&apart[1]), []);
    for list in ["files", "directories"] {
        let mut together = parent.clone();
        let mut node = file("/etc/a/b");
        if list == "directories" {
            node.as_object_mut().unwrap().remove("contents");
        }
        let storage = &mut together.spec.config.as_mut().unwrap()["storage"];
        let nodes = storage.as_object_mut().unwrap().entry(list).or_insert(json!([]));
        nodes.as_array_mut().unwrap().push(node);
        let below = refused_strictly_only(std::slice::from_ref(&together), Code::BELOW_FILE);
        assert_eq!(*only(&check(&together), Code::BELOW_FILE), below);
    }
    let beside = [parent, with_file("01", &file("/etc/ab"))];
    assert_eq!(
        render_strictly("worker", &beside, &defaults()).unwrap().warnings,
        []
    );
}

#[test]
fn names_and_arguments_that_nothing_takes_are_refused_strictly_only() {
    let units = json!([{ "name": ".service", "enabled": true }, { "name": "a@.service" }]);
    let unit = json!({ "config": { "ignition": { "version": "3.2.0" }, "systemd": { "units": units } } });
    let files = json!([{ "path": "/", "contents": { "source": "data:,x" } }]);
    let links = json!([{ "path": "/l\u{0}", "target": "/x" }]);
    let root = json!({ "config": { "ignition": { "version": "3.2.0" }, "storage": { "files": files } } });
    let link = json!({ "config": { "ignition": { "version": "3.2.0" }, "storage": { "links": links } } });
    let old_file = json!([{ "filesystem": "root", "path": "/a\u{0}", "contents": { "source": "data:,x" } }]);
    let old = json!({ "config": { "ignition": { "version": "2.2.0" }, "storage": { "files": old_file } } });
    let table = [
        (
            "a",
            root,
            Code::IGNITION_PATH,
            "spec.config.storage.files[0].path",
        ),
        (
            "a",
            link,
            Code::IGNITION_PATH,
            "spec.config.storage.links[0].path",
        ),
        ("a", old, Code::IGNITION_PATH, "spec.config.storage.files"),
        ("Not_A_Name", json!({}), Code::OBJECT_NAME, "metadata.name"),
        (
            "a",
            json!({ "kernelArguments": ["a", ""] }),
            Code::KERNEL_ARGUMENT,
            "spec.kernelArguments[1]",
        ),
        (
            "a",
            json!({ "kernelArguments": ["a\nb"] }),
            Code::KERNEL_ARGUMENT,
            "spec.kernelArguments[0]",
        ),
        (
            "a",
            json!({ "kernelArguments": ["a\u{0}b"] }),
            Code::KERNEL_ARGUMENT,
            "spec.kernelArguments[0]",
        ),
        (
            "a",
            unit,
            Code::IGNITION_UNIT,
            "spec.config.systemd.units[0].name",
        ),
    ];
    for (name, spec, code, field) in table {
        let config = worker(name, spec);
        assert_eq!(
            refused_strictly_only(std::slice::from_ref(&config), code).field,
            field
        );
        assert!(only(&check(&config), code).is_error());
    }
}

#[test]
fn a_size_beyond_the_limit_is_told_beside_other_faults_with_the_largest_file() {
    let file = |path: &str, size: usize| json!({ "path": path, "contents": { "source": format!("data:,{}", "x".repeat(size)) } });
    let configs = [
        with_file("00", &file("/small", 600_000)),
        with_file("01", &file("/large", 1_000_000)),
        worker("02", json!({ "kernelType": "rt" })),
    ];
    let findings = refused(&configs);
    only(&findings, Code::KERNEL_TYPE);
    let large = only(&findings, Code::RENDERED_TOO_LARGE);
    assert_eq!(
        (large.object.as_str(), large.field.as_str()),
        ("MachineConfig/01", "spec.config")
    );
    assert!(
        large
            .message
            .ends_with("1000006 of 01, 600006 of 00; the largest is /large with 1000006"),
        "{large}"
    );
}

#[test]
fn a_file_is_not_said_to_lack_contents_that_could_not_be_read() {
    let empty = |path: &str| with_file("00", &json!({ "path": path }));
    let typed = json!({ "path": "/a", "mode": "0644", "contents": { "source": "data:,x" } });
    let codes = |path: &str| {
        let findings = refused(&[empty(path), with_file("01", &typed)]);
        findings.iter().map(|finding| finding.code).collect::<Vec<_>>()
    };
    assert_eq!(codes("/a"), [Code::IGNITION_TYPE]);
    assert_eq!(codes("/b"), [Code::IGNITION_TYPE, Code::FILE_WITHOUT_CONTENTS]);
}

#[test]
fn what_acts_on_the_first_boot_only_is_pointed_out() {
    let spec = json!({ "config": {
        "ignition": { "version": "3.3.0" },
        "kernelArguments": { "shouldExist": ["quiet"] },
        "storage": { "directories": [{ "path": "/d" }], "links": [] },
        "passwd": { "users": [{ "name": "core" }, { "name": "bob" }] },
    } });
    let findings = check(&worker("00", spec));
    let fields: Vec<_> = findings
        .iter()
        .map(|finding| (finding.code, finding.field.as_str()))
        .collect();
    let first_boot = |field| (Code::FIRST_BOOT_ONLY, field);
    assert_eq!(
        fields,
        [
            first_boot("spec.config.kernelArguments"),
            first_boot("spec.config.storage.directories"),
            first_boot("spec.config.passwd.users[1]")
        ]
    );
    assert!(findings.iter().all(|finding| !finding.is_error()));
}

#[test]
fn a_controller_config_of_another_version_is_refused() {
    let spec = ControllerConfigSpec {
        base_os_container_image: "os".to_owned(),
        ..Default::default()
    };
    let mut config = ControllerConfig::new("machine-config-controller", spec);
    let refusal = Defaults::from_controller_config(&config, "v1").unwrap_err();
    assert_eq!(refusal.object, "ControllerConfig/machine-config-controller");
    assert!(
        refusal.field.contains(annotations::GENERATED_BY_VERSION),
        "{refusal}"
    );
    assert_eq!(
        Defaults::from_controller_config(&config, "")
            .unwrap()
            .os_image_url,
        "os"
    );
    let written_by =
        |version: &str| BTreeMap::from([(annotations::GENERATED_BY_VERSION.to_owned(), version.to_owned())]);
    config.metadata.annotations = Some(written_by("v2"));
    assert!(
        Defaults::from_controller_config(&config, "v1")
            .unwrap_err()
            .message
            .contains("v2")
    );
    config.metadata.annotations = Some(written_by("v1"));
    assert!(Defaults::from_controller_config(&config, "v1").is_ok());
}
