//! What goes before a unit of the config, or is added to it, without being of the config: other places of systemd's search path.
//!
//! Entry point: [`Expectation::beside`] says where to look. What the OS image brings (below `/usr`) and generators write is not drift.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::compare::{diff, kind_of, remedy};
use super::expect::{Expectation, What};
use super::{Drift, DriftKind, Seen};
use crate::layout::UNIT_DIRECTORY;
use crate::redact::Contents;

/// Places that go before [`UNIT_DIRECTORY`] (systemd.unit(5)) and are written by hand or `systemctl`.
const BEFORE: [&str; 2] = ["/etc/systemd/system.control", "/run/systemd/system.control"];
/// Where drop-ins are that count beside those of the config, besides [`BEFORE`]: `systemctl edit`, `systemctl edit --runtime`.
const DROP_INS: [&str; 2] = [UNIT_DIRECTORY, "/run/systemd/system"];

/// A unit of the config that nothing else is to touch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Guard {
    /// Paths in [`Beside`] that the config itself brings.
    own: BTreeSet<String>,
    /// A masked unit has no use for drop-ins.
    masked: bool,
    pub(super) machine_config: Option<String>,
}

/// Where something could shadow a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beside {
    /// Paths where anything at all goes before the unit of the config.
    pub files: Vec<String>,
    /// Directories in which every `*.conf` is a drop-in of the unit.
    pub directories: Vec<String>,
}

// === impl Expectation ===

impl Expectation {
    /// Units of the config that something could shadow, sorted, and where to look for it.
    pub fn beside(&self) -> impl Iterator<Item = (&str, Beside)> {
        self.guards
            .iter()
            .map(|(unit, guard)| (unit.as_str(), guard.beside(unit)))
    }

    /// To be called when all paths are known.
    pub(super) fn add_guards(&mut self) {
        let mut guards = std::collections::BTreeMap::new();
        for demand in self.paths.values().flatten() {
            let Some(unit) = &demand.unit else { continue };
            let guard = guards.entry(unit.clone()).or_insert_with(|| Guard {
                own: BTreeSet::new(),
                masked: false,
                machine_config: None,
            });
            guard.masked |= demand.what == What::Mask;
        }
        for (unit, guard) in &mut guards {
            let Beside { files, directories } = guard.beside(unit);
            guard.own = files
                .into_iter()
                .filter(|path| self.paths.contains_key(path))
                .collect();
            for directory in directories {
                let below = format!("{directory}/");
                let paths = self.paths.range(below.clone()..);
                let own = paths.take_while(|(path, _)| path.starts_with(&below));
                guard.own.extend(own.map(|(path, _)| path.clone()));
            }
        }
        self.guards = guards;
    }
}

// === impl Guard ===

impl Guard {
    fn beside(&self, unit: &str) -> Beside {
        let directories = BEFORE.iter().chain(&DROP_INS).filter(|_| !self.masked);
        Beside {
            files: BEFORE.map(|place| format!("{place}/{unit}")).to_vec(),
            directories: directories.map(|place| format!("{place}/{unit}.d")).collect(),
        }
    }

