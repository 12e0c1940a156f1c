//! Everything that can be changed is found, with what there is to say about it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};

use serde_json::Value;

use crate::node::{KEYS, Node, UNIT};

/// The unified diff of a mismatch.
fn diff(drift: &Value) -> &str {
    drift["diff"]["unified"]
        .as_str()
        .unwrap_or_else(|| panic!("no diff: {drift:#}"))
}

#[test]
fn contents_in_place_and_by_renaming() {
    let node = Node::new();
    let mut watch = node.watch();
    fs::write(node.at("etc/app/one.conf"), "2 of /etc/app/one.conf\n").unwrap();
    let drift = watch.one("/etc/app/one.conf", "content");
    assert!(
        diff(&drift).contains("-1 of /etc/app/one.conf\n+2 of /etc/app/one.conf\n"),
        "{drift:#}"
    );
    assert!(drift["since"].as_str().unwrap().ends_with('Z'));
    assert_eq!(drift["code"], "MC4005");
    node.write("etc/app/one.conf", "1 of /etc/app/one.conf\n");
    watch.resolved("/etc/app/one.conf");
    node.write("etc/app/one.conf", "renamed\n");
    assert!(diff(&watch.one("/etc/app/one.conf", "content")).contains("+renamed"));
}

#[test]
fn secrets_are_not_told() {
    let node = Node::new();
    let mut watch = node.watch();
    node.write_mode("etc/secret", "tell nobody\n", 0o600);
    let drift = watch.one("/etc/secret", "content");
    assert_eq!(drift["diff"]["form"], "secret");
    assert!(!drift.to_string().contains("tell nobody"));
}

