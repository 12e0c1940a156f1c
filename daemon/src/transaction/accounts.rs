//! SSH keys and password hashes (MCO daemon 3.9).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use machineconfig::Code;

use super::{Builder, Housing, Wish, held};
use crate::change::{Contents, State};
use crate::host::shadow;

/// Where the keys of a user are, below the home directory.
const KEYS: &str = ".ssh/authorized_keys.d/ignition";
/// The home of core by the name that everybody knows it by; image-based hosts link it elsewhere.
const CORE_HOME: &str = "/home/core";

impl Builder<'_> {
    /// The keys of a user as the desired config has them, none when it does not name the user.
    pub(super) fn ssh_keys(&mut self, user: &str) {
        let Some(known) = self.identity.users.get(user) else {
            return self.warn(
                Code::UNKNOWN_USER,
                user,
                "is not on this node, so the SSH keys of the config are not written",
            );
        };
        let home = if user == "core" { CORE_HOME } else { &known.home };
        let (uid, gid) = (known.uid, known.gid);
        if !Path::new(home).is_absolute() || home == "/" {
            return self.warn(Code::UNKNOWN_USER, user, format!("has no home directory of its own ({home:?}), so the SSH keys of the config are not written"));
        }
        let path: PathBuf = Path::new(home).join(KEYS);
        let keys = self
            .input
            .desired
            .users
            .get(user)
            .map(|user| user.keys.as_slice())
            .unwrap_or_default();
        let bytes: Vec<u8> = keys
            .iter()
            .flat_map(|key| [key.as_bytes(), b"\n"].concat())
            .collect();
        if bytes.is_empty() && !self.is_there(&path) {
            return;
        }
        let housing = Housing {
            mode: 0o700,
            uid,
            gid,
            // `.ssh` and the directory in it.
            levels: 2,
        };
        self.wishes.push((
            path,
            Wish::File {
                contents: Contents::of(bytes),
                mode: 0o600,
                uid,
                gid,
            },
            housing,
        ));
    }

    /// The password hashes of users, all in one file.
    pub(super) fn passwords(&mut self, users: &BTreeSet<&str>) {
        if users.is_empty() {
            return;
        }
        let (bytes, state) = match held(self.input.root, Path::new(shadow::PATH)) {
            Ok(Some((bytes, State::File(state)))) => (bytes, state),
            Ok(_) => {
                return self.refuse(
                    Code::TARGET_TYPE,
                    shadow::PATH,
                    "is no file on this node, so no password can be set",
                );
            }
            Err(error) => return self.refuse(Code::NODE_UNREADABLE, shadow::PATH, error.to_string()),
        };
        let mut text = bytes;
        for user in users {
            let wanted = match self.input.desired.users.get(*user) {
                None => shadow::Password::Locked,
                Some(wanted) => wanted
                    .password_hash
                    .as_deref()
                    .map_or(shadow::Password::None, shadow::Password::Hash),
            };
            match shadow::set(&text, user, wanted, self.input.now) {
                Ok(changed) => text = changed,
                Err(shadow::ShadowError::NoSuchUser) => {
                    self.warn(
                        Code::UNKNOWN_USER,
                        *user,
                        "is not on this node, so the password hash of the config is not set",
                    );
                }
                Err(shadow::ShadowError::NotAHash) => {
                    self.refuse(Code::PASSWORD_HASH, *user, "the password hash holds a colon or a line break, which the file of hashes cannot hold");
                }
            }
        }
        self.wish(
            shadow::PATH.into(),
            Wish::File {
                contents: Contents::of(text),
                mode: state.mode,
                uid: state.uid,
                gid: state.gid,
            },
        );
    }
}
