//! Names of units: templates, instances, and which may be an alias of which (systemd.unit(5)).

/// The types of units.
const SUFFIXES: [&str; 11] = [
    "service",
    "socket",
    "device",
    "mount",
    "automount",
    "swap",
    "target",
    "path",
    "timer",
    "slice",
    "scope",
];

/// Longest name, in bytes.
const MAX_LENGTH: usize = 255;

/// A name taken apart: `prefix`, then `@` and the instance if there are any, then the suffix without its dot.
struct Parts<'a> {
    prefix: &'a str,
    instance: Option<&'a str>,
    suffix: &'a str,
}

fn parts(unit: &str) -> Option<Parts<'_>> {
    let (stem, suffix) = unit.rsplit_once('.')?;
    let (prefix, instance) = stem
        .split_once('@')
        .map_or((stem, None), |(prefix, instance)| (prefix, Some(instance)));
    Some(Parts {
        prefix,
        instance,
        suffix,
    })
}

/// Whether systemd would take it for the name of a unit.
pub(super) fn is_valid(unit: &str) -> bool {
    let valid = |b: u8| b.is_ascii_alphanumeric() || b":-_.\\@".contains(&b);
    unit.len() <= MAX_LENGTH
        && unit.bytes().all(valid)
        && parts(unit).is_some_and(|parts| !parts.prefix.is_empty() && SUFFIXES.contains(&parts.suffix))
}

/// The instance in the name of one: of `name@instance.suffix`, but not of a template.
pub(super) fn instance(unit: &str) -> Option<&str> {
    parts(unit)?.instance.filter(|instance| !instance.is_empty())
}

/// The template of an instance.
pub(super) fn template(unit: &str) -> Option<String> {
    instance(unit)?;
    with_instance(unit, "")
}

/// A template or an instance with another instance.
pub(super) fn with_instance(unit: &str, instance: &str) -> Option<String> {
    let Parts {
        prefix,
        instance: Some(_),
        suffix,
    } = parts(unit)?
    else {
        return None;
    };
    Some(format!("{prefix}@{instance}.{suffix}"))
}

/// The name that the alias `alias` leads to: of an instance linked to a template, that instance of the template.
pub(super) fn aliased(alias: &str, target: &str) -> String {
    let to_template = parts(target).is_some_and(|parts| parts.instance == Some(""));
    instance(alias)
        .filter(|_| to_template)
        .and_then(|instance| with_instance(target, instance))
        .unwrap_or_else(|| target.to_owned())
}

/// Whether a link of the name `alias` to the unit `target` is one that systemd follows: both of one type, and both plain
/// or both templates, or an instance of the same instance or of a template.
pub(super) fn may_stand_for(alias: &str, target: &str) -> bool {
    let (Some(alias), Some(target)) = (parts(alias), parts(target)) else {
        return false;
    };
    let instances_fit = match (alias.instance, target.instance) {
        (None, None) | (Some(_), Some("")) => true,
        (Some(of), Some(to)) => of == to,
        (None, Some(_)) | (Some(_), None) => false,
    };
    alias.suffix == target.suffix && instances_fit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_apart() {
        assert_eq!(instance("a@b.service"), Some("b"));
        assert_eq!(instance("a@b.c@d.service"), Some("b.c@d"));
        assert_eq!(instance("a@.service"), None);
        assert_eq!(template("a@b.service").as_deref(), Some("a@.service"));
        assert_eq!(template("a.service"), None);
        assert_eq!(with_instance("a.service", "x"), None);
    }

    #[test]
    fn aliases_are_of_one_kind() {
        for (alias, target, may) in [
            ("a.service", "b.service", true),
            ("a@.service", "b@.service", true),
            ("a@x.service", "b@.service", true),
            ("a@x.service", "b@x.service", true),
            ("a@x.service", "b@y.service", false),
            ("a@.service", "b@y.service", false),
            ("a.service", "b@.service", false),
            ("a@x.service", "b.service", false),
            ("a.service", "b.socket", false),
        ] {
            assert_eq!(may_stand_for(alias, target), may, "{alias} {target}");
        }
        assert_eq!(aliased("a@x.service", "b@.service"), "b@x.service");
        assert_eq!(aliased("a.service", "b.service"), "b.service");
    }
}
