//! 3.2 to 2.2, field by field (`MCS 1.5`). What 2.2.0 cannot say was refused before.

use crate::tree::{Map as Fields, Value};

/// The 2.2.0 config that means the same as a config in the shape of 3.x.
pub(crate) fn config(mut old: Fields) -> Fields {
    let mut new = Fields::new();
    let mut version = Fields::new();
    version.insert("version", Value::from("2.2.0"));
    let ignition = take_object(&mut old, "ignition")
        .map(ignition)
        .unwrap_or_default();
    version.extend(ignition);
    new.insert("ignition", Value::Object(version));
    for (name, translate) in [
        ("passwd", passwd as fn(Fields) -> Fields),
        ("storage", storage),
        ("systemd", systemd),
    ] {
        if let Some(section) = take_object(&mut old, name) {
            put_object(&mut new, name, translate(section));
        }
    }
    new
}

fn take_object(from: &mut Fields, name: &'static str) -> Option<Fields> {
    match from.remove(name) {
        Some(Value::Object(object)) => Some(object),
        _ => None,
    }
}

fn put_object(to: &mut Fields, name: &'static str, object: Fields) {
    if !object.is_empty() {
        to.insert(name, Value::Object(object));
    }
}

/// The objects of a list.
fn take_list(from: &mut Fields, name: &'static str) -> Vec<Fields> {
    let Some(Value::Array(items)) = from.remove(name) else {
        return Vec::new();
    };
    let objects = items.into_iter().filter_map(|item| match item {
        Value::Object(item) => Some(item),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => None,
    });
    objects.collect()
}

fn put_list(to: &mut Fields, name: &'static str, items: Vec<Fields>) {
    if !items.is_empty() {
        to.insert(name, Value::Array(items.into_iter().map(Value::Object).collect()));
    }
}

