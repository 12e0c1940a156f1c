//! Power cuts on real file systems. A guest is killed at random moments; after the next boot and `recover`, the tree must be the old
//! one or the new one. Run by `cargo xtask test`, which provides the kernel and the static programs. Each test prints its seed.

use anyhow::{Result, ensure};
use e2e::program::is_root;
use e2e::vm::Kit;
use e2e::vm::disk::FileSystem;
use e2e::vm::power::{Report, Subject, cut_power, seed};

/// Cuts of an apply on each file system.
const CUTS: usize = 30;

/// Cuts of the program that the tests are tried on. Enough for it to be found old and new, and for the broken ones to be found out.
const TRIAL_CUTS: usize = 10;

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

fn trial(subject: &Subject, file_system: FileSystem, cuts: usize) -> Result<Report> {
    ensure!(is_root(), "the trees have many owners: run this as root");
    let report = cut_power(&Kit::provided()?, subject, file_system, cuts, seed()?)?;
    println!("{report}");
    Ok(report)
}

/// Nothing but old and new, and enough of both that the cuts hit something.
fn passes(subject: &Subject, file_system: FileSystem, cuts: usize) {
    let report = trial(subject, file_system, cuts).unwrap();
    assert!(report.mix.is_none(), "{report}");
    assert_eq!(report.cuts(), cuts + 1, "{report}");
    assert!(report.old > 0 && report.new > 0, "the cuts missed: {report}");
    assert!(report.recoveries > 0, "{report}");
}

fn is_found_out(subject: &Subject, file_system: FileSystem) {
    let report = trial(subject, file_system, PATIENCE).unwrap();
    assert!(report.mix.is_some(), "{report}");
}

#[test]
#[ignore = "needs root, qemu and a guest kernel"]
fn a_right_program_passes_on_ext4() {
    passes(&standin(&[]), FileSystem::Ext4, TRIAL_CUTS);
}

#[test]
#[ignore = "needs root, qemu and a guest kernel"]
fn a_right_program_passes_on_xfs() {
    passes(&standin(&[]), FileSystem::Xfs, TRIAL_CUTS);
}

#[test]
#[ignore = "needs root, qemu and a guest kernel"]
fn a_program_that_does_not_sync_is_found_out_on_ext4() {
    is_found_out(&standin(&["--no-sync"]), FileSystem::Ext4);
}

#[test]
#[ignore = "needs root, qemu and a guest kernel"]
fn a_program_that_does_not_sync_is_found_out_on_xfs() {
    is_found_out(&standin(&["--no-sync"]), FileSystem::Xfs);
}

#[test]
#[ignore = "needs root, qemu and a guest kernel"]
fn a_program_that_goes_file_by_file_is_found_out() {
    is_found_out(&standin(&["--no-mark"]), FileSystem::Ext4);
}
