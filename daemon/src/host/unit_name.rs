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

/// Types of which there are templates.
const WITH_TEMPLATES: [&str; 5] = ["service", "socket", "target", "timer", "path"];

/// Types that may have other names.
const WITH_ALIASES: [&str; 6] = ["service", "socket", "target", "device", "timer", "path"];

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
    unit.len() <= MAX_LENGTH
        && unit.bytes().all(is_allowed)
        && parts(unit).is_some_and(|parts| !parts.prefix.is_empty() && SUFFIXES.contains(&parts.suffix))
}

/// Whether systemd has units of this type and form: an instance or a template only of the types that have them.
pub(super) fn can_be(unit: &str) -> bool {
    parts(unit).is_some_and(|parts| parts.instance.is_none() || WITH_TEMPLATES.contains(&parts.suffix))
}

/// Whether units of this type may have other names.
pub(super) fn can_have_aliases(unit: &str) -> bool {
    parts(unit).is_some_and(|parts| WITH_ALIASES.contains(&parts.suffix))
}

/// Whether it is the name of a template.
pub(super) fn is_template(unit: &str) -> bool {
    parts(unit).is_some_and(|parts| parts.instance == Some(""))
}

/// What is before the `@`, or before the suffix where there is none.
pub(super) fn prefix(unit: &str) -> &str {
    parts(unit).map_or(unit, |parts| parts.prefix)
}

/// Whether systemd would take it for the instance in a name.
pub(super) fn is_instance(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_allowed)
}

fn is_allowed(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b":-_.\\@".contains(&b)
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
