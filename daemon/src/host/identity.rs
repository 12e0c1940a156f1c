//! The users and groups of a node, from its own files: never those of the machine or container we run in.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use super::Root;

/// The user databases, the first that knows a name wins. The second is where image-based hosts keep the users of the OS
/// (`nss-altfiles`).
const PASSWD: [&str; 2] = ["/etc/passwd", "/usr/lib/passwd"];
/// The group databases, likewise.
const GROUP: [&str; 2] = ["/etc/group", "/usr/lib/group"];
/// Longest database that is read, in bytes: some ten thousand entries.
const MAX_BYTES: u64 = 4 << 20;

/// Users and groups of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// By name.
    pub users: BTreeMap<String, User>,
    /// Number by name.
    pub groups: BTreeMap<String, u32>,
}

/// What is known of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Number of the user.
    pub uid: u32,
    /// Number of the primary group.
    pub gid: u32,
    /// The home directory, absolute; empty when the database says none.
    pub home: String,
}

impl Identity {
    /// Reads the databases of a node. One that is absent holds nothing.
    pub fn read(root: &Root) -> io::Result<Self> {
        let mut identity = Self::default();
        for path in PASSWD {
            identity.add_passwd(&text(root, path)?);
        }
        for path in GROUP {
            identity.add_group(&text(root, path)?);
        }
        Ok(identity)
    }

    /// Adds the entries of a passwd file that are not known yet. Lines that are none are left out, as libc does.
    pub fn add_passwd(&mut self, text: &str) {
        for line in text.lines() {
            let fields: Vec<_> = line.split(':').collect();
            let [name, _, uid, gid, _, home, ..] = fields[..] else {
                continue;
            };
            if let (true, Ok(uid), Ok(gid)) = (is_name(name), uid.parse(), gid.parse()) {
                let user = User {
                    uid,
                    gid,
                    home: home.to_owned(),
                };
                self.users.entry(name.to_owned()).or_insert(user);
            }
        }
    }

    /// Adds the entries of a group file that are not known yet.
    pub fn add_group(&mut self, text: &str) {
        for line in text.lines() {
            let mut fields = line.split(':');
            let (name, number) = (
                fields.next().unwrap_or_default(),
                fields.nth(1).unwrap_or_default(),
            );
            if let (true, Ok(gid)) = (is_name(name), number.parse()) {
                self.groups.entry(name.to_owned()).or_insert(gid);
            }
        }
    }
}

/// Comments, NIS escapes (`+`, `-`) and nameless lines are no users.
fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with(['#', '+', '-', ' '])
}

fn text(root: &Root, path: &str) -> io::Result<String> {
    let bytes = root.read(Path::new(path), MAX_BYTES)?.unwrap_or_default();
    // Names are compared with names of a config, which are UTF-8: what is not can match none.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwd_lines_are_read_and_others_left_out() {
        let mut identity = Identity::default();
        identity.add_passwd(
            "root:x:0:0:root:/root:/bin/bash\n# comment:x:1:1::/:\n\n+nis:x:2:2::/:\ncore:x:1000:1001:a b:/var/home/core:/bin/bash\n\
             short:x:5\nbad:x:minus:1::/:\nbig:x:4294967296:1::/:\nshellless:x:7:7::/h\n",
        );
        let names: Vec<_> = identity.users.keys().map(String::as_str).collect();
        assert_eq!(names, ["core", "root", "shellless"]);
        assert_eq!(
            identity.users["core"],
            User {
                uid: 1000,
                gid: 1001,
                home: "/var/home/core".into()
            }
        );
    }

    #[test]
    fn the_first_entry_of_a_name_wins() {
        let mut identity = Identity::default();
        identity.add_passwd("core:x:1:1::/a:\ncore:x:2:2::/b:\n");
        identity.add_passwd("core:x:3:3::/c:\n");
        identity.add_group("wheel:x:10:core\nwheel:x:11:\n");
        assert_eq!(identity.users["core"].uid, 1);
        assert_eq!(identity.groups["wheel"], 10);
    }

    #[test]
    fn the_node_s_own_files_are_read_also_where_images_keep_them() {
        let node = tempfile::tempdir().unwrap();
        for directory in ["etc", "usr/lib"] {
            std::fs::create_dir_all(node.path().join(directory)).unwrap();
        }
        std::fs::write(
            node.path().join("etc/passwd"),
            "core:x:1000:1000::/var/home/core:\n",
        )
        .unwrap();
        std::fs::write(
            node.path().join("usr/lib/passwd"),
            b"bin:x:77:77:\xff:/bin:\ncore:x:5:5::/:\n",
        )
        .unwrap();
        std::fs::write(node.path().join("usr/lib/group"), "wheel:x:910:\n").unwrap();
        let identity = Identity::read(&Root::open(node.path()).unwrap()).unwrap();
        assert_eq!(identity.users["core"].uid, 1000);
        assert_eq!(identity.users["bin"].uid, 77, "not the number of this machine");
        assert_eq!(identity.groups, BTreeMap::from([("wheel".to_owned(), 910)]));
    }
}