/// Moves fields that are pointers in both.
fn keep(from: &mut Fields, to: &mut Fields, names: &[&'static str]) {
    for name in names {
        if let Some(value) = from.remove(name) {
            to.insert(name, value);
        }
    }
}

/// Moves fields that 2.2.0 leaves out when zero.
fn keep_nonzero(from: &mut Fields, to: &mut Fields, names: &[&'static str]) {
    for name in names {
        if let Some(value) = from.remove(name).filter(|value| !crate::parse::is_zero(value)) {
            to.insert(name, value);
        }
    }
}

fn ignition(mut old: Fields) -> Fields {
    let mut new = Fields::new();
    if let Some(mut config) = take_object(&mut old, "config") {
        let mut references = Fields::new();
        let merge = take_list(&mut config, "merge")
            .into_iter()
            .map(reference)
            .collect();
        put_list(&mut references, "append", merge);
        if let Some(replace) =
            take_object(&mut config, "replace").filter(|replace| replace.contains_key("source"))
        {
            references.insert("replace", Value::Object(reference(replace)));
        }
        put_object(&mut new, "config", references);
    }
    if let Some(mut tls) = take_object(&mut old, "security").and_then(|mut s| take_object(&mut s, "tls")) {
        let mut authorities = Fields::new();
        let list = take_list(&mut tls, "certificateAuthorities")
            .into_iter()
            .map(reference)
            .collect();
        put_list(&mut authorities, "certificateAuthorities", list);
        let mut security = Fields::new();
        put_object(&mut security, "tls", authorities);
        put_object(&mut new, "security", security);
    }
    keep(&mut old, &mut new, &["timeouts"]);
    new
}

fn reference(mut old: Fields) -> Fields {
    let mut new = Fields::new();
    keep_nonzero(&mut old, &mut new, &["source"]);
    keep(&mut old, &mut new, &["verification"]);
    new
}

fn passwd(mut old: Fields) -> Fields {
    let users = take_list(&mut old, "users").into_iter().map(|mut old| {
        let mut new = Fields::new();
        keep(
            &mut old,
            &mut new,
            &["passwordHash", "sshAuthorizedKeys", "uid", "groups"],
        );
        let plain = [
            "name",
            "gecos",
            "homeDir",
            "noCreateHome",
            "primaryGroup",
            "noUserGroup",
            "noLogInit",
            "shell",
        ];
        keep_nonzero(&mut old, &mut new, &plain);
        keep_nonzero(&mut old, &mut new, &["system"]);
        new
    });
    let groups = take_list(&mut old, "groups");
    let mut new = Fields::new();
    put_list(&mut new, "users", users.collect());
    let groups = groups.into_iter().map(|mut old| {
        let mut new = Fields::new();
        keep(&mut old, &mut new, &["gid"]);
        keep_nonzero(&mut old, &mut new, &["name", "passwordHash", "system"]);
        new
    });
    put_list(&mut new, "groups", groups.collect());
    new
}

fn systemd(mut old: Fields) -> Fields {
    let units = take_list(&mut old, "units").into_iter().map(|mut old| {
        let mut new = Fields::new();
        keep(&mut old, &mut new, &["enabled"]);
        keep_nonzero(&mut old, &mut new, &["name", "mask", "contents"]);
        let dropins = take_list(&mut old, "dropins").into_iter().map(|mut old| {
            let mut new = Fields::new();
            keep_nonzero(&mut old, &mut new, &["name", "contents"]);
            new
        });
        put_list(&mut new, "dropins", dropins.collect());
        new
    });
    let mut new = Fields::new();
    put_list(&mut new, "units", units.collect());
    new
}

fn storage(mut old: Fields) -> Fields {
    let mut new = Fields::new();
    let disks = take_list(&mut old, "disks").into_iter().map(|mut old| {
        let mut new = Fields::new();
        keep_nonzero(&mut old, &mut new, &["device", "wipeTable"]);
        let partitions = take_list(&mut old, "partitions").into_iter().map(|mut old| {
            let mut new = Fields::new();
            keep_nonzero(&mut old, &mut new, &["label", "number", "typeGuid", "guid"]);
            new
        });
        put_list(&mut new, "partitions", partitions.collect());
        new
    });
    put_list(&mut new, "disks", disks.collect());
    let raid = take_list(&mut old, "raid").into_iter().map(|mut old| {
        let mut new = Fields::new();
        keep(&mut old, &mut new, &["devices", "options"]);
        keep_nonzero(&mut old, &mut new, &["name", "level", "spares"]);
        new
    });
    put_list(&mut new, "raid", raid.collect());
    let filesystems = take_list(&mut old, "filesystems");
    let mounts: Vec<String> = filesystems
        .iter()
        .filter_map(|filesystem| filesystem.get("path").and_then(Value::as_str).map(str::to_owned))
        .collect();
    put_list(&mut new, "filesystems", filesystems_by_name(filesystems));
    nodes(&mut old, &mut new, &mounts);
    new
}

/// File systems get a name: their mount path, or a number.
fn filesystems_by_name(filesystems: Vec<Fields>) -> Vec<Fields> {
    let mut unnamed = 0;
    let named = filesystems.into_iter().map(|mut old| {
        let mut mount = Fields::new();
        keep(&mut old, &mut mount, &["label", "uuid", "options"]);
        keep_nonzero(&mut old, &mut mount, &["device", "format", "wipeFilesystem"]);
        let name = old.remove("path").unwrap_or_else(|| {
            unnamed += 1;
            Value::from(unnamed.to_string().as_str())
        });
        let mut new = Fields::new();
        new.insert("mount", Value::Object(mount));
        if !crate::parse::is_zero(&name) {
            new.insert("name", name);
        }
        new
    });
    named.collect()
}

fn nodes(old: &mut Fields, new: &mut Fields, mounts: &[String]) {
    let files = take_list(old, "files")
        .into_iter()
        .flat_map(|old| files(old, mounts));
    put_list(new, "files", files.collect());
    let directories = take_list(old, "directories").into_iter().map(|mut old| {
        let mut new = node(&mut old, mounts);
        keep(&mut old, &mut new, &["overwrite", "mode"]);
        new
    });
    put_list(new, "directories", directories.collect());
    let links = take_list(old, "links").into_iter().map(|mut old| {
        let mut new = node(&mut old, mounts);
        keep(&mut old, &mut new, &["overwrite"]);
        keep_nonzero(&mut old, &mut new, &["hard", "target"]);
        new
    });
    put_list(new, "links", links.collect());
}

/// Path and owner of a node, on the file system with the longest mount path above it.
fn node(old: &mut Fields, mounts: &[String]) -> Fields {
    let path = old.get("path").and_then(Value::as_str).unwrap_or_default();
    // By path components, where the reference goes by characters and fails (`/var` above `/varx`).
    let below = mounts.iter().filter_map(|mount| {
        let rest = path.strip_prefix(mount.trim_end_matches('/'))?;
        (rest.starts_with('/') && !mount.is_empty()).then_some((mount.as_str(), rest))
    });
    let (filesystem, rest) = below
        .max_by_key(|(mount, _)| mount.len())
        .unwrap_or(("root", path));
    let mut new = Fields::new();
    new.insert("filesystem", Value::from(filesystem));
    new.insert("path", Value::from(rest));
    for name in ["user", "group"] {
        if let Some(mut owner) = take_object(old, name) {
            let mut named = Fields::new();
            keep(&mut owner, &mut named, &["id"]);
            keep_nonzero(&mut owner, &mut named, &["name"]);
            new.insert(name, Value::Object(named));
        }
    }
    new
}

/// A file becomes one with its contents and one for each that is appended; without either, none.
fn files(mut old: Fields, mounts: &[String]) -> Vec<Fields> {
    let mut base = node(&mut old, mounts);
    keep(&mut old, &mut base, &["mode"]);
    let overwrite = old.remove("overwrite").unwrap_or(Value::Bool(false));
    let with = |resource: Fields, overwrite: Value| {
        let mut file = base.clone();
        file.insert("overwrite", overwrite);
        put_object(&mut file, "contents", contents(resource));
        file
    };
    let mut out = Vec::new();
    if let Some(resource) =
        take_object(&mut old, "contents").filter(|contents| contents.contains_key("source"))
    {
        out.push(with(resource, overwrite));
    }
    for resource in take_list(&mut old, "append") {
        let mut file = with(resource, Value::Bool(false));
        file.insert("append", Value::Bool(true));
        out.push(file);
    }
    out
}

fn contents(mut old: Fields) -> Fields {
    let mut new = Fields::new();
    keep_nonzero(&mut old, &mut new, &["compression", "source"]);
    keep(&mut old, &mut new, &["verification"]);
    new
}
