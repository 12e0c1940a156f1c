//! What is refused or doubtful, on which object, why, and what to do; with a stable code.

use std::fmt;

pub use ignition::Severity;

/// A stable error code, `MC` and four digits, listed in docs/errors.md.
///
/// MC10xx reading objects, MC11xx one MachineConfig, MC12xx rendering a pool, MC20xx changes a running node
/// refuses, MC30xx policies, MC40xx drift, MC50xx server, MC60xx command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(pub u16);

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MC{:04}", self.0)
    }
}

impl serde::Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One finding about one object.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The stable code.
    pub code: Code,
    /// Whether it refuses or only warns.
    #[serde(serialize_with = "severity_name")]
    pub severity: Severity,
    /// The object, such as `MachineConfig/99-worker-ntp` or `MachineConfigPool/edge`.
    pub object: String,
    /// The field at fault, such as `spec.config.storage.files[0].mode`; empty when the whole object is meant.
    pub field: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

fn severity_name<S: serde::Serializer>(severity: &Severity, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(match severity {
        Severity::Warning => "warning",
        Severity::Error => "error",
    })
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.object)?;
        if !self.field.is_empty() {
            write!(f, " {}", self.field)?;
        }
        write!(f, ": {}", self.message)?;
        if !self.remedy.is_empty() {
            write!(f, "; {}", self.remedy)?;
        }
        Ok(())
    }
}
