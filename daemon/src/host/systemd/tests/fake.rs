//! A systemd and a logind at the other end of a socket, each as a script says.

#![allow(
    clippy::needless_pass_by_value,
    clippy::unused_self,
    reason = "what a method on the bus takes is not for us to say"
)]

use std::collections::VecDeque;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;
use zbus::connection::Builder;
use zbus::object_server::SignalEmitter;
use zbus::{Connection, Guid, ObjectPath, OwnedObjectPath, fdo, interface};

use crate::host::systemd::{Limits, Systemd};

/// Short enough for tests, long enough for a busy machine.
pub(crate) const LIMITS: Limits = Limits {
    connect: Duration::from_secs(20),
    call: Duration::from_secs(20),
    reload: Duration::from_secs(20),
    job: Duration::from_secs(20),
    settle: Duration::from_millis(100),
};

/// What becomes of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Job {
    /// It ends with this result, after the request is answered.
    Ends(&'static str),
    /// It has ended with this result before the request is answered.
    EndsFirst(&'static str),
    /// It ends with this result, after that many others.
    EndsAfter(u32, &'static str),
    /// So many others end before the request is answered, and then it.
    EndsFirstAfter(u32, &'static str),
    /// It never ends, though others do.
    NeverEnds,
    /// The other end goes away instead of answering.
    HangsUp,
    /// The other end goes away about when it answers.
    HangsUpLater,
    /// It is refused.
    Refused,
}

/// A unit at one moment; whoever looks at it moves it on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) active: &'static str,
    pub(crate) sub: &'static str,
    pub(crate) result: &'static str,
    pub(crate) status: i32,
    pub(crate) restarts: u32,
}

pub(crate) const RUNNING: Moment = Moment {
    active: "active",
    sub: "running",
    result: "success",
    status: 0,
    restarts: 0,
};

pub(crate) const FAILED: Moment = Moment {
    active: "failed",
    sub: "failed",
    result: "exit-code",
    status: 3,
    restarts: 0,
};

/// What the fake does, and what it was asked.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) job: Job,
    /// The moments of the unit; the last one stays.
    pub(crate) moments: VecDeque<Moment>,
    pub(crate) file_state: Option<&'static str>,
    pub(crate) with_logind: bool,
    pub(crate) with_flags: bool,
    pub(crate) calls: Vec<String>,
    /// So many requests for a job are refused first.
    pub(crate) refused: u32,
    /// A file that is read at each request to do something; what it says is noted with the request.
    pub(crate) reads: Option<PathBuf>,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            job: Job::Ends("done"),
            moments: [RUNNING].into(),
            file_state: Some("enabled"),
            with_logind: true,
            with_flags: true,
            calls: Vec::new(),
            refused: 0,
            reads: None,
        }
    }
}

type Shared = Arc<Mutex<Script>>;

/// The fake, in a thread of its own until it is dropped.
pub(crate) struct Fake {
    script: Shared,
    lock: Arc<Mutex<Option<UnixStream>>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct Manager(Shared);
struct Unit(Shared);
struct Service(Shared);
struct Login(Shared, Arc<Mutex<Option<UnixStream>>>);

// === impl Fake ===

impl Fake {
    pub(crate) fn start(script: Script) -> (Self, Systemd) {
        Self::start_with(script, LIMITS)
    }

    pub(crate) fn start_with(script: Script, limits: Limits) -> (Self, Systemd) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let target = Builder::unix_stream(theirs).server(Guid::generate()).p2p();
        let (fake, _) = Self::serve(script, target);
        let systemd = Systemd::over(ours, limits).unwrap();
        (fake, systemd)
    }

    /// Joins the bus at a socket, and returns once it is there.
    pub(crate) fn join(script: Script, socket: &Path) -> Self {
        let target = Builder::address(format!("unix:path={}", socket.display()).as_str())
            .name("org.freedesktop.systemd1")
            .name("org.freedesktop.login1");
        let (fake, ready) = Self::serve(script, target);
        ready.blocking_recv().unwrap();
        fake
    }

