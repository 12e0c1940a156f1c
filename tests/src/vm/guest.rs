//! A running guest and the talk with its first process: one order, one answer.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use super::disk::FileSystem;
use super::{Kit, text};
use crate::program::wait_for;

/// A boot takes about three seconds, on a machine with a processor to spare.
const BOOT: Duration = Duration::from_mins(2);

/// How long any order may take; they take a second or two.
const ORDER: Duration = Duration::from_mins(2);

/// Lines of the console that are shown when something went wrong.
const CONSOLE_LINES: usize = 20;

/// What guests are told by the kernel command line, beside their file system. A kernel that panics ends the guest at once, and
/// with it the test. Nobody attacks a guest, and without the mitigations it is faster. An emulated timer that comes late, on a busy
/// machine, is no broken one, but the kernel would panic over it.
const ARGUMENTS: &str = "console=ttyS0 quiet panic=-1 mitigations=off no_timer_check";

/// The parts of one guest.
#[derive(Debug, Clone)]
pub struct Machine {
    /// Its kernel.
    pub kernel: PathBuf,
    /// The archive it starts from.
    pub archive: PathBuf,
    /// Its disk.
    pub disk: PathBuf,
    /// What is on its disk.
    pub file_system: FileSystem,
    /// What its kernel and its programs say is written to this file, anew for each boot.
    pub console: PathBuf,
    /// Its memory after the start of its kernel: see [`Machine::freeze`].
    pub memory: PathBuf,
}

impl Machine {
    /// Parts of a machine that keeps its files in `dir`.
    #[must_use]
    pub fn new(kit: &Kit, file_system: FileSystem, dir: &Path) -> Self {
        Self {
            kernel: kit.vmlinuz(),
            archive: dir.join("archive"),
            disk: dir.join("disk"),
            file_system,
            console: dir.join("console"),
            memory: dir.join("memory"),
        }
    }

