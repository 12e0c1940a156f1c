//! The chores with a cargo that only takes notes: what is built, and what is run of it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// Notes how it was called, and leaves a program of each name in the place of a built one.
const CARGO: &str = r#"#!/bin/sh
echo "cargo $*" >> "$NOTES"
case "$*" in *--release*) profile=release ;; *) profile=debug ;; esac
mkdir -p "$CARGO_TARGET_DIR/$profile"
for name in demo generate vectors; do
    printf '#!/bin/sh\necho "%s $*" >> "$NOTES"\nexit 3\n' "$name" > "$CARGO_TARGET_DIR/$profile/$name"
    chmod +x "$CARGO_TARGET_DIR/$profile/$name"
done
"#;

/// A cargo that builds nothing.
const IDLE_CARGO: &str = "#!/bin/sh\nexit 0\n";

/// The exit code of a chore, what it wrote to standard error, and the notes of what it ran.
fn chore(cargo: &str, args: &[&str]) -> (Option<i32>, String, String) {
    let dir = TempDir::new().unwrap();
    let (program, notes) = (dir.path().join("cargo"), dir.path().join("notes"));
    fs::write(&program, cargo).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let output = Command::new(Path::new(env!("CARGO_BIN_EXE_xtask")))
        .args(args)
        .env("CARGO", &program)
        .env("CARGO_TARGET_DIR", dir.path().join("target"))
        .env("NOTES", &notes)
        .output()
        .unwrap();
    let notes = fs::read_to_string(notes).unwrap_or_default();
    (
        output.status.code(),
        String::from_utf8(output.stderr).unwrap(),
        notes,
    )
}

#[test]
fn everything_is_built_once_and_its_program_run() {
    for (args, ran) in [
        (vec!["demo"], "demo "),
        (vec!["generate", "--check"], "generate --check"),
        (vec!["vectors", "/some/where"], "vectors /some/where"),
    ] {
        let (code, _, notes) = chore(CARGO, &args);
        let expected = format!("cargo build --quiet --workspace --exclude xtask --bins\n{ran}\n");
        assert_eq!(notes, expected, "{args:?}");
        assert_eq!(code, Some(3), "the exit code is the program's");
    }
}

#[test]
fn a_program_that_is_not_there_after_the_build_is_named() {
    let (code, stderr, _) = chore(IDLE_CARGO, &["vectors"]);
    assert_eq!(code, Some(1));
    assert!(
        stderr.contains("the build left no ") && stderr.contains("/target/debug/vectors"),
        "{stderr}"
    );
}