    fn serve(script: Script, target: Builder<'static>) -> (Self, oneshot::Receiver<()>) {
        let with_logind = script.with_logind;
        let script = Arc::new(Mutex::new(script));
        let lock = Arc::new(Mutex::new(None));
        let (stop, stopped) = oneshot::channel();
        let (ready, is_ready) = oneshot::channel();
        let target = serve_at(target, &script, &lock, with_logind);
        let serve = async {
            let connection = tokio::time::timeout(LIMITS.connect, target.build()).await;
            let connection = connection.unwrap().unwrap();
            let _ = ready.send(());
            let _ = stopped.await;
            drop(connection);
        };
        let thread = std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap()
                .block_on(serve);
        });
        let fake = Self {
            script,
            lock,
            stop: Some(stop),
            thread: Some(thread),
        };
        (fake, is_ready)
    }

    /// What was asked, in order, without the looks at units.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.script.lock().unwrap().calls.clone()
    }

    pub(crate) fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap()
    }

    /// Returns once the inhibitor that was taken last is released.
    pub(crate) fn wait_for_release(&self) {
        let mut lock = self.lock.lock().unwrap().take().unwrap();
        lock.set_read_timeout(Some(LIMITS.call)).unwrap();
        assert_eq!(lock.read(&mut [0]).unwrap(), 0);
    }

    /// Whether the inhibitor that was taken last is held.
    pub(crate) fn is_inhibited(&self) -> bool {
        let lock = self.lock.lock().unwrap();
        let lock = lock.as_ref().unwrap();
        lock.set_nonblocking(true).unwrap();
        let held =
            matches!((&*lock).read(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock);
        lock.set_nonblocking(false).unwrap();
        held
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || std::thread::panicking());
    }
}

fn serve_at(
    target: Builder<'static>,
    script: &Shared,
    lock: &Arc<Mutex<Option<UnixStream>>>,
    with_logind: bool,
) -> Builder<'static> {
    let unit = "/org/freedesktop/systemd1/unit/it";
    let target = target
        .serve_at("/org/freedesktop/systemd1", Manager(Arc::clone(script)))
        .serve_at(unit, Unit(Arc::clone(script)))
        .serve_at(unit, Service(Arc::clone(script)));
    if with_logind {
        target.serve_at(
            "/org/freedesktop/login1",
            Login(Arc::clone(script), Arc::clone(lock)),
        )
    } else {
        target
    }
}

fn path(text: &str) -> OwnedObjectPath {
    ObjectPath::try_from(text).unwrap().to_owned().into()
}

/// Says that a job has ended. The other end may have given up, and be gone.
async fn end(emitter: &SignalEmitter<'_>, number: u32, unit: &str, result: &str) {
    let job = path(&format!("/org/freedesktop/systemd1/job/{number}"));
    let _ = Manager::job_removed(emitter, number, job, unit, result).await;
}

/// Says that other jobs have ended. Ours is job 7; all others are in its way, even those of the same unit.
async fn noise(emitter: &SignalEmitter<'_>, unit: &str, count: u32) {
    for number in 100..100 + count {
        end(emitter, number, unit, "failed").await;
    }
}

// === impl Manager ===

impl Manager {
    fn note(&self, call: impl Into<String>) {
        self.0.lock().unwrap().calls.push(call.into());
    }

    /// What there is to read.
    fn read(&self) -> String {
        let file = self.0.lock().unwrap().reads.clone();
        file.map(|file| format!(" with {}", std::fs::read_to_string(file).unwrap()))
            .unwrap_or_default()
    }

