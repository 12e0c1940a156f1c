//! The sections of a config, one after the other, for people.

use std::fmt::Write as _;

use crds::MachineConfigSpec;
use crds::manifest::to_yaml;
use ignition::Config;
use ignition::types::{Directory, File, Link, NodeGroup, NodeUser, Unit, User};
use machineconfig::plan::short_key;
use serde_json::Value;

use super::contents::{self, Described, Shown};
use crate::escape;
use crate::report::plural;
use crate::terminal::paint;

/// Mode of a file that does not say one (Ignition, files stage).
const DEFAULT_FILE_MODE: i64 = 0o644;
/// Mode of a directory that does not say one (Ignition, files stage).
const DEFAULT_DIRECTORY_MODE: i64 = 0o755;

/// Where units are written.
const UNITS: &str = "/etc/systemd/system";

/// What a MachineConfig says besides its Ignition config.
pub(super) fn spec(spec: &MachineConfigSpec) -> String {
    let MachineConfigSpec {
        os_image_url,
        base_os_extensions_container_image,
        config: _,
        kernel_arguments,
        extensions,
        fips,
        kernel_type,
    } = spec;
    let list =
        |entries: &Option<Vec<String>>| entries.iter().flatten().cloned().collect::<Vec<_>>().join(" ");
    let lines = [
        ("OS image", os_image_url.clone()),
        ("extensions image", base_os_extensions_container_image.clone()),
        ("kernel arguments", list(kernel_arguments)),
        ("extensions", list(extensions)),
        ("FIPS", if *fips { "yes".to_owned() } else { String::new() }),
        ("kernel type", kernel_type.clone()),
    ];
    let mut text = String::new();
    for (what, value) in lines.iter().filter(|(_, value)| !value.is_empty()) {
        let _ = writeln!(text, "{what}: {}", escape::line(value));
    }
    text
}

/// What an Ignition config says, in the order in which a node is set up.
pub(super) fn config(config: &Config, shown: &Shown) -> String {
    let mut text = String::new();
    let typed = config.typed();
    let passwd = typed.passwd.unwrap_or_default();
    for it in passwd.users.iter().flatten() {
        entry(&mut text, &format!("user {}", it.name), user(it, shown), shown);
    }
    let storage = typed.storage.unwrap_or_default();
    for it in storage.directories.iter().flatten() {
        entry(&mut text, &it.path, directory(it), shown);
    }
    for it in storage.files.iter().flatten() {
        files(&mut text, it, shown);
    }
    for it in storage.links.iter().flatten() {
        entry(&mut text, &it.path, link(it), shown);
    }
    for it in typed.systemd.unwrap_or_default().units.iter().flatten() {
        units(&mut text, it, shown);
    }
    let mut rest = config.value().clone();
    if take_out_what_is_shown(&mut rest) {
        if !shown.secrets {
            redact(&mut rest);
        }
        entry(&mut text, "everything else", Described::default(), shown);
        for line in to_yaml(&rest).lines() {
            let _ = writeln!(text, "    {}", escape::line(line));
        }
    }
    text
}

/// A heading, its facts, its body.
fn entry(text: &mut String, heading: &str, described: Described, shown: &Shown) {
    let heading = paint(shown.styles.strong, &escape::line(heading));
    let _ = writeln!(text, "\n{heading}");
    below(text, "", described);
}

/// Facts and body below a heading; `what` comes before the facts.
fn below(text: &mut String, what: &str, described: Described) {
    let Described { facts, body } = described;
    let facts: Vec<_> = [what.to_owned()]
        .into_iter()
        .chain(facts)
        .filter(|f| !f.is_empty())
        .collect();
    if !facts.is_empty() {
        let _ = writeln!(text, "  {}", facts.join(", "));
    }
    text.push_str(&body);
}

fn files(text: &mut String, file: &File, shown: &Shown) {
    let mode = file.mode.unwrap_or(DEFAULT_FILE_MODE);
    // A mode beyond what there is has no bits that could be tested; it is shown as it is.
    let bits = u32::try_from(mode).unwrap_or_default();
    let mut facts = vec!["file".to_owned(), octal(mode, file.mode.is_none())];
    facts.extend(owner(file.user.as_ref(), file.group.as_ref()));
    facts.extend((file.overwrite == Some(false)).then(|| "not overwritten".to_owned()));
    let contents = file.contents.clone().unwrap_or_default();
    let described = contents::resource(&contents, &file.path, bits, shown);
    facts.extend(described.facts);
    entry(
        text,
        &file.path,
        Described {
            facts,
            body: described.body,
        },
        shown,
    );
    for part in file.append.iter().flatten() {
        below(
            text,
            "appended",
            contents::resource(part, &file.path, bits, shown),
        );
    }
}

fn directory(directory: &Directory) -> Described {
    let mode = directory.mode.unwrap_or(DEFAULT_DIRECTORY_MODE);
    let mut facts = vec!["directory".to_owned(), octal(mode, directory.mode.is_none())];
    facts.extend(owner(directory.user.as_ref(), directory.group.as_ref()));
    Described {
        facts,
        body: String::new(),
    }
}

