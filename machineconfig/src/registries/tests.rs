use super::{Side, reasons_to_drain};

const SEARCH: &str = "unqualified-search-registries = ['a.io', 'b.io']\n";
const QUAY: &str = "[[registry]]\nlocation = 'quay.io/x'\n";
const DIGESTS: &str = "[[registry.mirror]]\nlocation = 'm1/x'\npull-from-mirror = 'digest-only'\n";
const TAGS: &str = "[[registry.mirror]]\nlocation = 'm2/x'\n";
const DIGESTS_AND_TAGS: &str = "[[registry.mirror]]\nlocation = 'm1/x'\npull-from-mirror = 'digest-only'\n\
                                [[registry.mirror]]\nlocation = 'm2/x'\n";

fn reasons(old: &str, new: &str) -> Vec<String> {
    reasons_to_drain(old.as_bytes(), new.as_bytes()).unwrap()
}

#[test]
fn a_reload_is_enough_when_no_name_changes_its_meaning() {
    let by_digest = format!("{QUAY}mirror-by-digest-only = true\n");
    let safe = [
        ("", SEARCH.to_owned()),
        (
            SEARCH,
            "unqualified-search-registries = ['a.io', 'b.io', 'c.io']".to_owned(),
        ),
        (
            SEARCH,
            format!("# a comment\nshort-name-mode = 'permissive'\nunknown = 1\n{SEARCH}"),
        ),
        ("", format!("{QUAY}{DIGESTS}")),
        ("", by_digest.clone()),
        (
            &format!("{QUAY}{DIGESTS}{TAGS}"),
            format!("{QUAY}{TAGS}{DIGESTS}"),
        ),
        (&format!("{QUAY}{TAGS}"), format!("{QUAY}{TAGS}insecure = true\n")),
        (
            &format!("{QUAY}{TAGS}"),
            format!("{QUAY}{TAGS}pull-from-mirror = 'digest-only'\n"),
        ),
        (&by_digest, format!("{by_digest}{TAGS}")),
        (&by_digest, QUAY.to_owned()),
        (QUAY, format!("{QUAY}blocked = false\n")),
        (
            "[registries.search]\nregistries = ['a']\n",
            "[registries.search]\nregistries = ['b']\n".to_owned(),
        ),
    ];
    for (old, new) in safe {
        assert_eq!(reasons(old, &new), Vec::<String>::new(), "{old:?} -> {new:?}");
    }
}

#[test]
fn search_registries_may_only_be_appended() {
    for (new, reason) in [
        ("['a.io']", "lost an entry"),
        ("['b.io', 'a.io']", "changed their order"),
    ] {
        let found = reasons(SEARCH, &format!("unqualified-search-registries = {new}"));
        assert!(found.len() == 1 && found[0].contains(reason), "{new}: {found:?}");
    }
}

/// What follows the line `location = 'quay.io/x'` before and after, and the reason for a drain.
const UNSAFE: &[(&str, &str, &str)] = &[
    (
        DIGESTS,
        DIGESTS_AND_TAGS,
        "mirror m2/x is new and not for digests only",
    ),
    (DIGESTS, TAGS, "mirror m1/x is gone"),
    (
        DIGESTS,
        "[[registry.mirror]]\nlocation = 'm1/x'\n",
        "pull-from-mirror of mirror m1/x changed",
    ),
    (
        TAGS,
        "[[registry.mirror]]\nlocation = 'm2/x'\npull-from-mirror = 'tag-only'\n",
        "pull-from-mirror of mirror m2/x changed",
    ),
    ("", "blocked = true\n", "registry quay.io/x: blocked changed"),
    ("", "insecure = true\n", "registry quay.io/x: insecure changed"),
    ("", "prefix = 'quay.io/x'\n", "registry quay.io/x: prefix changed"),
    ("", "prefix = 'quay.io'\n", "registry quay.io/x is gone"),
    (
        "",
        "[[registry]]\nlocation = 'quay.io/x'\nblocked = true\n",
        "registry quay.io/x: blocked changed",
    ),
    (
        "prefix = 'p'\n[[registry]]\nprefix = 'o'\n",
        "prefix = 'p'\n",
        "registry o is gone",
    ),
];

#[test]
fn a_drain_is_needed_when_a_name_could_change_its_meaning() {
    for (old, new, reason) in UNSAFE {
        let found = reasons(&format!("{QUAY}{old}"), &format!("{QUAY}{new}"));
        assert!(
            found.iter().any(|found| found.contains(reason)),
            "{old:?} -> {new:?}: {found:?}"
        );
    }
    let gone = reasons(QUAY, "");
    assert_eq!(gone, ["registry quay.io/x is gone"]);
    let moved = reasons(
        "[[registry]]\nprefix = 'p'\nlocation = 'a'",
        "[[registry]]\nprefix = 'p'\nlocation = 'b'",
    );
    assert_eq!(moved, ["registry p: location changed"]);
}

#[test]
fn a_new_registry_needs_a_drain_unless_it_is_for_digests_only() {
    let new = |more: &str| reasons("", &format!("{QUAY}{more}"));
    let mirrored = ["registry quay.io/x is new and has a mirror that is not for digests only"];
    assert_eq!(new(""), ["registry quay.io/x is new and has no mirrors"]);
    assert_eq!(new(DIGESTS_AND_TAGS), mirrored);
    assert_eq!(new(&format!("mirror-by-digest-only = true\n{TAGS}")), mirrored);
}

#[test]
fn every_reason_is_given() {
    assert_eq!(
        reasons(QUAY, &format!("{QUAY}blocked = true\ninsecure = true\n")).len(),
        2
    );
}

#[test]
fn an_unreadable_file_is_named_by_side_and_place_and_never_quoted() {
    let broken = [
        ("\n  secret = [", "it is not TOML at line 2, column"),
        (
            "unqualified-search-registries = 'secret'",
            "unqualified-search-registries is not a list of strings",
        ),
        (
            "credential-helpers = [1]",
            "credential-helpers is not a list of strings",
        ),
        ("short-name-mode = 1", "short-name-mode is not a string"),
        (
            "[registry]\nlocation = 'secret'",
            "registry is not a list of tables",
        ),
        (
            "[[registry]]\nlocation = 'secret'\n[[registry]]\nblocked = 'secret'",
            "registry[1].blocked is not true or false",
        ),
        (
            "[[registry]]\n[[registry.mirror]]\nlocation = 1",
            "registry[0].mirror[0].location is not a string",
        ),
    ];
    for (text, reason) in broken {
        for (old, new, side) in [(text, "", Side::Current), ("", text, Side::Desired)] {
            let error = reasons_to_drain(old.as_bytes(), new.as_bytes()).unwrap_err();
            assert_eq!(error.side, side, "{text:?}");
            assert!(error.reason.starts_with(reason), "{text:?}: {error}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }
    assert_eq!(
        reasons_to_drain(b"", &[0xff]).unwrap_err().reason,
        "it is not UTF-8 text"
    );
}

#[test]
fn keys_are_found_whatever_their_case() {
    assert_eq!(
        reasons("", "[[Registry]]\nLocation = 'q'\n"),
        ["registry q is new and has no mirrors"]
    );
}
