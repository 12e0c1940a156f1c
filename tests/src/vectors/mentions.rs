//! What a refusal of the reference names (objects, fields, paths, values), and whether ours names it too, in whatever notation.

/// Fields that a text of the reference is about without spelling them out.
const FIELDS: [(&str, &str); 34] = [
    ("invalid version. Supported", "ignition.version"),
    ("unknown version. Supported", "ignition.version"),
    ("unsupported config version", "version"),
    ("kernelType=", "kernelType"),
    ("invalid extensions found", "extensions"),
    ("kernel-devel extension", "kernel-devel"),
    ("with kernelType: realtime", "realtime"),
    ("networkd section", "networkd"),
    ("cannot find label", "label"),
    ("ignoring controller config", "ControllerConfig"),
    ("generated-by-version annotation", "generated-by-version"),
    ("osImageURL", "osImageURL"),
    ("osImageStream", "osImageStream"),
    ("kargs section contains", "kernelArguments"),
    ("disks section contains", "storage.disks"),
    ("filesystems section contains", "storage.filesystems"),
    ("raid section contains", "storage.raid"),
    ("directories section contains", "storage.directories"),
    ("links section contains", "storage.links"),
    ("Passwd Groups section", "passwd.groups"),
    ("passwd user section", "passwd.users"),
    ("SSH keys and password hash are not", "passwd.users"),
    ("change to FIPS", "fips"),
    ("includes append", "append"),
    ("cannot exceed 0777", "mode"),
    ("KernelArguments is not supported", "kernelArguments"),
    ("LUKS is not supported", "luks"),
    ("luks discard", "luks"),
    ("luks openOptions", "luks"),
    ("ShouldExist in", "shouldExist"),
    ("Resize in", "resize"),
    ("in Ignition.Proxy", "proxy"),
    ("special mode bits", "mode"),
    ("to target version 3.0.0", "3.0.0"),
];

/// Names that stand between two fixed pieces of text.
const NAMED: [(&str, &str); 9] = [
    ("kernelType=", " "),
    ("user with name: ", ". "),
    ("filesystem \"", "\""),
    ("label in MachineConfig ", "\n"),
    ("ignoring MC ", " "),
    ("base config \"", "\""),
    ("unit \"", "\""),
    ("in Passwd.", " "),
    ("in Storage.", " "),
];

/// What `expected` names and `ours` does not.
pub(crate) fn missing(expected: &str, ours: &str) -> Vec<String> {
    let ours = normal(ours);
    mentions(expected)
        .into_iter()
        .filter(|mention| !holds(&ours, &normal(mention)))
        .collect()
}

/// Everything a text of the reference names.
fn mentions(text: &str) -> Vec<String> {
    let text = &first_and_last_line(text);
    let mut found: Vec<String> = Vec::new();
    found.extend(
        FIELDS
            .iter()
            .filter(|(marker, _)| text.contains(marker))
            .map(|(_, field)| (*field).to_owned()),
    );
    for (before, after) in NAMED {
        found.extend(
            between(text, before, after)
                // Of `Storage.Disks.Partitions` the last part is the field.
                .filter_map(|name| name.rsplit('.').next())
                .filter(|name| !name.is_empty())
                .map(str::to_owned),
        );
    }
    found.extend(
        between(text, "extensions found: [", "]")
            .flat_map(str::split_whitespace)
            .map(str::to_owned),
    );
    found.extend(json_paths(text));
    found.extend(absolute_paths(text));
    found.sort();
    found.dedup();
    found
}

/// The 2.x parser echoes the input between the first and the last line.
fn first_and_last_line(text: &str) -> String {
    if !text.starts_with("parsing Ignition spec v2 failed") {
        return text.to_owned();
    }
    let mut lines = text.trim_end().lines();
    let first = lines.next().unwrap_or_default();
    format!("{first}\n{}", lines.next_back().unwrap_or_default())
}

/// Every stretch of `text` between `before` and the next `after` (or the end).
fn between<'a>(text: &'a str, before: &'a str, after: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(before)
        .skip(1)
        .map(move |rest| rest.split(after).next().unwrap_or_default().trim())
}

