//! The API server's own record of who asked what of it. Entry point: [`Audit`].

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::Cluster;
use super::accounts::NAMESPACE;

/// Requests that change something.
const WRITES: [&str; 5] = ["create", "update", "patch", "delete", "deletecollection"];

/// The files of a record.
#[derive(Debug)]
pub(super) struct Files {
    policy: PathBuf,
    /// One request per line.
    pub(super) record: PathBuf,
}

/// One request that was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Who asked, as the API server knows them.
    pub user: String,
    /// The program that asked, as it says itself.
    pub agent: String,
    /// What is done: `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`.
    pub verb: String,
    /// The API group; empty for the core.
    pub group: String,
    /// The plural, with a subresource behind a slash.
    pub resource: String,
    /// Of which object; empty for all of them.
    pub name: String,
    /// Path and query.
    pub uri: String,
    /// The HTTP status of the answer.
    pub code: u64,
    /// When it arrived.
    pub time: Timestamp,
}

/// What was recorded so far, in the order of the answers.
#[derive(Debug, Clone, Default)]
pub struct Audit {
    /// The requests.
    pub entries: Vec<Entry>,
}

// === impl Files ===

impl Files {
    /// Says what is recorded: all that our own accounts ask, and of everybody what changes something and what is watched.
    pub(super) fn create(dir: &Path) -> Result<Self> {
        let files = Self {
            policy: dir.join("audit-policy.yaml"),
            record: dir.join("audit.log"),
        };
        let policy = json!({
            "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
            "rules": [
                // A watch is answered when it begins; of its end nothing is to be known.
                {"level": "Metadata", "verbs": ["watch"], "omitStages": ["ResponseComplete"]},
                {"level": "Metadata", "userGroups": [format!("system:serviceaccounts:{NAMESPACE}")]},
                {"level": "Metadata", "verbs": WRITES},
                {"level": "None"},
            ],
        });
        fs::write(&files.policy, policy.to_string())
            .with_context(|| format!("could not write {}", files.policy.display()))?;
        Ok(files)
    }

    pub(super) fn arguments(&self) -> [String; 2] {
        [
            format!("--audit-policy-file={}", self.policy.display()),
            format!("--audit-log-path={}", self.record.display()),
        ]
    }
}

// === impl Entry ===

impl Entry {
    fn of(line: &str) -> Result<Self> {
        let event: Value = serde_json::from_str(line).with_context(|| format!("no record: {line}"))?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let object = &event["objectRef"];
        let resource = match object["subresource"].as_str() {
            Some(sub) => format!("{}/{sub}", text(&object["resource"])),
            None => text(&object["resource"]),
        };
        Ok(Self {
            user: text(&event["user"]["username"]),
            agent: text(&event["userAgent"]),
            verb: text(&event["verb"]),
            group: text(&object["apiGroup"]),
            resource,
            name: text(&object["name"]),
            uri: text(&event["requestURI"]),
            code: event["responseStatus"]["code"].as_u64().unwrap_or_default(),
            time: text(&event["requestReceivedTimestamp"])
                .parse()
                .with_context(|| format!("no time: {line}"))?,
        })
    }

    /// Whether it was to change something, whatever the answer.
    #[must_use]
    pub fn writes(&self) -> bool {
        WRITES.contains(&self.verb.as_str())
    }
}

// === impl Audit ===

impl Audit {
    fn read(file: &Path) -> Result<Self> {
        let text = fs::read_to_string(file).with_context(|| format!("could not read {}", file.display()))?;
        // The last line may be half written yet.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let entries = whole.lines().map(Entry::of).collect::<Result<Vec<_>>>()?;
        ensure!(!entries.is_empty(), "the API server has recorded nothing");
        Ok(Self { entries })
    }

    /// Those from a moment on.
    #[must_use]
    pub fn since(&self, moment: Timestamp) -> Self {
        self.filtered(|entry| entry.time >= moment)
    }

    /// Those that are as asked.
    #[must_use]
    pub fn filtered(&self, mut wanted: impl FnMut(&Entry) -> bool) -> Self {
        let entries = self.entries.iter().filter(|entry| wanted(entry));
        Self {
            entries: entries.cloned().collect(),
        }
    }

    /// The most that arrived within so many seconds, at whatever moment those begin.
    #[must_use]
    pub fn most_within(&self, seconds: i64) -> usize {
        let mut times: Vec<_> = self.entries.iter().map(|entry| entry.time).collect();
        times.sort();
        let within = |first: &Timestamp| {
            let end = *first + jiff::SignedDuration::from_secs(seconds);
            times.iter().filter(|time| *time >= first && **time < end).count()
        };
        times.iter().map(within).max().unwrap_or(0)
    }
}

impl Cluster {
    /// What was asked of the API server so far, as far as that is recorded.
    pub fn audit(&self) -> Result<Audit> {
        Audit::read(self.control_plane.record()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(time: &str) -> String {
        json!({
            "user": {"username": "u"}, "userAgent": "a", "verb": "patch", "requestURI": "/x",
            "objectRef": {"apiGroup": "g", "resource": "pools", "subresource": "status", "name": "n"},
            "responseStatus": {"code": 200}, "requestReceivedTimestamp": time,
        })
        .to_string()
    }

    #[test]
    fn a_record_is_read_up_to_its_last_whole_line_and_counted_by_any_second() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let times = ["00:00:00.9", "00:00:01.1", "00:00:01.8", "00:00:02.2"];
        let mut text = String::new();
        for time in times {
            text += &(line(&format!("2026-01-01T{time}Z")) + "\n");
        }
        fs::write(file.path(), text + "{\"half").unwrap();
        let audit = Audit::read(file.path()).unwrap();
        assert_eq!(audit.entries.len(), 4);
        assert_eq!(
            (audit.entries[0].resource.as_str(), audit.entries[0].writes()),
            ("pools/status", true)
        );
        assert_eq!((audit.most_within(1), audit.most_within(2)), (3, 4));
        assert_eq!(audit.since(audit.entries[2].time).entries.len(), 2);
        assert_eq!(Audit::default().most_within(1), 0);
    }
}
