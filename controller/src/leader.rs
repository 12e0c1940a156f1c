//! Which of several replicas leads: a Lease that one of them holds and renews (MCO controller 0.1).
//!
//! How long another one's lease still holds is measured from when this process saw it renewed, by this process's own clock: the
//! clocks of two nodes may differ by hours. Entry points: [`Elector::acquire`], [`Elector::hold`], [`Elector::release`].

use std::time::Duration;

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, PostParams};
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info, warn};

use crate::api::{is_conflict, missing};

/// How long leases hold and how often they are renewed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    /// How long a lease holds that is not renewed.
    pub(crate) lease: Duration,
    /// How long the holder tries to renew before it gives up; shorter than the lease.
    pub(crate) renew: Duration,
    /// How often it is looked at.
    pub(crate) retry: Duration,
}

/// One candidate.
#[derive(Debug)]
pub(crate) struct Elector {
    leases: Api<Lease>,
    name: String,
    identity: String,
    timing: Timing,
    seen: Option<Seen>,
}

/// A lease as it was seen, and since when it has been so.
#[derive(Debug)]
struct Seen {
    spec: LeaseSpec,
    since: Instant,
}

/// What may be done about a lease.
#[derive(Debug, PartialEq, Eq)]
enum Standing {
    /// It is ours, or nobody's.
    Free,
    /// It is another one's.
    Held(String),
}

impl Elector {
    pub(crate) fn new(leases: Api<Lease>, name: &str, identity: String, timing: Timing) -> Self {
        Self {
            leases,
            name: name.to_owned(),
            identity,
            timing,
            seen: None,
        }
    }

    /// Waits until the lease is ours; `seen` is told whenever the API server has answered.
    pub(crate) async fn acquire(&mut self, seen: impl Fn()) {
        let mut told = String::new();
        loop {
            match self.attempt().await {
                Ok(Standing::Free) => {
                    info!(lease = self.name, identity = self.identity, "Leading");
                    return;
                }
                Ok(Standing::Held(holder)) => {
                    seen();
                    if holder != told {
                        info!(lease = self.name, holder, "Another one leads");
                        told = holder;
                    }
                }
                Err(error) => warn!(
                    lease = self.name,
                    error = format!("{error:#}"),
                    "Could not ask for the lease"
                ),
            }
            sleep(self.timing.retry).await;
        }
    }

    /// Keeps the lease, and returns when it is lost.
    pub(crate) async fn hold(&mut self) {
        let mut renewed = Instant::now();
        loop {
            sleep(self.timing.retry).await;
            match self.attempt().await {
                Ok(Standing::Free) => renewed = Instant::now(),
                Ok(Standing::Held(holder)) => {
                    warn!(lease = self.name, holder, "The lease is another one's");
                    return;
                }
                Err(error) => warn!(
                    lease = self.name,
                    error = format!("{error:#}"),
                    "Could not renew the lease"
                ),
            }
            if renewed.elapsed() >= self.timing.renew {
                warn!(lease = self.name, "The lease could not be renewed in time");
                return;
            }
        }
    }

    /// Gives the lease back, so that another one need not wait until it runs out. What fails is only told.
    pub(crate) async fn release(&mut self) {
        let Some(mut lease) = self.look().await.ok().flatten() else {
            return;
        };
        let spec = lease.spec.get_or_insert_default();
        if spec.holder_identity.as_deref() != Some(self.identity.as_str()) {
            return;
        }
        spec.holder_identity = Some(String::new());
        spec.lease_duration_seconds = Some(1);
        spec.renew_time = Some(MicroTime(Timestamp::now()));
        match self
            .leases
            .replace(&self.name, &PostParams::default(), &lease)
            .await
        {
            Ok(_) => info!(lease = self.name, "Handed over the lease"),
            Err(error) => warn!(lease = self.name, %error, "Could not hand over the lease"),
        }
    }

    async fn look(&self) -> Result<Option<Lease>> {
        let asked = timeout(self.timing.retry, self.leases.get(&self.name)).await;
        missing(asked.context("the API server did not answer in time")?).context("could not read it")
    }