#[test]
fn mode_owner_and_type() {
    let node = Node::new();
    let mut watch = node.watch();
    let path = node.at("etc/app/one.conf");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    let drift = watch.one("/etc/app/one.conf", "mode");
    assert_eq!(
        (&drift["expected"], &drift["found"]),
        (&"0644".into(), &"0666".into())
    );
    chown(&path, Some(4711), None).unwrap();
    let drift = watch.drift("/etc/app/one.conf");
    let kinds: Vec<_> = drift
        .iter()
        .map(|drift| drift["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["mode", "owner"], "all of it is told");
    fs::remove_file(&path).unwrap();
    symlink("two.conf", &path).unwrap();
    let kind = watch.expect("the link", |event| event["drift"][0]["kind"] == "type");
    assert_eq!(kind["drift"][0]["found"], "a symbolic link to two.conf");
}

#[test]
fn a_deleted_file_and_one_that_comes_back() {
    let node = Node::new();
    let mut watch = node.watch();
    fs::remove_file(node.at("srv/data")).unwrap();
    watch.one("/srv/data", "missing");
    node.write("srv/data", "1 of /srv/data\n");
    watch.resolved("/srv/data");
}

#[test]
fn a_replaced_directory_and_what_is_done_in_the_new_one() {
    let node = Node::new();
    let mut watch = node.watch();
    let (old, new) = (node.at("etc/app"), node.at("etc/new"));
    for file in ["one.conf", "two.conf", "deep/er/three.conf"] {
        let text = fs::read_to_string(old.join(file)).unwrap();
        node.write(&format!("etc/new/{file}"), &text);
    }
    node.write("etc/new/one.conf", "other\n");
    fs::rename(&old, node.at("etc/old")).unwrap();
    // Whether what was missing for a moment is told depends on the moment.
    fs::rename(&new, &old).unwrap();
    let other =
        |event: &Value| event["drift"][0]["kind"] == "content" && event["path"] == "/etc/app/one.conf";
    watch.expect("what is in the new directory", other);
    node.write("etc/app/deep/er/three.conf", "later\n");
    let later = |event: &Value| {
        event["drift"][0]["kind"] == "content" && event["path"] == "/etc/app/deep/er/three.conf"
    };
    watch.expect("what is done in the new directory", later);
    watch.told();
    // The directory that was moved away is no concern any more.
    node.write("etc/old/two.conf", "x\n");
    watch.settled(&node);
    assert_eq!(watch.told(), [] as [Value; 0]);
}

#[test]
fn paths_and_their_directories_that_come_later() {
    let node = Node::new();
    fs::remove_dir_all(node.at("etc/app")).unwrap();
    fs::remove_dir_all(node.at("srv")).unwrap();
    let mut watch = node.watch();
    let told = watch.told();
    assert_eq!(told.len(), 4, "all that is missing is told at first: {told:#?}");
    node.write("etc/app/deep/er/three.conf", "1 of /etc/app/deep/er/three.conf\n");
    watch.resolved("/etc/app/deep/er/three.conf");
    fs::create_dir(node.at("srv")).unwrap();
    fs::write(node.at("srv/data"), "wrong\n").unwrap();
    let wrong = |event: &Value| event["path"] == "/srv/data" && event["drift"][0]["kind"] == "content";
    watch.expect("the path that came later", wrong);
    fs::remove_dir_all(node.at("etc/app")).unwrap();
    watch.one("/etc/app/deep/er/three.conf", "missing");
}

#[test]
fn links_on_the_way() {
    let node = Node::new();
    fs::rename(node.at("srv"), node.at("var")).unwrap();
    symlink("var", node.at("srv")).unwrap();
    let mut watch = node.watch();
    assert_eq!(watch.told(), [] as [Value; 0]);
    node.write("var/data", "behind the link\n");
    watch.one("/srv/data", "content");
    node.write("other/data", "1 of /srv/data\n");
    symlink("other", node.at("next")).unwrap();
    fs::rename(node.at("next"), node.at("srv")).unwrap();
    watch.resolved("/srv/data");
    node.write("other/data", "behind the other link\n");
    watch.one("/srv/data", "content");
    fs::remove_file(node.at("srv")).unwrap();
    symlink("../../outside", node.at("srv")).unwrap();
    let leads_out = |event: &Value| event["drift"][0]["kind"] == "leadsOut";
    watch.expect("the link that leads out", leads_out);
}

#[test]
fn a_new_drop_in_that_shadows_a_unit() {
    let node = Node::new();
    let mut watch = node.watch();
    for place in [
        "etc/systemd/system/a.service.d/99-x.conf",
        "run/systemd/system/a.service.d/99-x.conf",
        "etc/systemd/system.control/a.service.d/10-a.conf",
        "run/systemd/system.control/a.service",
    ] {
        node.write(place, "[Service]\nUser=evil\n");
        let path = format!("/{place}");
        let drift = watch.one(&path, "shadow");
        assert!(diff(&drift).contains("+User=evil"), "{drift:#}");
        assert_eq!(
            (&drift["unit"], &drift["code"]),
            (&"a.service".into(), &"MC4015".into())
        );
        fs::remove_file(node.at(place)).unwrap();
        watch.resolved(&path);
    }
}

#[test]
fn a_changed_drop_in_and_a_changed_unit() {
    let node = Node::new();
    let mut watch = node.watch();
    node.write("etc/systemd/system/a.service.d/10-a.conf", "[Service]\nNice=2\n");
    let drift = watch.one("/etc/systemd/system/a.service.d/10-a.conf", "content");
    assert!(diff(&drift).contains("-Nice=1\n+Nice=2"), "{drift:#}");
    node.write("etc/systemd/system/a.service", &UNIT.replace("true", "false"));
    let drift = watch.one("/etc/systemd/system/a.service", "content");
    assert!(diff(&drift).contains("+ExecStart=/bin/false"), "{drift:#}");
}

#[test]
fn a_disabled_unit() {
    let node = Node::new();
    let mut watch = node.watch();
    let link = node.at("etc/systemd/system/multi-user.target.wants/a.service");
    fs::remove_file(&link).unwrap();
    let drift = watch.one("/etc/systemd/system/a.service", "enablement");
    assert_eq!(
        (&drift["expected"], &drift["found"]),
        (&"enabled".into(), &"disabled".into())
    );
    // A directory of links that is new is watched as well.
    fs::remove_dir(link.parent().unwrap()).unwrap();
    node.enable();
    watch.resolved("/etc/systemd/system/a.service");
    fs::remove_file(&link).unwrap();
    watch.one("/etc/systemd/system/a.service", "enablement");
}

#[test]
fn a_changed_ssh_key() {
    let node = Node::new();
    let mut watch = node.watch();
    node.write_mode(KEYS, "ssh-ed25519 AAAA one\nssh-ed25519 BBBB evil\n", 0o600);
    let drift = watch.one(&format!("/{KEYS}"), "sshKeys");
    assert!(
        drift["found"].as_str().unwrap().starts_with("not in the config"),
        "{drift:#}"
    );
}

#[test]
fn a_path_that_is_written_all_the_time_is_told_a_few_times_and_as_it_is_in_the_end() {
    let node = Node::new();
    let mut watch = node.watch();
    for round in 0..2000 {
        fs::write(node.at("etc/app/one.conf"), format!("round {round}\n")).unwrap();
    }
    let last = |event: &Value| {
        event["drift"][0]["diff"]["unified"]
            .as_str()
            .is_some_and(|diff| diff.contains("+round 1999"))
    };
    watch.expect("the last round", last);
    let told = watch.told().len();
    assert!(told < 40, "{told} reports of 2000 writes");
}