    async fn take(
        &self,
        method: &str,
        name: &str,
        mode: &str,
        connection: &Connection,
        emitter: SignalEmitter<'_>,
    ) -> fdo::Result<OwnedObjectPath> {
        {
            let mut script = self.0.lock().unwrap();
            if script.refused > 0 {
                script.refused -= 1;
                return Err(fdo::Error::AccessDenied("not yet".into()));
            }
        }
        self.note(format!("{method} {name} {mode}{}", self.read()));
        let job = self.0.lock().unwrap().job;
        let later = emitter.to_owned();
        let unit = name.to_owned();
        match job {
            Job::Ends(result) => {
                tokio::spawn(async move { end(&later, 7, &unit, result).await });
            }
            Job::EndsAfter(count, result) => {
                tokio::spawn(async move {
                    noise(&later, &unit, count).await;
                    end(&later, 7, &unit, result).await;
                });
            }
            Job::EndsFirst(result) => end(&emitter, 7, name, result).await,
            Job::EndsFirstAfter(count, result) => {
                noise(&emitter, name, count).await;
                end(&emitter, 7, name, result).await;
            }
            Job::NeverEnds => {
                // Others go on ending, so that some do after the answer.
                let connection = connection.clone();
                tokio::spawn(async move {
                    while !connection.is_closed() {
                        noise(&later, &unit, 3).await;
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                });
            }
            Job::HangsUp => connection.clone().close().await?,
            Job::HangsUpLater => {
                let connection = connection.clone();
                tokio::spawn(async move {
                    // Once the method has returned.
                    tokio::task::yield_now().await;
                    let _ = connection.close().await;
                });
            }
            Job::Refused => return Err(fdo::Error::AccessDenied("not today".into())),
        }
        Ok(path("/org/freedesktop/systemd1/job/7"))
    }
}

#[interface(name = "org.freedesktop.systemd1.Manager")]
impl Manager {
    fn subscribe(&self) {
        self.note("Subscribe");
    }

    fn reload(&self) {
        self.note(format!("Reload{}", self.read()));
    }

    async fn start_unit(
        &self,
        name: &str,
        mode: &str,
        #[zbus(connection)] connection: &Connection,
        #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
    ) -> fdo::Result<OwnedObjectPath> {
        self.take("StartUnit", name, mode, connection, emitter).await
    }

    async fn stop_unit(
        &self,
        name: &str,
        mode: &str,
        #[zbus(connection)] connection: &Connection,
        #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
    ) -> fdo::Result<OwnedObjectPath> {
        self.take("StopUnit", name, mode, connection, emitter).await
    }

    async fn restart_unit(
        &self,
        name: &str,
        mode: &str,
        #[zbus(connection)] connection: &Connection,
        #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
    ) -> fdo::Result<OwnedObjectPath> {
        self.take("RestartUnit", name, mode, connection, emitter).await
    }

    async fn reload_unit(
        &self,
        name: &str,
        mode: &str,
        #[zbus(connection)] connection: &Connection,
        #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
    ) -> fdo::Result<OwnedObjectPath> {
        self.take("ReloadUnit", name, mode, connection, emitter).await
    }

    async fn try_restart_unit(
        &self,
        name: &str,
        mode: &str,
        #[zbus(connection)] connection: &Connection,
        #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
    ) -> fdo::Result<OwnedObjectPath> {
        self.take("TryRestartUnit", name, mode, connection, emitter).await
    }

    async fn reload_or_try_restart_unit(
        &self,
        name: &str,
        mode: &str,
        #[zbus(connection)] connection: &Connection,
        #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
    ) -> fdo::Result<OwnedObjectPath> {
        self.take("ReloadOrTryRestartUnit", name, mode, connection, emitter)
            .await
    }

    fn load_unit(&self, name: &str) -> OwnedObjectPath {
        assert!(name.contains('.'), "{name}");
        let mut script = self.0.lock().unwrap();
        if script.moments.len() > 1 {
            script.moments.rotate_left(1);
            script.moments.pop_back();
        }
        path("/org/freedesktop/systemd1/unit/it")
    }

    fn list_units_filtered(&self, states: Vec<String>) -> Vec<super::super::proxy::Listed> {
        let line = |name: &str| {
            let none = path("/");
            let word = String::new;
            (
                name.to_owned(),
                word(),
                word(),
                word(),
                word(),
                word(),
                none.clone(),
                0,
                word(),
                none,
            )
        };
        self.note(format!("ListUnitsFiltered {}", states.join(" ")));
        vec![line("z.service"), line("a.mount")]
    }