    /// Takes or renews the lease if that may be done.
    async fn attempt(&mut self) -> Result<Standing> {
        let found = self.look().await?;
        let now = Instant::now();
        if let Some(spec) = found.as_ref().and_then(|lease| lease.spec.as_ref())
            && self.seen.as_ref().is_none_or(|seen| seen.spec != *spec)
        {
            self.seen = Some(Seen {
                spec: spec.clone(),
                since: now,
            });
        }
        let standing = standing(
            self.seen.as_ref().filter(|_| found.is_some()),
            &self.identity,
            now,
        );
        if let Standing::Held(_) = standing {
            return Ok(standing);
        }
        let written = timeout(self.timing.retry, self.take(found)).await;
        let spec = written.context("the API server did not answer in time")??;
        self.seen = Some(Seen { spec, since: now });
        debug!(lease = self.name, "Renewed the lease");
        Ok(Standing::Free)
    }

    async fn take(&self, found: Option<Lease>) -> Result<LeaseSpec> {
        let time = MicroTime(Timestamp::now());
        let exists = found.is_some();
        let mut lease = found.unwrap_or_default();
        lease.metadata.name = Some(self.name.clone());
        let spec = lease.spec.get_or_insert_default();
        if spec.holder_identity.as_deref() != Some(self.identity.as_str()) {
            spec.holder_identity = Some(self.identity.clone());
            spec.acquire_time = Some(time.clone());
            spec.lease_transitions = Some(spec.lease_transitions.map_or(0, |count| count.saturating_add(1)));
        }
        spec.lease_duration_seconds =
            Some(i32::try_from(self.timing.lease.as_secs().max(1)).unwrap_or(i32::MAX));
        spec.renew_time = Some(time);
        // Both are refused when somebody else was there first.
        let parameters = PostParams::default();
        let written = if exists {
            self.leases.replace(&self.name, &parameters, &lease).await
        } else {
            self.leases.create(&parameters, &lease).await
        };
        let written = written.map_err(|error| {
            let was_first = is_conflict(&error);
            let error = anyhow::Error::new(error);
            if was_first {
                error.context("somebody else has written it first")
            } else {
                error.context("could not write it")
            }
        })?;
        Ok(written.spec.unwrap_or_default())
    }
}

/// Whose a lease is; none when it does not exist.
fn standing(seen: Option<&Seen>, identity: &str, now: Instant) -> Standing {
    let Some(Seen { spec, since }) = seen else {
        return Standing::Free;
    };
    let holder = spec.holder_identity.as_deref().unwrap_or_default();
    let seconds = spec.lease_duration_seconds.unwrap_or_default();
    let lasts = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
    if holder.is_empty() || holder == identity || now.duration_since(*since) >= lasts {
        Standing::Free
    } else {
        Standing::Held(holder.to_owned())
    }
}

/// `<host>_<random>`, as the reference's.
pub(crate) fn identity() -> Result<String> {
    const SOURCE: &str = "/proc/sys/kernel/random/uuid";
    let random = std::fs::read_to_string(SOURCE).with_context(|| format!("could not read {SOURCE}"))?;
    let name = rustix::system::uname();
    Ok(format!("{}_{}", name.nodename().to_string_lossy(), random.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(holder: &str, seconds: i32) -> Seen {
        Seen {
            spec: LeaseSpec {
                holder_identity: Some(holder.to_owned()),
                lease_duration_seconds: Some(seconds),
                // An hour ahead of everybody else's clock: it does not count.
                renew_time: Some(MicroTime(Timestamp::now() + jiff::SignedDuration::from_hours(1))),
                ..LeaseSpec::default()
            },
            since: Instant::now(),
        }
    }

    #[test]
    fn a_lease_is_anothers_until_it_has_not_changed_for_its_own_time() {
        let lease = seen("other", 10);
        let after = |seconds| standing(Some(&lease), "me", lease.since + Duration::from_secs(seconds));
        assert_eq!(after(9), Standing::Held("other".into()));
        assert_eq!(after(10), Standing::Free);
        let now = Instant::now();
        assert_eq!(standing(Some(&seen("me", 10)), "me", now), Standing::Free);
        assert_eq!(standing(Some(&seen("", 10)), "me", now), Standing::Free);
        assert_eq!(standing(None, "me", now), Standing::Free);
    }
}