/// `storage.files.0.mode` of each `error at $.storage.files.0.mode, line …`. Warnings name nothing that is refused.
fn json_paths(text: &str) -> impl Iterator<Item = String> {
    let ends = |c: char| c == ',' || c == ':' || c.is_whitespace();
    text.split("error at $.")
        .skip(1)
        .map(move |rest| rest.split(ends).next().unwrap_or_default().to_owned())
}

/// Paths of files, up to where the text tells causes and values.
pub(super) fn absolute_paths(text: &str) -> impl Iterator<Item = String> {
    let said = ["lstat", "expected:", "received:"]
        .iter()
        .filter_map(|word| text.find(word))
        .min();
    let words = text[..said.unwrap_or(text.len())].split_whitespace();
    let paths = words
        .map(|word| word.trim_start_matches('"'))
        .filter(|word| word.starts_with('/'));
    paths.map(|word| word.trim_end_matches(['"', ',', ';', ':', '.']).to_owned())
}

/// One notation for all: lower case, `files.0.mode` as `files[0].mode`.
fn normal(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let mut rest = text;
    while let Some(dot) = rest.find('.') {
        out.push_str(&rest[..dot]);
        rest = &rest[dot + 1..];
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 {
            out.push('.');
        } else {
            out.extend(["[", &rest[..digits], "]"]);
            rest = &rest[digits..];
        }
    }
    out.push_str(rest);
    out.to_lowercase()
}

/// Whether `text` holds `word` as a word of its own.
fn holds(text: &str, word: &str) -> bool {
    let part_of_word = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    let clashes = |inside: Option<char>, outside: Option<char>| {
        inside.is_some_and(part_of_word) && outside.is_some_and(part_of_word)
    };
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        !clashes(word.chars().next(), before) && !clashes(word.chars().next_back(), after)
    })
}

#[cfg(test)]
mod tests {
    use super::{mentions, missing};

    #[test]
    fn names_are_found_in_the_texts_of_the_reference() {
        let cases: [(&str, &[&str]); 9] = [
            (
                "parsing failed\nReport: error at $.storage.files.0.mode, line 1 col 9: illegal\nwarning at $.x: y",
                &["storage.files.0.mode"],
            ),
            ("invalid mode 04755 for /a, cannot exceed 0777", &["/a", "mode"]),
            (
                "invalid extensions found: [foo bar]",
                &["bar", "extensions", "foo"],
            ),
            ("kernelType=rt is invalid", &["kernelType", "rt"]),
            (
                "unexpected user with name: bob. Only core user is supported",
                &["bob"],
            ),
            (
                "could not stat file \"/etc/a/b\": lstat /etc: no such file",
                &["/etc/a/b"],
            ),
            (
                "mode mismatch for file: \"/etc/a\"; expected: -rw/420; received: drw/0",
                &["/etc/a"],
            ),
            (
                "reconciliation failed between \"rendered-x\" and base config \"50-dir\": ignition directories section contains changes",
                &["50-dir", "storage.directories"],
            ),
            (
                "ShouldExist in Passwd.Users is not supported on 2.2",
                &["Users", "shouldExist"],
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(mentions(text), expected, "{text}");
        }
    }

    #[test]
    fn notation_does_not_matter_and_parts_of_words_do_not_count() {
        let expected = "Report: error at $.storage.files.1, line 1 col 1: duplicate entry defined";
        assert!(missing(expected, "$.storage.files[1].path: /a is there twice").is_empty());
        assert_eq!(
            missing(expected, "$.storage.files[10].path: twice"),
            ["storage.files.1"]
        );
        assert_eq!(
            missing("invalid mode 04755 for /a, cannot exceed 0777", "mode of /ab"),
            ["/a"]
        );
        assert!(
            missing(
                "cannot find label in MachineConfig 00",
                "MachineConfig/00: no role label"
            )
            .is_empty()
        );
        assert_eq!(
            missing("cannot find label in MachineConfig 00", "MC1200 no role label"),
            ["00"]
        );
    }
}