    fn get_unit_file_state(&self, name: &str) -> fdo::Result<String> {
        self.note(format!("GetUnitFileState {name}"));
        match self.0.lock().unwrap().file_state {
            Some(state) => Ok(state.to_owned()),
            None => Err(fdo::Error::FileNotFound("No such file or directory".into())),
        }
    }

    fn enable_unit_files(
        &self,
        names: Vec<String>,
        runtime: bool,
        force: bool,
    ) -> (bool, Vec<(String, String, String)>) {
        self.note(format!("EnableUnitFiles {} {runtime} {force}", names.join(" ")));
        (true, vec![("symlink".into(), "/etc/x".into(), "/usr/x".into())])
    }

    fn disable_unit_files(&self, names: Vec<String>, runtime: bool) -> Vec<(String, String, String)> {
        self.note(format!("DisableUnitFiles {} {runtime}", names.join(" ")));
        Vec::new()
    }

    fn mask_unit_files(
        &self,
        names: Vec<String>,
        runtime: bool,
        force: bool,
    ) -> Vec<(String, String, String)> {
        self.note(format!("MaskUnitFiles {} {runtime} {force}", names.join(" ")));
        Vec::new()
    }

    fn unmask_unit_files(&self, names: Vec<String>, runtime: bool) -> Vec<(String, String, String)> {
        self.note(format!("UnmaskUnitFiles {} {runtime}", names.join(" ")));
        Vec::new()
    }

    fn preset_unit_files(
        &self,
        names: Vec<String>,
        runtime: bool,
        force: bool,
    ) -> (bool, Vec<(String, String, String)>) {
        self.note(format!("PresetUnitFiles {} {runtime} {force}", names.join(" ")));
        (true, Vec::new())
    }

    #[zbus(signal)]
    async fn job_removed(
        emitter: &SignalEmitter<'_>,
        id: u32,
        job: OwnedObjectPath,
        unit: &str,
        result: &str,
    ) -> zbus::Result<()>;
}

fn now(script: &Shared) -> Moment {
    script.lock().unwrap().moments[0]
}

#[interface(name = "org.freedesktop.systemd1.Unit")]
impl Unit {
    #[zbus(property)]
    fn active_state(&self) -> String {
        now(&self.0).active.to_owned()
    }

    #[zbus(property)]
    fn sub_state(&self) -> String {
        now(&self.0).sub.to_owned()
    }

    #[zbus(property, name = "InvocationID")]
    fn invocation_id(&self) -> Vec<u8> {
        (0..16).collect()
    }
}

#[interface(name = "org.freedesktop.systemd1.Service")]
impl Service {
    #[zbus(property)]
    fn result(&self) -> String {
        now(&self.0).result.to_owned()
    }

    #[zbus(property)]
    fn exec_main_code(&self) -> i32 {
        i32::from(now(&self.0).status != 0)
    }

    #[zbus(property)]
    fn exec_main_status(&self) -> i32 {
        now(&self.0).status
    }

    #[zbus(property, name = "NRestarts")]
    fn restarts(&self) -> u32 {
        now(&self.0).restarts
    }
}

// === impl Login ===

#[interface(name = "org.freedesktop.login1.Manager")]
impl Login {
    fn inhibit(&self, what: &str, who: &str, why: &str, mode: &str) -> zbus::OwnedFd {
        let call = format!("Inhibit {what} {who} {why} {mode}");
        self.0.lock().unwrap().calls.push(call);
        let (ours, theirs) = UnixStream::pair().unwrap();
        *self.1.lock().unwrap() = Some(ours);
        OwnedFd::from(theirs).into()
    }

    fn set_wall_message(&self, message: &str, enable: bool) {
        let call = format!("SetWallMessage {message} {enable}");
        self.0.lock().unwrap().calls.push(call);
    }

    fn reboot_with_flags(&self, flags: u64) -> fdo::Result<()> {
        let mut script = self.0.lock().unwrap();
        if !script.with_flags {
            return Err(fdo::Error::UnknownMethod("no such method".into()));
        }
        script.calls.push(format!("RebootWithFlags {flags}"));
        Ok(())
    }

    fn reboot(&self, interactive: bool) {
        self.0.lock().unwrap().calls.push(format!("Reboot {interactive}"));
    }
}
