//! What the first boot of a node will enable: preset files (systemd.preset(5)), which is how Ignition enables units.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::{Root, unit_name};

/// Where preset files are, the first that has a name wins.
const DIRECTORIES: [&str; 5] = [
    "/etc/systemd/system-preset",
    "/run/systemd/system-preset",
    "/usr/local/lib/systemd/system-preset",
    "/usr/lib/systemd/system-preset",
    "/lib/systemd/system-preset",
];

/// Longest preset file that is read, in bytes.
const MAX_BYTES: u64 = 1 << 20;
/// Longest machine id file that says something, in bytes.
const MAX_MACHINE_ID: u64 = 4096;

/// The preset rules of a node, in the order in which they are asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Presets {
    rules: Vec<Rule>,
}

/// What a preset says about a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// The first boot enables it.
    Enable,
    /// The first boot leaves it disabled.
    Disable,
    /// The first boot leaves it as it is.
    Ignore,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    preset: Preset,
    pattern: String,
    instances: Vec<String>,
}

/// Whether the next boot of this root is its first, by which presets get applied (machine-id(5)).
pub fn first_boot_is_ahead(root: &Root) -> io::Result<bool> {
    let id = root.read(Path::new("/etc/machine-id"), MAX_MACHINE_ID)?;
    Ok(id.is_none_or(|id| id.trim_ascii() == b"uninitialized"))
}

// === impl Presets ===

impl Presets {
    /// Reads the preset files of a node.
    pub fn read(root: &Root) -> io::Result<Self> {
        let mut files: BTreeMap<String, PathBuf> = BTreeMap::new();
        for directory in DIRECTORIES {
            for entry in root.list(Path::new(directory))? {
                if let Some(name) = entry.name.to_str().filter(|name| name.ends_with(".preset")) {
                    files
                        .entry(name.to_owned())
                        .or_insert_with(|| Path::new(directory).join(name));
                }
            }
        }
        let mut presets = Self::default();
        for path in files.values() {
            let bytes = root.read(path, MAX_BYTES)?.unwrap_or_default();
            presets.add(&String::from_utf8_lossy(&bytes));
        }
        Ok(presets)
    }

    /// Adds the rules of a preset file after those that are there. Lines that are no rules are left out.
    pub fn add(&mut self, text: &str) {
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let preset = match words.next() {
                Some("enable") => Preset::Enable,
                Some("disable") => Preset::Disable,
                Some("ignore") => Preset::Ignore,
                _ => continue,
            };
            if let Some(pattern) = words.next() {
                let instances = words.map(str::to_owned).collect();
                self.rules.push(Rule {
                    preset,
                    pattern: pattern.to_owned(),
                    instances,
                });
            }
        }
    }

    /// What the first rule for `unit` says, if there is one.
    #[must_use]
    pub fn of(&self, unit: &str) -> Option<Preset> {
        self.rule(unit).map(|rule| rule.preset)
    }

    /// The units that are enabled when presets enable `unit`: of a template the instances that the rule lists, otherwise the
    /// unit itself.
    #[must_use]
    pub fn stands_for(&self, unit: &str) -> Vec<String> {
        let instances = self.rule(unit).map_or(&[][..], |rule| &rule.instances);
        if unit_name::is_template(unit) && !instances.is_empty() {
            let names = instances.iter();
            names
                .filter_map(|instance| unit_name::with_instance(unit, instance))
                .collect()
        } else {
            vec![unit.to_owned()]
        }
    }

    fn rule(&self, unit: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.matches(unit))
    }
}

// === impl Rule ===

impl Rule {
    fn matches(&self, unit: &str) -> bool {
        if self.instances.is_empty() {
            return glob(self.pattern.as_bytes(), unit.as_bytes());
        }
        // Instances are for enabling only (systemd.preset(5)), and only behind the name of a template.
        unit_name::with_instance(unit, "").is_some_and(|template| template == self.pattern)
            && self.preset == Preset::Enable
            && unit_name::instance(unit)
                .is_none_or(|own| self.instances.iter().any(|instance| instance == own))
    }
}

/// Shell patterns of unit names: `*`, `?` and `[a-z]`; a backslash is one, since names have them. Linear in the text for every `*`.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to go on when what follows the last `*` does not match here.
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            retry = Some((p, t));
            continue;
        }
        if let Some(next) = one(&pattern[p..], text[t]) {
            p += next;
            t += 1;
            continue;
        }
        let Some((after_star, from)) = retry else {
            return false;
        };
        p = after_star;
        t = from + 1;
        retry = Some((after_star, t));
    }
    pattern[p..].iter().all(|b| *b == b'*')
}

