//! The program of test pods, and of the sandbox of every pod: `guest-pod pause`, or `guest-pod say WORD...`, which writes the words and
//! then pauses, or `guest-pod at DIR COMMAND...`, which becomes a command with another root. It is process 1 of its pod: it ends when it is told to, and takes note of the end of orphans.

use std::env;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::chroot;
use rustix::process::{WaitOptions, wait};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("guest-pod: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    match args.split_first().map(|(verb, words)| (verb.as_str(), words)) {
        Some(("pause", [])) => {}
        Some(("say", words)) => println!("{}", words.join(" ")),
        Some(("at", [root, program, words @ ..])) => {
            chroot(root.as_str()).with_context(|| format!("could not make {root} the root"))?;
            let error = Command::new(program).args(words).current_dir("/").exec();
            return Err(error).with_context(|| format!("could not run {program} at {root}"));
        }
        _ => bail!("neither pause nor say WORD... nor at DIR COMMAND...: {args:?}"),
    }
    pause()
}

/// Waits to be told to end.
fn pause() -> Result<()> {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGCHLD] {
        signals.add(signal);
    }
    // Process 1 never gets a signal that it neither handles nor blocks.
    signals.thread_block().context("could not block signals")?;
    while signals.wait().context("could not wait for a signal")? == Signal::SIGCHLD {
        // One signal may stand for several children.
        while matches!(wait(WaitOptions::NOHANG), Ok(Some(_))) {}
    }
    Ok(())
}
