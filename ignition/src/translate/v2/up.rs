//! 2.x to 3.x, field by field (`MCO render 2.6`, the chain 2.2 → 2.3 → 3.0).

use crate::tree::{Map as Fields, Value};
use crate::validate::node::clean;
use crate::version::Spec;

/// The 3.x config that means the same as a 2.x config without duplicates.
pub(super) fn config(mut old: Fields, spec: Spec) -> Fields {
    let mut new = Fields::new();
    for (name, translate) in [
        ("ignition", ignition as fn(Fields, Spec) -> Fields),
        ("passwd", passwd),
        ("storage", storage),
        ("systemd", systemd),
    ] {
        if let Some(Value::Object(section)) = old.remove(name) {
            put_object(&mut new, name, translate(section, spec));
        }
    }
    new
}

/// Sets an object that says something.
fn put_object(to: &mut Fields, name: &'static str, object: Fields) {
    if !object.is_empty() {
        to.insert(name, Value::Object(object));
    }
}

/// Moves fields that mean the same; an empty list becomes none.
fn keep(from: &mut Fields, to: &mut Fields, names: &[&'static str]) {
    for name in names {
        if let Some(value) = from.remove(name)
            && value.as_array().is_none_or(|items| !items.is_empty())
        {
            to.insert(name, value);
        }
    }
}

/// Moves a field that is always there in 3.x.
fn keep_text(from: &mut Fields, to: &mut Fields, name: &'static str) {
    let value = from.remove(name).unwrap_or_else(|| Value::from(""));
    to.insert(name, value);
}

/// Translates each object of a list; an empty list becomes none.
fn each(
    from: &mut Fields,
    old: &str,
    to: &mut Fields,
    new: &'static str,
    translate: impl Fn(Fields) -> Fields,
) {
    let Some(Value::Array(items)) = from.remove(old) else {
        return;
    };
    let items: Vec<Value> = (items.into_iter())
        .filter_map(|item| match item {
            Value::Object(item) => Some(Value::Object(translate(item))),
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => None,
        })
        .collect();
    if !items.is_empty() {
        to.insert(new, Value::Array(items));
    }
}

fn take_object(from: &mut Fields, name: &'static str) -> Option<Fields> {
    match from.remove(name) {
        Some(Value::Object(object)) => Some(object),
        _ => None,
    }
}

fn ignition(mut old: Fields, _: Spec) -> Fields {
    let mut new = Fields::new();
    if let Some(mut config) = take_object(&mut old, "config") {
        let mut references = Fields::new();
        each(&mut config, "append", &mut references, "merge", reference);
        if let Some(replace) = take_object(&mut config, "replace") {
            put_object(&mut references, "replace", reference(replace));
        }
        put_object(&mut new, "config", references);
    }
    if let Some(mut tls) = take_object(&mut old, "security").and_then(|mut s| take_object(&mut s, "tls")) {
        let mut authorities = Fields::new();
        each(
            &mut tls,
            "certificateAuthorities",
            &mut authorities,
            "certificateAuthorities",
            reference,
        );
        let mut security = Fields::new();
        put_object(&mut security, "tls", authorities);
        put_object(&mut new, "security", security);
    }
    keep(&mut old, &mut new, &["timeouts"]);
    new
}

/// A reference has a source, be it empty.
fn reference(mut old: Fields) -> Fields {
    let mut new = Fields::new();
    keep_text(&mut old, &mut new, "source");
    keep(&mut old, &mut new, &["verification"]);
    new
}

fn passwd(mut old: Fields, _: Spec) -> Fields {
    let mut new = Fields::new();
    each(&mut old, "users", &mut new, "users", |mut old| {
        let mut new = Fields::new();
        keep_text(&mut old, &mut new, "name");
        // What a user is created with is left behind: core exists.
        old.remove("create");
        let names: Vec<&str> = old.keys().collect();
        keep(&mut old, &mut new, &names);
        new
    });
    each(&mut old, "groups", &mut new, "groups", |mut old| {
        let mut new = Fields::new();
        keep_text(&mut old, &mut new, "name");
        keep(&mut old, &mut new, &["gid", "passwordHash", "system"]);
        new
    });
    new
}

fn storage(mut old: Fields, spec: Spec) -> Fields {
    let mut new = Fields::new();
    each(&mut old, "disks", &mut new, "disks", |mut old| {
        let mut new = Fields::new();
        keep_text(&mut old, &mut new, "device");
        keep(&mut old, &mut new, &["wipeTable"]);
        new
    });
    each(&mut old, "raid", &mut new, "raid", |mut old| {
        let mut new = Fields::new();
        keep_text(&mut old, &mut new, "name");
        keep(&mut old, &mut new, &["level", "devices", "spares", "options"]);
        new
    });
    // File systems: there can only be root, which is implied.
    each(&mut old, "files", &mut new, "files", |old| file(old, spec));
    each(&mut old, "directories", &mut new, "directories", |mut old| {
        let mut new = node(&mut old, spec);
        mode(&mut old, &mut new, spec);
        keep(&mut old, &mut new, &["overwrite"]);
        new
    });
    each(&mut old, "links", &mut new, "links", |mut old| {
        let mut new = node(&mut old, spec);
        keep_text(&mut old, &mut new, "target");
        keep(&mut old, &mut new, &["overwrite", "hard"]);
        new
    });
    new
}

/// Path and owner of a node. The root file system is `/`.
fn node(old: &mut Fields, spec: Spec) -> Fields {
    let mut new = Fields::new();
    let path = clean(old.get("path").and_then(Value::as_str).unwrap_or_default());
    new.insert("path", Value::from(path.as_str()));
    for name in ["user", "group"] {
        let mut owner = take_object(old, name).unwrap_or_default();
        if spec == Spec::V2_0 {
            // An owner is a number there, and no number is root.
            owner.or_insert_with("id", || Value::Number(0));
        }
        put_object(&mut new, name, owner);
    }
    new
}

/// Before 2.2 no mode is mode 0.
fn mode(old: &mut Fields, new: &mut Fields, spec: Spec) {
    if spec < Spec::V2_2 {
        old.or_insert_with("mode", || Value::Number(0));
    }
    keep(old, new, &["mode"]);
}

fn file(mut old: Fields, spec: Spec) -> Fields {
    let mut new = node(&mut old, spec);
    mode(&mut old, &mut new, spec);
    let mut contents = take_object(&mut old, "contents").unwrap_or_default();
    // A file without contents is an empty file, not one to leave alone.
    let mut resource = Fields::new();
    keep_text(&mut contents, &mut resource, "source");
    keep(&mut contents, &mut resource, &["compression", "verification"]);
    let appends = old.get("append").and_then(Value::as_bool) == Some(true);
    // Files are overwritten unless 2.x says otherwise; in 3.x it is the other way round.
    let overwrite = if appends {
        Value::Bool(false)
    } else {
        old.remove("overwrite").unwrap_or(Value::Bool(true))
    };
    new.insert("overwrite", overwrite);
    if appends {
        new.insert("append", Value::Array(vec![Value::Object(resource)]));
    } else {
        new.insert("contents", Value::Object(resource));
    }
    new
}

fn systemd(mut old: Fields, _: Spec) -> Fields {
    let mut new = Fields::new();
    each(&mut old, "units", &mut new, "units", |mut old| {
        let mut new = Fields::new();
        keep_text(&mut old, &mut new, "name");
        // An explicit enabled: false wins over enable.
        let enable = old.remove("enable");
        if let Some(enabled) = old.remove("enabled").or(enable) {
            new.insert("enabled", enabled);
        }
        keep(&mut old, &mut new, &["mask", "contents"]);
        each(&mut old, "dropins", &mut new, "dropins", |mut old| {
            let mut new = Fields::new();
            keep_text(&mut old, &mut new, "name");
            keep(&mut old, &mut new, &["contents"]);
            new
        });
        new
    });
    new
}