    /// The drift that something at one of these places is.
    pub(super) fn shadow(&self, unit: &str, path: &str, seen: &Seen) -> Option<Drift> {
        if self.own.contains(path) {
            return None;
        }
        let diff = match seen {
            // A directory is no drop-in.
            Seen::Missing | Seen::Directory => return None,
            Seen::File { mode, contents, .. } => Some(diff(path, Contents::ABSENT, *mode, contents)),
            Seen::Symlink { .. } | Seen::Other { .. } | Seen::LeadsOut { .. } | Seen::Unreadable { .. } => {
                None
            }
        };
        Some(Drift {
            path: path.to_owned(),
            unit: Some(unit.to_owned()),
            kind: DriftKind::Shadow,
            code: DriftKind::Shadow.code(),
            expected: "nothing".to_owned(),
            found: kind_of(seen),
            diff,
            machine_config: self.machine_config.clone(),
            remedy: remedy(DriftKind::Shadow),
            beyond_reference: true,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::drift::{Observed, SeenContents, compare};

    fn expectation() -> Expectation {
        let config = json!({
            "ignition": {"version": "3.4.0"},
            "storage": {"files": [{"path": "/etc/systemd/system/a.service.d/30-file.conf", "contents": {"source": "data:,"}}]},
            "systemd": {"units": [
                {"name": "a.service", "contents": "[Service]\n", "dropins": [{"name": "10-a.conf", "contents": "[Unit]\n"}]},
                {"name": "b.service", "mask": true},
                {"name": "c.service", "enabled": true},
            ]},
        });
        Expectation::from_ignition("x", &config).unwrap()
    }

    fn shadows(unit: &str, found: &[(&str, Seen)]) -> Vec<String> {
        let found = found
            .iter()
            .map(|(path, seen)| ((*path).to_owned(), seen.clone()));
        let observed = Observed {
            beside: [(unit.to_owned(), found.collect())].into(),
            ..Observed::default()
        };
        let drift = compare(&expectation(), &observed);
        assert!(drift.iter().all(|drift| drift.kind == DriftKind::Shadow));
        drift.into_iter().map(|drift| drift.path).collect()
    }

    fn file() -> Seen {
        Seen::File {
            mode: 0o644,
            owner: None,
            contents: SeenContents::Bytes(b"[Service]\nUser=evil\n".to_vec()),
        }
    }

    #[test]
    fn units_are_looked_for_where_they_could_be_shadowed() {
        let expectation = expectation();
        let beside: BTreeMap<_, _> = expectation.beside().collect();
        assert_eq!(
            beside.keys().copied().collect::<Vec<_>>(),
            ["a.service", "b.service"]
        );
        assert_eq!(
            beside["a.service"].directories,
            [
                "/etc/systemd/system.control/a.service.d",
                "/run/systemd/system.control/a.service.d",
                "/etc/systemd/system/a.service.d",
                "/run/systemd/system/a.service.d",
            ]
        );
        assert_eq!(
            beside["b.service"].directories, [""; 0],
            "a masked unit has no use for drop-ins"
        );
    }

    #[test]
    fn what_is_not_of_the_config_is_drift_with_its_diff() {
        let own = [
            "/etc/systemd/system/a.service.d/10-a.conf",
            "/etc/systemd/system/a.service.d/30-file.conf",
        ];
        let foreign = [
            "/etc/systemd/system.control/a.service",
            "/etc/systemd/system/a.service.d/90-evil.conf",
            "/run/systemd/system.control/a.service.d/10-a.conf",
        ];
        let found: Vec<_> = own.iter().chain(&foreign).map(|path| (*path, file())).collect();
        assert_eq!(shadows("a.service", &found), foreign);
        let observed = Observed {
            beside: [("a.service".to_owned(), [(foreign[1].to_owned(), file())].into())].into(),
            ..Observed::default()
        };
        let diff = compare(&expectation(), &observed).remove(0).diff.unwrap();
        let text = serde_json::to_string(&diff).unwrap();
        assert!(text.contains("+User=evil"), "{text}");
    }

    #[test]
    fn a_link_shadows_too_and_a_directory_does_not() {
        let link = Seen::Symlink {
            target: "/dev/null".to_owned(),
            resolved: None,
        };
        let path = "/run/systemd/system/a.service.d/x.conf";
        assert_eq!(shadows("a.service", &[(path, link)]), [path]);
        assert_eq!(shadows("a.service", &[(path, Seen::Directory)]), [""; 0]);
    }

    #[test]
    fn pieces_make_the_whole_again() {
        let whole = expectation();
        let mut together = Expectation::default();
        for piece in whole.clone().pieces() {
            let text = serde_json::to_string(&piece).unwrap();
            assert!(piece.paths().count() <= 1);
            together.add(serde_json::from_str(&text).unwrap());
        }
        assert_eq!(together, whole);
    }
}