fn link(link: &Link) -> Described {
    let kind = if link.hard == Some(true) {
        "hard link"
    } else {
        "symbolic link"
    };
    let target = link.target.as_deref().unwrap_or_default();
    let mut facts = vec![format!("{kind} to {}", escape::line(target))];
    facts.extend(owner(link.user.as_ref(), link.group.as_ref()));
    Described {
        facts,
        body: String::new(),
    }
}

fn units(text: &mut String, unit: &Unit, shown: &Shown) {
    let enabled = unit.enabled.map(|yes| if yes { "enabled" } else { "disabled" });
    let masked = unit.mask.and_then(|yes| yes.then_some("masked"));
    let mut facts = vec!["unit".to_owned()];
    facts.extend(enabled.into_iter().chain(masked).map(str::to_owned));
    let path = format!("{UNITS}/{}", unit.name);
    let described = unit
        .contents
        .as_deref()
        .map(|text| contents::unit(text, &path, shown));
    let described = described.unwrap_or_default();
    facts.extend(described.facts);
    entry(
        text,
        &unit.name,
        Described {
            facts,
            body: described.body,
        },
        shown,
    );
    for dropin in unit.dropins.iter().flatten() {
        let described = contents::unit(
            dropin.contents.as_deref().unwrap_or_default(),
            &format!("{path}.d/{}", dropin.name),
            shown,
        );
        below(
            text,
            &format!("drop-in {}", escape::line(&dropin.name)),
            described,
        );
    }
}

fn user(user: &User, shown: &Shown) -> Described {
    let keys = user.ssh_authorized_keys.as_deref().unwrap_or_default();
    let mut facts = vec![plural(keys.len(), "SSH key")];
    if let Some(hash) = &user.password_hash {
        facts.push(if shown.secrets {
            format!("password hash {}", escape::line(hash))
        } else {
            "password hash set".to_owned()
        });
    }
    let mut body = String::new();
    for key in keys {
        let key = if shown.full { key.clone() } else { short_key(key) };
        let _ = writeln!(body, "    {}", escape::line(&key));
    }
    Described { facts, body }
}

fn octal(mode: i64, by_default: bool) -> String {
    let note = if by_default { " by default" } else { "" };
    format!("mode {mode:04o}{note}")
}

fn owner(user: Option<&NodeUser>, group: Option<&NodeGroup>) -> Option<String> {
    let said = |name: Option<&String>, id: Option<i64>| name.cloned().or(id.map(|id| id.to_string()));
    let user = user.and_then(|user| said(user.name.as_ref(), user.id));
    let group = group.and_then(|group| said(group.name.as_ref(), group.id));
    (user.is_some() || group.is_some()).then(|| {
        let word = |name: Option<String>| name.unwrap_or_else(|| "root".to_owned());
        format!(
            "owner {}",
            escape::line(&format!("{}:{}", word(user), word(group)))
        )
    })
}

/// Leaves what no section above shows; whether there is any.
fn take_out_what_is_shown(config: &mut Value) -> bool {
    const SHOWN: [(&str, &[&str]); 3] = [
        ("ignition", &["version"]),
        ("storage", &["directories", "files", "links"]),
        ("systemd", &["units"]),
    ];
    let Some(sections) = config.as_object_mut() else {
        return false;
    };
    for (section, fields) in SHOWN {
        if let Some(section) = sections.get_mut(section).and_then(Value::as_object_mut) {
            section.retain(|field, _| !fields.contains(&field.as_str()));
        }
    }
    let users = sections
        .get_mut("passwd")
        .and_then(|passwd| passwd.get_mut("users"));
    for user in users
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
        .filter_map(Value::as_object_mut)
    {
        user.remove("sshAuthorizedKeys");
        user.remove("passwordHash");
        if user.keys().eq(["name"]) {
            user.clear();
        }
    }
    prune(config);
    config.as_object().is_some_and(|sections| !sections.is_empty())
}

/// Removes what is empty.
fn prune(value: &mut Value) {
    let empty = |value: &Value| match value {
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Null => true,
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    };
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(prune);
            fields.retain(|_, value| !empty(value));
        }
        Value::Array(items) => {
            items.iter_mut().for_each(prune);
            items.retain(|value| !empty(value));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Hides what may be a secret: password hashes, values of HTTP headers, configs of Clevis pins, contents of key
/// files, and what URLs carry besides host and path.
fn redact(value: &mut Value) {
    const SECRET: [&str; 3] = ["passwordHash", "value", "config"];
    match value {
        Value::Object(fields) => {
            for (field, value) in fields.iter_mut() {
                match value {
                    Value::String(text) if SECRET.contains(&field.as_str()) => "(secret)".clone_into(text),
                    Value::String(text) if text.starts_with("data:") => {
                        *text = format!("data: URL of {}", plural(text.len(), "character"));
                    }
                    Value::String(text) if text.contains("://") => *text = contents::without_secrets(text),
                    other => redact(other),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(redact),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