    /// Starts the kernel up to the first process, and keeps its memory. This takes about three seconds of emulation and goes the same
    /// way each time, so it is done once: a guest that boots begins from here. No driver has seen the disk yet.
    pub fn freeze(&self) -> Result<()> {
        let greeting = self.console.with_extension("greeting");
        let mut command = self.command()?;
        command
            .args(["-serial", &format!("file:{}", text(&greeting)?)])
            .args(["-qmp", "stdio"]);
        let (mut talk, answers) = Talk::start(&mut command, &self.console)?;
        talk.send(r#"{"execute": "qmp_capabilities"}"#)?;
        // The default is a limit for networks.
        talk.send(r#"{"execute": "migrate-set-parameters", "arguments": {"max-bandwidth": 100000000000}}"#)?;
        wait_for("the first process of a guest", BOOT, || {
            talk.check()?;
            Ok(fs::read_to_string(&greeting)
                .is_ok_and(|text| text.contains("hello\n"))
                .then_some(()))
        })
        .with_context(|| talk.said())?;
        let target = json!(format!("exec:cat > '{}'", text(&self.memory)?));
        talk.send(&format!(
            r#"{{"execute": "migrate", "arguments": {{"uri": {target}}}}}"#
        ))?;
        wait_for("the memory of a guest", BOOT, || {
            talk.send(r#"{"execute": "query-migrate"}"#)?;
            let answer = answers.recv_timeout(BOOT).context("qemu does not answer")?;
            ensure!(
                !answer.contains(r#""error""#) && !answer.contains(r#""failed""#),
                "qemu could not write it: {answer}"
            );
            Ok(answer.contains(r#""status": "completed""#).then_some(()))
        })
        .with_context(|| talk.said())
    }

    fn command(&self) -> Result<Command> {
        // QEMU ends with us even when we are killed.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "qemu-system-x86_64"]);
        command.args([
            "-accel", "tcg", "-cpu", "max", "-machine", "q35", "-m", "256", "-smp", "1",
        ]);
        command.args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
        command.arg("-kernel").arg(&self.kernel);
        command.arg("-initrd").arg(&self.archive);
        command.args([
            "-append",
            &format!("{ARGUMENTS} guest.fs={}", self.file_system.name()),
        ]);
        // A kill leaves what QEMU wrote in the page cache of this machine, so it need never wait for a disk.
        let drive = format!("file={},format=raw,if=virtio,cache=unsafe", text(&self.disk)?);
        command.args(["-drive", &drive]);
        command.args(["-serial", &format!("file:{}", text(&self.console)?)]);
        Ok(command)
    }
}

/// How a program in a guest ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// With this exit code.
    Exit(i32),
    /// By this signal.
    Signal(i32),
}

/// A running QEMU and the lines that go to it. It is killed when this value goes.
#[derive(Debug)]
struct Talk {
    child: Child,
    input: ChildStdin,
    console: PathBuf,
}

/// A running guest. Its power is cut when this value goes.
#[derive(Debug)]
pub struct Guest {
    qemu: Talk,
    answers: Receiver<String>,
}

// === impl Talk ===

impl Talk {
    /// Starts it; the channel has what it says, line by line, and closes with it.
    fn start(command: &mut Command, console: &Path) -> Result<(Self, Receiver<String>)> {
        let complaints = File::create(console.with_extension("qemu"))?;
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(complaints)
            .spawn()
            .context("could not run qemu-system-x86_64")?;
        let input = child.stdin.take().context("qemu has no input")?;
        let output = child.stdout.take().context("qemu has no output")?;
        let (lines, answers) = channel();
        thread::spawn(move || {
            let mut output = BufReader::new(output);
            let mut line = String::new();
            // Ends with the guest, or when nobody listens any more. A line that the cut tore in two was not told.
            while output.read_line(&mut line).is_ok() && line.ends_with('\n') {
                if lines.send(line.trim_end().to_owned()).is_err() {
                    break;
                }
                line.clear();
            }
        });
        let console = console.to_owned();
        let talk = Self {
            child,
            input,
            console,
        };
        Ok((talk, answers))
    }

    fn send(&mut self, line: &str) -> Result<()> {
        writeln!(self.input, "{line}")
            .with_context(|| format!("the guest takes no orders any more; {}", self.said()))
    }

    /// Fails when it has ended.
    fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            Some(status) => bail!("qemu ended with {status}"),
            None => Ok(()),
        }
    }

    fn kill(&mut self) {
        // Both fail only when it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// What QEMU complained of, and the end of what the guest's kernel and programs wrote.
    fn said(&self) -> String {
        let read = |path: &Path| fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let text = read(&self.console).unwrap_or_default();
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        format!(
            "qemu complains of {:?}, the console of the guest says:\n{}",
            read(&self.console.with_extension("qemu")).unwrap_or_default(),
            lines[lines.len().saturating_sub(CONSOLE_LINES)..].join("\n")
        )
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        self.kill();
    }
}

// === impl Guest ===

impl Guest {
    /// Boots a machine that was [frozen](Machine::freeze), until the first process waits for orders: with another boot id, and with
    /// what is on the disk by now.
    pub fn boot(machine: &Machine) -> Result<Self> {
        let mut command = machine.command()?;
        command
            .args(["-serial", "stdio"])
            .args(["-incoming", &format!("exec:cat '{}'", text(&machine.memory)?)]);
        let (qemu, answers) = Talk::start(&mut command, &machine.console)?;
        let mut guest = Self { qemu, answers };
        let boot = fs::read_to_string("/proc/sys/kernel/random/uuid")?;
        // What is sent to a guest whose memory is still being read would be lost, so it has to speak first.
        guest.skip_until("hello")?;
        guest.send(&["begin", boot.trim()])?;
        guest.skip_until("ready")?;
        Ok(guest)
    }

    fn skip_until(&self, awaited: &str) -> Result<()> {
        while self.answer(BOOT).context("the guest did not boot")? != awaited {}
        Ok(())
    }

    /// Gives an order that is answered by `done`.
    pub fn order(&mut self, words: &[&str]) -> Result<()> {
        self.send(words)?;
        let answer = self.answer(ORDER)?;
        ensure!(answer == "done", "the guest was told {words:?}: {answer}");
        Ok(())
    }

    /// Everything below `dir`, one line for each object, without what lies at or below the paths of `without`.
    pub fn manifest(&mut self, dir: &str, without: &[&str]) -> Result<Vec<String>> {
        self.send(&[&["manifest", dir], without].concat())?;
        let mut lines = Vec::new();
        loop {
            let answer = self.answer(ORDER)?;
            match answer.strip_prefix('+') {
                Some(line) => lines.push(line.to_owned()),
                None if answer == "done" => return Ok(lines),
                None => bail!("the guest was asked for a manifest of {dir}: {answer}"),
            }
        }
    }

    /// Runs a program to its end.
    pub fn run(&mut self, words: &[&str]) -> Result<Ended> {
        self.start(words)?;
        let ended = self.ended(ORDER)?;
        ended.with_context(|| format!("{words:?} did not end within {ORDER:?}; {}", self.said()))
    }

    /// Starts a program, and returns once it runs.
    pub fn start(&mut self, words: &[&str]) -> Result<()> {
        self.send(&[&["run"], words].concat())?;
        let answer = self.answer(ORDER)?;
        ensure!(
            answer == "started",
            "the guest was told to run {words:?}: {answer}"
        );
        Ok(())
    }

    /// Waits for the end of the program that was started last; none when the time is over before.
    pub fn ended(&self, within: Duration) -> Result<Option<Ended>> {
        match self.answers.recv_timeout(within) {
            Ok(line) => parse(&line)
                .map(Some)
                .with_context(|| format!("the guest answered {line:?}; {}", self.said())),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => bail!("the guest is gone; {}", self.said()),
        }
    }

    /// Cuts the power. Returns the end of the program that was started last, if the guest told it before.
    pub fn cut(mut self) -> Result<Option<Ended>> {
        self.qemu.kill();
        // What was on its way when the power went counts as told. The channel closes with QEMU.
        match self.answers.iter().last() {
            Some(line) => parse(&line).map(Some),
            None => Ok(None),
        }
    }

    /// Turns the guest off in an orderly way: everything is written.
    pub fn off(mut self) -> Result<()> {
        self.send(&["off"])?;
        match self.answers.recv_timeout(ORDER) {
            Ok(line) => bail!("the guest was told to turn itself off: {line}"),
            Err(RecvTimeoutError::Timeout) => bail!("the guest did not turn itself off; {}", self.said()),
            // QEMU closes its end when it ends.
            Err(RecvTimeoutError::Disconnected) => {}
        }
        let status = self.qemu.child.wait()?;
        ensure!(status.success(), "qemu ended with {status}; {}", self.said());
        Ok(())
    }

    /// What there is to say when something went wrong: the end of what its kernel and its programs wrote.
    #[must_use]
    pub fn said(&self) -> String {
        self.qemu.said()
    }

    fn send(&mut self, words: &[&str]) -> Result<()> {
        ensure!(
            words.iter().all(|word| !word.contains(['\t', '\n'])),
            "an order with a tab or a new line cannot be sent: {words:?}"
        );
        self.qemu.send(&words.join("\t"))
    }

    fn answer(&self, within: Duration) -> Result<String> {
        match self.answers.recv_timeout(within) {
            Ok(line) => Ok(line),
            Err(RecvTimeoutError::Timeout) => {
                bail!("the guest did not answer within {within:?}; {}", self.said())
            }
            Err(RecvTimeoutError::Disconnected) => bail!("the guest is gone; {}", self.said()),
        }
    }
}

fn parse(line: &str) -> Result<Ended> {
    let number = |text: &str| text.parse().with_context(|| format!("no number: {text:?}"));
    match line.split_once(' ') {
        Some(("exit", code)) => Ok(Ended::Exit(number(code)?)),
        Some(("signal", signal)) => Ok(Ended::Signal(number(signal)?)),
        _ => bail!("that is no end of a program: {line:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Ended, parse};

    #[test]
    fn ends_are_told_apart_from_all_else() {
        assert_eq!(parse("exit 2").unwrap(), Ended::Exit(2));
        assert_eq!(parse("signal 9").unwrap(), Ended::Signal(9));
        for line in ["", "done", "exit", "exit x", "error 1"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
