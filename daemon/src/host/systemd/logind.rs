//! Reboots, and what keeps a host from one.

use std::os::fd;

use super::BusError;
use super::bus::Bus;

/// What is inhibited: `reboot` and `poweroff` are both shutdowns to logind.
const WHAT: &str = "shutdown:sleep";

/// Under which name people find us in `systemd-inhibit --list`.
const WHO: &str = "machine-config-daemon";

/// Neither inhibitors nor a firmware menu skipped.
const NO_FLAGS: u64 = 0;

/// Keeps a host from rebooting until it is dropped.
#[derive(Debug)]
#[must_use = "the host may reboot once this is dropped"]
pub struct Inhibitor {
    // logind lets go when every copy of it is closed.
    _lock: fd::OwnedFd,
}

// === impl Bus ===

impl Bus {
    pub(super) async fn inhibit(&self, why: &str) -> Result<Inhibitor, BusError> {
        let lock = self
            .bounded(
                "Inhibit",
                self.limits.call,
                self.login.inhibit(WHAT, WHO, why, "block"),
            )
            .await?;
        Ok(Inhibitor { _lock: lock.into() })
    }

    pub(super) async fn reboot(&self, reason: &str) -> Result<(), BusError> {
        let wall = self.login.set_wall_message(reason, true);
        if let Err(error) = self.bounded("SetWallMessage", self.limits.call, wall).await {
            // Only those who are logged in miss something; the reason is in our log.
            tracing::debug!(%error, "Nobody is told the reason of the reboot");
        }
        match self.reboot_by_logind().await {
            Err(error) if error.says_absent() => {
                tracing::debug!(%error, "Without logind, reboot.target is started");
                self.start_reboot().await
            }
            result => result,
        }
    }

    async fn reboot_by_logind(&self) -> Result<(), BusError> {
        let call = self.login.reboot_with_flags(NO_FLAGS);
        match self.bounded("RebootWithFlags", self.limits.call, call).await {
            // Before systemd 246.
            Err(error) if error.says_absent() => {
                self.bounded("Reboot", self.limits.call, self.login.reboot(false))
                    .await
            }
            result => result,
        }
    }

    /// As `systemctl reboot` does without logind. The manager has a method `Reboot` too, which does not stop services first.
    async fn start_reboot(&self) -> Result<(), BusError> {
        let call = self.manager.start_unit("reboot.target", "replace-irreversibly");
        self.bounded("StartUnit", self.limits.call, call).await.map(drop)
    }
}
