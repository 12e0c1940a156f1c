//! The methods of systemd and logind that are used here, as they are on the bus (org.freedesktop.systemd1(5),
//! org.freedesktop.login1(5)).

use zbus::{OwnedFd, OwnedObjectPath, Result, proxy};

/// A link that was made or removed: what was done, where, and its text.
pub(super) type Change = (String, String, String);

/// A line of `systemctl list-units`; the first part is the name.
pub(super) type Listed = (
    String,
    String,
    String,
    String,
    String,
    String,
    OwnedObjectPath,
    u32,
    String,
    OwnedObjectPath,
);

#[proxy(
    interface = "org.freedesktop.systemd1.Manager",
    default_service = "org.freedesktop.systemd1",
    default_path = "/org/freedesktop/systemd1"
)]
pub(super) trait Manager {
    fn subscribe(&self) -> Result<()>;
    fn reload(&self) -> Result<()>;
    fn start_unit(&self, name: &str, mode: &str) -> Result<OwnedObjectPath>;
    fn stop_unit(&self, name: &str, mode: &str) -> Result<OwnedObjectPath>;
    fn restart_unit(&self, name: &str, mode: &str) -> Result<OwnedObjectPath>;
    fn reload_unit(&self, name: &str, mode: &str) -> Result<OwnedObjectPath>;
    fn try_restart_unit(&self, name: &str, mode: &str) -> Result<OwnedObjectPath>;
    fn reload_or_try_restart_unit(&self, name: &str, mode: &str) -> Result<OwnedObjectPath>;
    fn load_unit(&self, name: &str) -> Result<OwnedObjectPath>;
    fn list_units_filtered(&self, states: &[&str]) -> Result<Vec<Listed>>;
    fn get_unit_file_state(&self, name: &str) -> Result<String>;
    fn enable_unit_files(&self, names: &[&str], runtime: bool, force: bool) -> Result<(bool, Vec<Change>)>;
    fn disable_unit_files(&self, names: &[&str], runtime: bool) -> Result<Vec<Change>>;
    fn mask_unit_files(&self, names: &[&str], runtime: bool, force: bool) -> Result<Vec<Change>>;
    fn unmask_unit_files(&self, names: &[&str], runtime: bool) -> Result<Vec<Change>>;
    fn preset_unit_files(&self, names: &[&str], runtime: bool, force: bool) -> Result<(bool, Vec<Change>)>;
}

#[proxy(
    interface = "org.freedesktop.login1.Manager",
    default_service = "org.freedesktop.login1",
    default_path = "/org/freedesktop/login1"
)]
pub(super) trait Login {
    fn inhibit(&self, what: &str, who: &str, why: &str, mode: &str) -> Result<OwnedFd>;
    fn set_wall_message(&self, message: &str, enable: bool) -> Result<()>;
    fn reboot_with_flags(&self, flags: u64) -> Result<()>;
    fn reboot(&self, interactive: bool) -> Result<()>;
}
