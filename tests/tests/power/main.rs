//! Power cuts on real file systems. A guest is killed at random moments; after the next boot and `recover`, the tree must be the old
//! one or the new one. Run by `cargo xtask test`, which provides the kernel and the static programs. Each test prints its seed.

mod node;

use anyhow::{Result, ensure};
use e2e::program::is_root;
use e2e::vm::Kit;
use e2e::vm::disk::FileSystem;
use e2e::vm::power::{Report, Subject, cut_power, seed};
use tempfile::TempDir;

/// Cuts of an apply of the daemon, on each file system.
const CUTS: usize = 32;

/// Cuts of the program that the tests are tried on. Enough for it to be found old and new.
const TRIAL_CUTS: usize = 12;

/// Cuts within which a broken program must be found out.
const PATIENCE: usize = 30;

/// The program the tests are tried on, in one of its forms.
fn standin(flags: &'static [&'static str]) -> Subject {
    Subject {
        program: "guest-standin",
        flags,
        configs: [b"200 old".to_vec(), b"200 new".to_vec()],
        seed: None,
        done: &[0],
        without: &["/var"],
    }
}

/// The daemon, on a node made in `dir`.
fn daemon(dir: &TempDir) -> Result<Subject> {
    node::create(dir.path())?;
    Ok(Subject {
        program: "machine-config-daemon",
        flags: &[],
        configs: [
            node::config(node::Revision::First),
            node::config(node::Revision::Second),
        ],
        seed: Some(dir.path().to_owned()),
        // 2: done, and a reboot is due.
        done: &[0, 2],
        // Its journal and history, and what a real node keeps in memory.
        without: &["/var/lib/machine-config", "/run"],
    })
}

fn trial(subject: &Subject, file_system: FileSystem, cuts: usize) -> Result<Report> {
    ensure!(is_root(), "the trees have many owners: run this as root");
    let report = cut_power(&Kit::provided()?, subject, file_system, cuts, seed()?)?;
    println!("{report}");
    Ok(report)
}

/// Nothing but old and new, and enough of both that the cuts hit something.
fn passes(subject: &Subject, file_system: FileSystem, cuts: usize) -> Result<()> {
    let report = trial(subject, file_system, cuts)?;
    assert!(report.mix.is_none(), "{report}");
    assert!(report.cuts() >= cuts, "{report}");
    assert!(report.old > 0 && report.new > 0, "the cuts missed: {report}");
    assert!(report.recoveries > 0, "{report}");
    Ok(())
}

fn is_found_out(subject: &Subject, file_system: FileSystem) -> Result<()> {
    let report = trial(subject, file_system, PATIENCE)?;
    assert!(report.mix.is_some(), "{report}");
    Ok(())
}

#[test]
#[ignore = "needs root, qemu and a guest kernel"]
fn the_daemon_leaves_old_or_new_on_ext4() {
    let dir = TempDir::with_prefix("machine-config-").unwrap();
    passes(&daemon(&dir).unwrap(), FileSystem::Ext4, CUTS).unwrap();
}

#[test]
#[ignore = "needs root, qemu and a guest kernel"]
fn the_daemon_leaves_old_or_new_on_xfs() {
    let dir = TempDir::with_prefix("machine-config-").unwrap();
    passes(&daemon(&dir).unwrap(), FileSystem::Xfs, CUTS).unwrap();
}

#[test]
#[ignore = "needs root, qemu and a guest kernel"]
fn a_right_program_passes_on_ext4() {
    passes(&standin(&[]), FileSystem::Ext4, TRIAL_CUTS).unwrap();
}

#[test]
#[ignore = "needs root, qemu and a guest kernel"]
fn a_right_program_passes_on_xfs() {
    passes(&standin(&[]), FileSystem::Xfs, TRIAL_CUTS).unwrap();
}

#[test]
#[ignore = "needs root, qemu and a guest kernel"]
fn a_program_that_does_not_sync_is_found_out_on_ext4() {
    is_found_out(&standin(&["--no-sync"]), FileSystem::Ext4).unwrap();
}

#[test]
#[ignore = "needs root, qemu and a guest kernel"]
fn a_program_that_does_not_sync_is_found_out_on_xfs() {
    is_found_out(&standin(&["--no-sync"]), FileSystem::Xfs).unwrap();
}

#[test]
#[ignore = "needs root, qemu and a guest kernel"]
fn a_program_that_goes_file_by_file_is_found_out() {
    is_found_out(&standin(&["--no-mark"]), FileSystem::Ext4).unwrap();
}
