use super::{Side, reasons_to_drain};

const SEARCH: &str = "unqualified-search-registries = ['a.io', 'b.io']\n";
const QUAY: &str = "[[registry]]\nlocation = 'quay.io/x'\n";
const DIGESTS: &str = "[[registry.mirror]]\nlocation = 'm1/x'\npull-from-mirror = 'digest-only'\n";
const TAGS: &str = "[[registry.mirror]]\nlocation = 'm2/x'\n";

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
fn a_drain_is_needed_and_every_reason_given() {
    let quay = |more: &str| format!("{QUAY}{more}");
    let unsafe_changes = [
        (
            SEARCH.to_owned(),
            "unqualified-search-registries = ['a.io']".to_owned(),
            "search-registries lost an entry",
        ),
        (
            SEARCH.to_owned(),
            "unqualified-search-registries = ['b.io', 'a.io']".to_owned(),
            "changed their order",
        ),
        (quay(""), String::new(), "registry quay.io/x is gone"),
        (String::new(), quay(""), "is new and has no mirrors"),
        (
            String::new(),
            quay(&format!("{DIGESTS}{TAGS}")),
            "is new and has a mirror that is not for digests only",
        ),
        (
            String::new(),
            quay(&format!("mirror-by-digest-only = true\n{TAGS}")),
            "is new and has a mirror",
        ),
        (
            quay(DIGESTS),
            quay(&format!("{DIGESTS}{TAGS}")),
            "mirror m2/x is new",
        ),
        (quay(DIGESTS), quay(TAGS), "mirror m1/x is gone"),
        (
            quay(DIGESTS),
            quay("[[registry.mirror]]\nlocation = 'm1/x'\n"),
            "mirror m1/x is no longer for digests only",
        ),
        (
            quay(TAGS),
            quay(&format!("{TAGS}pull-from-mirror = 'tag-only'\n")),
            "mirror m2/x is no longer",
        ),
        (quay(""), quay("blocked = true\n"), "blocked changed"),
        (quay(""), quay("insecure = true\n"), "insecure changed"),
        (quay(""), quay("prefix = 'quay.io/x'\n"), "prefix changed"),
        (
            quay(""),
            quay("prefix = 'quay.io'\n"),
            "registry quay.io/x is gone",
        ),
        (
            quay("prefix = 'p'\n"),
            quay("prefix = 'p'\n").replace("quay", "way"),
            "registry p: location changed",
        ),
        (
            quay(""),
            format!("{QUAY}{QUAY}blocked = true\n"),
            "blocked changed",
        ),
    ];
    for (old, new, reason) in unsafe_changes {
        let found = reasons(&old, &new);
        assert!(
            found.iter().any(|found| found.contains(reason)),
            "{old:?} -> {new:?}: {found:?}"
        );
    }
    assert_eq!(
        reasons(&quay(""), &quay("blocked = true\ninsecure = true\n")).len(),
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
