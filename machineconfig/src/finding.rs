//! What is refused or doubtful, on which object, why, and what to do; with a stable code.

use std::fmt;

use ignition::Problem;
pub use ignition::Severity;

mod codes;
mod located;

pub use codes::{Code, Entry};
pub use located::{Located, Place, point_at_fields};

impl<'de> serde::Deserialize<'de> for Code {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        let digits = text.strip_prefix("MC").filter(|digits| digits.len() == 4);
        digits
            .and_then(|digits| digits.parse().ok())
            .map(Self)
            .ok_or_else(|| {
                serde::de::Error::invalid_value(serde::de::Unexpected::Str(&text), &"MC and four digits")
            })
    }
}

/// One finding about one object.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The stable code.
    pub code: Code,
    /// Whether it refuses or only warns.
    #[serde(serialize_with = "severity_name", deserialize_with = "severity_from_name")]
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

impl Finding {
    /// A finding that refuses its object. The remedy is the one registered for the code.
    pub fn error(
        code: Code,
        object: impl Into<String>,
        field: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self::new(Severity::Error, code, object.into(), field.into(), message.into())
    }

    /// A finding that only warns. The remedy is the one registered for the code.
    pub fn warning(
        code: Code,
        object: impl Into<String>,
        field: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self::new(
            Severity::Warning,
            code,
            object.into(),
            field.into(),
            message.into(),
        )
    }

    /// The finding about an Ignition config that is the field `root` of `object`: `spec.config` of a MachineConfig, empty when the
    /// object is the config itself.
    pub fn from_problem(object: impl Into<String>, root: &str, problem: &Problem) -> Self {
        let path = problem.path.strip_prefix('$').unwrap_or(&problem.path);
        let field = format!("{root}{path}");
        Self::new(
            problem.severity,
            Code::from(problem.kind),
            object.into(),
            field.trim_start_matches('.').to_owned(),
            problem.message.clone(),
        )
    }

    fn new(severity: Severity, code: Code, object: String, field: String, message: String) -> Self {
        let remedy = code
            .entry()
            .map(|entry| entry.remedy.to_owned())
            .unwrap_or_default();
        Self {
            code,
            severity,
            object,
            field,
            message,
            remedy,
        }
    }

    /// Replaces the registered remedy by a more precise one.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = remedy.into();
        self
    }

    /// Whether the object is refused.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
fn severity_name<S: serde::Serializer>(severity: &Severity, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(match severity {
        Severity::Warning => "warning",
        Severity::Error => "error",
    })
}

fn severity_from_name<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Severity, D::Error> {
    match <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?.as_ref() {
        "warning" => Ok(Severity::Warning),
        "error" => Ok(Severity::Error),
        other => Err(serde::de::Error::unknown_variant(other, &["warning", "error"])),
    }
}

impl std::error::Error for Finding {}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_of_a_config_becomes_a_finding_about_its_field() {
        let problem = |path: &str| Problem {
            path: path.into(),
            kind: ignition::Kind::Mode,
            severity: Severity::Error,
            message: "mode 01777".into(),
        };
        let table = [
            (
                "$.storage.files[3].mode",
                "spec.config",
                "spec.config.storage.files[3].mode",
            ),
            ("$.storage.files[3].mode", "", "storage.files[3].mode"),
            ("$", "spec.config", "spec.config"),
            ("$", "", ""),
        ];
        for (path, root, field) in table {
            let finding = Finding::from_problem("MachineConfig/x", root, &problem(path));
            assert_eq!(finding.field, field);
            assert_eq!(finding.code, Code::IGNITION_MODE);
            assert_eq!(finding.remedy, Code::IGNITION_MODE.entry().unwrap().remedy);
            assert!(finding.is_error());
        }
    }
}