/// Length of the first element of `pattern`, if it stands for `byte`.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern.first()? {
        b'?' => Some(1),
        b'[' => {
            let close = pattern.iter().skip(2).position(|b| *b == b']')? + 2;
            let (negated, set) = match &pattern[1..close] {
                [b'!' | b'^', set @ ..] => (true, set),
                set => (false, set),
            };
            (in_set(set, byte) != negated).then_some(close + 1)
        }
        literal => (*literal == byte).then_some(1),
    }
}

fn in_set(mut set: &[u8], byte: u8) -> bool {
    while let [first, rest @ ..] = set {
        if let [b'-', last, rest @ ..] = rest {
            if (*first..=*last).contains(&byte) {
                return true;
            }
            set = rest;
        } else {
            if *first == byte {
                return true;
            }
            set = rest;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn presets(text: &str) -> Presets {
        let mut presets = Presets::default();
        presets.add(text);
        presets
    }

    #[test]
    fn the_first_rule_wins() {
        let presets = presets("# a comment\nenable a.service\ndisable *\nenable b.service\n");
        assert_eq!(presets.of("a.service"), Some(Preset::Enable));
        assert_eq!(presets.of("b.service"), Some(Preset::Disable));
        assert_eq!(Presets::default().of("a.service"), None);
    }

    #[test]
    fn instances_are_listed_behind_the_template() {
        let presets = presets("enable getty@.service tty1 tty2\nignore getty@*.service\n");
        assert_eq!(presets.of("getty@.service"), Some(Preset::Enable));
        let instances = ["getty@tty1.service", "getty@tty2.service"];
        assert_eq!(presets.stands_for("getty@.service"), instances);
        assert_eq!(presets.stands_for("getty@tty2.service"), ["getty@tty2.service"]);
        assert_eq!(presets.of("getty@tty2.service"), Some(Preset::Enable));
        assert_eq!(presets.of("getty@tty3.service"), Some(Preset::Ignore));
        assert_eq!(presets.of("getty.service"), None);
    }

    #[test]
    fn patterns_match_as_in_a_shell() {
        let table = [
            ("*", "a.service", true),
            ("a*.service", "abc.service", true),
            ("a*c*.service", "abcbcx.service", true),
            ("a*.service", "b.service", false),
            ("a?.service", "ab.service", true),
            ("a?.service", "a.service", false),
            ("[a-c]x.service", "bx.service", true),
            ("[!a-c]x.service", "bx.service", false),
            ("[]a]x.service", "]x.service", true),
            ("[ab", "a", false),
            (r"a\x2d*.service", r"a\x2db.service", true),
            ("", "", true),
            ("", "a", false),
            ("**a", "ba", true),
        ];
        for (pattern, text, expected) in table {
            assert_eq!(
                glob(pattern.as_bytes(), text.as_bytes()),
                expected,
                "{pattern} {text}"
            );
        }
    }

    #[test]
    fn a_hostile_pattern_ends_soon() {
        let pattern = "*a".repeat(2000) + "b";
        assert!(!glob(pattern.as_bytes(), "a".repeat(4000).as_bytes()));
    }

    #[test]
    fn files_are_asked_by_name_and_etc_hides_the_vendor_s() {
        let node = tempfile::tempdir().unwrap();
        for (path, text) in [
            (
                "etc/systemd/system-preset/20-ignition.preset",
                "enable a.service\n",
            ),
            (
                "etc/systemd/system-preset/90-default.preset",
                "disable c.service\n",
            ),
            (
                "usr/lib/systemd/system-preset/10-first.preset",
                "disable b.service\n",
            ),
            (
                "usr/lib/systemd/system-preset/90-default.preset",
                "enable c.service\n",
            ),
            ("usr/lib/systemd/system-preset/README", "enable d.service\n"),
        ] {
            let path = node.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let presets = Presets::read(&Root::open(node.path()).unwrap()).unwrap();
        let answers = ["a", "b", "c", "d"].map(|name| presets.of(&format!("{name}.service")));
        assert_eq!(
            answers,
            [
                Some(Preset::Enable),
                Some(Preset::Disable),
                Some(Preset::Disable),
                None
            ]
        );
    }

    #[test]
    fn the_first_boot_is_told_by_the_machine_id() {
        let node = tempfile::tempdir().unwrap();
        let root = Root::open(node.path()).unwrap();
        assert!(first_boot_is_ahead(&root).unwrap());
        std::fs::create_dir(node.path().join("etc")).unwrap();
        for (id, ahead) in [
            ("uninitialized\n", true),
            ("", false),
            ("0123456789abcdef0123456789abcdef\n", false),
        ] {
            std::fs::write(node.path().join("etc/machine-id"), id).unwrap();
            assert_eq!(first_boot_is_ahead(&root).unwrap(), ahead, "{id:?}");
        }
    }
}
