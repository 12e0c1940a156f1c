//! The parts of an Ignition config: which there are, and which one a JSON path lies in.

use ignition::Config;
use ignition::tree::{Map, Value};

use super::Part;

/// Lists whose entries are parts by themselves, with the field that tells the entries apart.
const LISTS: &[(&str, &str, &str)] = &[
    ("passwd", "groups", "name"),
    ("storage", "disks", "device"),
    ("storage", "filesystems", "device"),
    ("storage", "luks", "name"),
    ("storage", "raid", "name"),
];

/// The lists of `storage` whose entries are nodes of the file system.
const NODES: [&str; 3] = ["directories", "files", "links"];

/// Calls `found` for every part that `config` says something about. The second argument is false for a unit or
/// user that is only named to hold drop-ins or SSH keys.
pub(super) fn each(config: &Config, mut found: impl FnMut(Part, bool)) {
    let root = config.fields();
    for name in NODES {
        for node in root.list("storage", name) {
            found(Part::Path(text(node, "path")), true);
        }
    }
    for unit in root.list("systemd", "units") {
        let name = text(unit, "name");
        found(Part::Unit(name.clone()), says_more_than(unit, "dropins"));
        for dropin in unit.list("dropins") {
            found(Part::Dropin(name.clone(), text(dropin, "name")), true);
        }
    }
    for user in root.list("passwd", "users") {
        let name = text(user, "name");
        found(
            Part::User(name.clone()),
            says_more_than(user, "sshAuthorizedKeys"),
        );
        for key in user.list("sshAuthorizedKeys") {
            found(
                Part::SshKey(name.clone(), key.as_str().unwrap_or_default().to_owned()),
                true,
            );
        }
    }
    for (section, name, key) in LISTS {
        for entry in root.list(section, name) {
            found(entry_of(section, name, &text(entry, key)), true);
        }
    }
    for name in ["shouldExist", "shouldNotExist"] {
        for argument in root.list("kernelArguments", name) {
            found(kernel_argument(argument), true);
        }
    }
    for name in root
        .get("ignition")
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(Map::keys)
    {
        if name != "version" {
            found(Part::Field(format!("ignition.{name}")), true);
        }
    }
}

/// The part that a JSON path from the root of `config` lies in, such as `$.storage.files[3].mode`. A path that
/// leads nowhere is a part by itself.
pub(crate) fn part_at(config: &Config, path: &str) -> Part {
    let path = path.trim_start_matches('$').trim_start_matches('.');
    at_entry(config.fields(), path).unwrap_or_else(|| {
        let section: Vec<&str> = path.split(['.', '[']).take(2).collect();
        Part::Field(section.join("."))
    })
}

fn at_entry(root: &Map, path: &str) -> Option<Part> {
    let (list_path, entry, rest) = step(path)?;
    let (section, name) = list_path.split_once('.')?;
    let value = root.list(section, name).get(entry)?;
    match (section, name) {
        ("storage", name) if NODES.contains(&name) => Some(Part::Path(text(value, "path"))),
        ("systemd", "units") => Some(match step(rest) {
            Some(("dropins", dropin, _)) => Part::Dropin(
                text(value, "name"),
                text(value.list("dropins").get(dropin)?, "name"),
            ),
            _ => Part::Unit(text(value, "name")),
        }),
        ("passwd", "users") => Some(match step(rest) {
            Some(("sshAuthorizedKeys", key, _)) => {
                let key = value.list("sshAuthorizedKeys").get(key)?.as_str()?;
                Part::SshKey(text(value, "name"), key.to_owned())
            }
            _ => Part::User(text(value, "name")),
        }),
        ("kernelArguments", _) => Some(kernel_argument(value)),
        _ => {
            let (_, _, key) = LISTS
                .iter()
                .find(|(of, list, _)| (*of, *list) == (section, name))?;
            Some(entry_of(section, name, &text(value, key)))
        }
    }
}

/// `a.b[3].c` as `a.b`, 3 and `c`.
fn step(path: &str) -> Option<(&str, usize, &str)> {
    let (list, rest) = path.split_once('[')?;
    let (index, rest) = rest.split_once(']')?;
    Some((list, index.parse().ok()?, rest.trim_start_matches('.')))
}

fn entry_of(section: &str, list: &str, key: &str) -> Part {
    Part::Field(format!("{section}.{list}[{key}]"))
}

fn kernel_argument(argument: &Value) -> Part {
    Part::Field(format!(
        "kernelArguments[{}]",
        argument.as_str().unwrap_or_default()
    ))
}

fn text(value: &Value, name: &str) -> String {
    value.text(name).to_owned()
}

/// Whether an entry says anything but its name and `list`.
fn says_more_than(entry: &Value, list: &str) -> bool {
    entry
        .as_object()
        .is_some_and(|entry| entry.keys().any(|key| key != "name" && key != list))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn config() -> Config {
        let value = json!({
            "ignition": { "version": "3.4.0", "proxy": { "httpProxy": "http://p" } },
            "kernelArguments": { "shouldExist": ["quiet"] },
            "passwd": { "users": [{ "name": "core", "sshAuthorizedKeys": ["k"] }], "groups": [{ "name": "g" }] },
            "storage": {
                "files": [{ "path": "/f" }], "links": [{ "path": "/l", "target": "t" }],
                "disks": [{ "device": "/dev/a" }],
            },
            "systemd": { "units": [{ "name": "a.service", "dropins": [{ "name": "x.conf" }] }] },
        });
        Config::from_value_unvalidated(&value).unwrap().config
    }

    #[test]
    fn a_path_lies_in_the_part_it_points_into() {
        let field = |name: &str| Part::Field(name.to_owned());
        for (path, part) in [
            ("$.storage.files[0].contents.source", Part::Path("/f".to_owned())),
            ("$.storage.links[0]", Part::Path("/l".to_owned())),
            ("$.systemd.units[0].contents", Part::Unit("a.service".to_owned())),
            (
                "$.systemd.units[0].dropins[0].name",
                Part::Dropin("a.service".to_owned(), "x.conf".to_owned()),
            ),
            (
                "$.passwd.users[0].sshAuthorizedKeys[0]",
                Part::SshKey("core".to_owned(), "k".to_owned()),
            ),
            ("$.passwd.users[0].shell", Part::User("core".to_owned())),
            ("$.passwd.groups[0].gid", field("passwd.groups[g]")),
            (
                "$.storage.disks[0].partitions[1].label",
                field("storage.disks[/dev/a]"),
            ),
            (
                "$.kernelArguments.shouldExist[0]",
                field("kernelArguments[quiet]"),
            ),
            ("$.ignition.proxy.httpProxy", field("ignition.proxy")),
            ("$.storage.files[7].mode", field("storage.files")),
            ("$", field("")),
        ] {
            assert_eq!(part_at(&config(), path), part, "{path}");
        }
    }

    #[test]
    fn every_part_is_found() {
        let mut found = Vec::new();
        each(&config(), |part, whole| found.push((part, whole)));
        found.sort();
        insta::assert_debug_snapshot!(found);
    }
}
