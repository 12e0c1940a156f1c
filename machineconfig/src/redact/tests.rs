use proptest::prelude::*;

use super::{Blob, Contents, Diff, Limits, compare, is_secret, printable};

fn plain(bytes: &[u8]) -> Contents<'_> {
    Contents {
        bytes,
        mode: Some(0o644),
    }
}

fn diff(before: &str, after: &str, limits: Limits) -> (String, usize) {
    match compare(
        "/etc/x",
        plain(before.as_bytes()),
        plain(after.as_bytes()),
        limits,
    ) {
        Diff::Text {
            unified,
            omitted_lines,
        } => (unified, omitted_lines),
        other => panic!("{other:?}"),
    }
}

#[test]
fn text_is_shown_as_a_unified_diff() {
    let (unified, omitted) = diff("a\nb\nc\nd\ne\n", "a\nb\nc\nd\nE", Limits::default());
    insta::assert_snapshot!(unified, @r"
    @@ -2,4 +2,4 @@
     b
     c
     d
    -e
    +E
    \ No newline at end of file
    ");
    assert_eq!(omitted, 0);
}

#[test]
fn a_long_diff_is_cut_and_says_by_how_much() {
    let after = "line 1\n".repeat(50);
    let (unified, omitted) = diff("", &after, Limits { lines: 4, columns: 5 });
    insta::assert_snapshot!(unified, @r"
    @@ -0… (11 more)
    +line … (1 more)
    +line … (1 more)
    +line … (1 more)
    ");
    assert_eq!(omitted, 47);
}

#[test]
fn what_is_not_text_or_too_large_is_summarised() {
    let many = "x\n".repeat(8_001);
    let long = "x".repeat((256 << 10) + 1);
    let cases: [(&[u8], Diff); 4] = [
        (b"\xff\xfe", Diff::Binary),
        (b"a\0b", Diff::Binary),
        (many.as_bytes(), Diff::TooLarge),
        (long.as_bytes(), Diff::TooLarge),
    ];
    for (bytes, expected) in cases {
        for (before, after) in [(plain(b"old\n"), plain(bytes)), (plain(bytes), Contents::ABSENT)] {
            assert_eq!(compare("/etc/x", before, after, Limits::default()), expected);
        }
    }
}

#[test]
fn secrets_are_told_by_mode_by_name_and_by_what_they_hold() {
    let secret: [(&str, u32, &[u8]); 18] = [
        ("/etc/app.conf", 0o600, b"x"),
        ("/etc/app.conf", 0o400, b"x"),
        ("/var/lib/kubelet/config.json", 0o644, b"x"),
        ("/etc/kubernetes/kubeconfig", 0o644, b"x"),
        ("/etc/kubernetes/Bootstrap.Kubeconfig", 0o644, b"x"),
        ("/etc/pki/server-key.pem", 0o644, b"x"),
        ("/etc/pki/tls.key", 0o644, b"x"),
        ("/etc/ssh/ssh_host_rsa_key", 0o644, b"x"),
        ("/root/.ssh/id_ed25519", 0o644, b"x"),
        ("/etc/NetworkManager/system-connections/wifi", 0o644, b"x"),
        ("/etc/wireguard/wg0.conf", 0o644, b"x"),
        ("/etc/app/api-token", 0o644, b"x"),
        ("/etc/app.conf", 0o644, b"# \n-----BEGIN RSA PRIVATE KEY-----\n"),
        ("/etc/app.conf", 0o644, b"{\"auths\":{}}"),
        ("/etc/mcs-machine-config-content.json", 0o644, b"x"),
        ("/etc/machine-config-daemon/currentconfig", 0o644, b"x"),
        ("/etc/users.json", 0o644, b"{\"passwordHash\": \"x\"}"),
        ("/etc/users.conf", 0o644, b"core:$6$salt$hash"),
    ];
    for (path, mode, bytes) in secret {
        assert!(is_secret(path, mode, bytes), "{path} {mode:o}");
        let (there, absent) = (
            Contents {
                bytes,
                mode: Some(mode),
            },
            Contents::ABSENT,
        );
        assert_eq!(
            compare(path, there, absent, Limits::default()),
            Diff::Secret,
            "{path}"
        );
        assert_eq!(
            compare(path, plain(b"y"), there, Limits::default()),
            Diff::Secret,
            "{path}"
        );
    }
    for path in [
        "/etc/chrony.conf",
        "/etc/ssh/ssh_host_rsa_key.pub",
        "/etc/pki/ca.pem",
        "/etc/kubernetes/kubelet.conf",
    ] {
        assert!(
            !is_secret(path, 0o644, b"-----BEGIN CERTIFICATE-----\n"),
            "{path}"
        );
        // A group may, others may not.
        assert!(is_secret(path, 0o640, b""), "{path}");
    }
}

#[test]
fn contents_are_told_apart_by_size_and_a_short_hash() {
    assert_eq!(Blob::of(b"").to_string(), "0 bytes sha256:e3b0c44298fc");
    assert_eq!(Blob::of(b"a").to_string(), "1 byte sha256:ca978112ca1b");
}

#[test]
fn nothing_printed_moves_the_cursor_or_hides() {
    assert_eq!(printable("tab\tand ümlaut"), "tab\tand ümlaut");
    assert_eq!(
        printable("\u{1b}[31m\r\u{7}\u{9b}"),
        "\\u{1b}[31m\\r\\u{7}\\u{9b}"
    );
    assert_eq!(
        printable("a\u{202e}b\u{200b}\u{2066}c"),
        "a\\u{202e}b\\u{200b}\\u{2066}c"
    );
    let (unified, _) = diff("", "a\r\nb\u{1b}]0;x\u{7}\n", Limits::default());
    assert_eq!(unified, "@@ -0,0 +1,2 @@\n+a\\r\n+b\\u{1b}]0;x\\u{7}\n");
}

proptest! {
    /// Rebuilding the new text from the old and the diff proves that nothing is left out or shifted within the limits.
    #[test]
    fn a_diff_holds_every_changed_line(before in "([ab]{0,2}\n){0,12}", after in "([ab]{0,2}\n){0,12}") {
        let (unified, omitted) = diff(&before, &after, Limits::default());
        prop_assert_eq!(omitted, 0);
        prop_assert_eq!(unified.is_empty(), before == after);
        let side = |sign: char, text: &str| -> bool {
            let shown: Vec<_> = unified.lines().filter(|line| line.starts_with([' ', sign])).map(|line| &line[1..]).collect();
            let all: Vec<_> = text.lines().collect();
            let mut rest = all.iter();
            shown.iter().all(|line| rest.any(|other| other == line))
        };
        prop_assert!(side('-', &before) && side('+', &after));
        let count = |text: &str| i32::try_from(text.lines().count()).expect("a dozen lines");
        let balance = unified.lines().map(|line| match line.as_bytes().first() {
            Some(b'+') => 1,
            Some(b'-') => -1,
            _ => 0,
        }).sum::<i32>();
        prop_assert_eq!(balance, count(&after) - count(&before));
    }

    #[test]
    fn any_bytes_can_be_compared(before in prop::collection::vec(any::<u8>(), 0..64), after in ".{0,64}") {
        let shown = compare("/etc/x", plain(&before), plain(after.as_bytes()), Limits { lines: 3, columns: 7 });
        if let Diff::Text { unified, .. } = shown {
            prop_assert!(unified.lines().count() <= 3);
            prop_assert!(!unified.replace('\n', "").contains(super::disturbs));
        }
    }
}
