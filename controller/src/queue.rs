//! What is to be looked at again, and when: keys that wait, each once, with a rest between two looks and longer waits after failures.
//!
//! Entry points: [`Queue::wake`] and [`run`].

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::anyhow;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::warn;

/// The wait after a first failure; it doubles with each further one.
const FIRST_RETRY: Duration = Duration::from_millis(50);
/// The longest wait after a failure: a fault that has passed is noticed within it.
const LAST_RETRY: Duration = Duration::from_secs(30);

/// How long a look may take: a request that is never answered must not hold up its queue. Everything can be cut off, and begun again.
const LONGEST: Duration = Duration::from_mins(2);

/// What a look at a key came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Nothing more until something changes.
    Done,
    /// To be looked at again after this time, if nothing changes before.
    After(Duration),
}

/// Keys that wait.
#[derive(Debug)]
pub(crate) struct Queue {
    name: &'static str,
    /// How long a key rests after a look before the next.
    rest: Duration,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    due: BTreeMap<String, Instant>,
    resting: BTreeMap<String, Instant>,
    failures: BTreeMap<String, u32>,
}

impl Queue {
    /// Empty.
    pub(crate) fn new(name: &'static str, rest: Duration) -> Self {
        Self {
            name,
            rest,
            state: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// Has a key looked at after this time at the latest, but never before its rest is over.
    pub(crate) fn wake(&self, key: &str, after: Duration) {
        let now = Instant::now();
        let mut state = self.state();
        let rested = state.resting.get(key).copied().unwrap_or(now);
        let due = (now + after).max(rested);
        match state.due.get_mut(key) {
            Some(known) => *known = due.min(*known),
            None => {
                state.due.insert(key.to_owned(), due);
            }
        }
        drop(state);
        self.changed.notify_one();
    }

    /// The next key, when it is due. For one caller at a time.
    async fn next(&self) -> String {
        loop {
            let earliest = {
                let mut state = self.state();
                let now = Instant::now();
                let first = state
                    .due
                    .iter()
                    .min_by_key(|(_, due)| **due)
                    .map(|(key, due)| (key.clone(), *due));
                match first {
                    Some((key, due)) if due <= now => {
                        state.due.remove(&key);
                        state.resting.retain(|_, until| *until > now);
                        if !self.rest.is_zero() {
                            state.resting.insert(key.clone(), now + self.rest);
                        }
                        return key;
                    }
                    Some((_, due)) => Some(due),
                    None => None,
                }
            };
            match earliest {
                Some(due) => tokio::select! {
                    () = sleep_until(due) => {}
                    () = self.changed.notified() => {}
                },
                None => self.changed.notified().await,
            }
        }
    }

    fn settle(&self, key: &str, outcome: anyhow::Result<Next>) {
        match outcome {
            Ok(next) => {
                self.state().failures.remove(key);
                if let Next::After(after) = next {
                    self.wake(key, after);
                }
            }
            Err(error) => {
                let failures = {
                    let mut state = self.state();
                    let failures = state.failures.entry(key.to_owned()).or_default();
                    *failures += 1;
                    *failures
                };
                let wait = backoff(failures);
                warn!(queue = self.name, key, error = format!("{error:#}"), retry = ?wait, "Could not be done");
                self.wake(key, wait);
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn backoff(failures: u32) -> Duration {
    let doubled = 2_u32.saturating_pow(failures.saturating_sub(1).min(16));
    FIRST_RETRY.saturating_mul(doubled).min(LAST_RETRY)
}

/// Looks at keys as they are due, at most `limit` at once and the same one never twice at once. Does not end.
pub(crate) async fn run<F, L>(queue: &Queue, limit: usize, look: F)
where
    F: Fn(String) -> L,
    L: Future<Output = anyhow::Result<Next>>,
{
    let mut running = BTreeSet::new();
    // Woken while they were looked at: what was seen then may be out of date.
    let mut again = BTreeSet::new();
    let mut looks = FuturesUnordered::new();
    loop {
        tokio::select! {
            key = queue.next(), if running.len() < limit => {
                if running.insert(key.clone()) {
                    let look = look(key.clone());
                    looks.push(async move {
                        let outcome = timeout(LONGEST, look).await;
                        let late = |_| Err(anyhow!("it took longer than {LONGEST:?}"));
                        (key, outcome.unwrap_or_else(late))
                    });
                } else {
                    again.insert(key);
                }
            }
            Some((key, outcome)) = looks.next() => {
                running.remove(&key);
                queue.settle(&key, outcome);
                if again.remove(&key) {
                    queue.wake(&key, Duration::ZERO);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_waits_once_from_its_first_call_on() {
        let queue = Queue::new("test", Duration::ZERO);
        let begin = Instant::now();
        queue.wake("a", seconds(5));
        queue.wake("b", seconds(3));
        tokio::time::advance(seconds(2)).await;
        queue.wake("a", seconds(5));
        assert_eq!(queue.next().await, "b");
        assert_eq!(queue.next().await, "a");
        assert_eq!(begin.elapsed().as_secs(), 5);
        queue.wake("a", seconds(9));
        queue.wake("a", seconds(1));
        queue.next().await;
        assert_eq!(begin.elapsed().as_secs(), 6);
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_rests_between_two_looks_and_others_do_not_wait_for_it() {
        let queue = Queue::new("test", seconds(10));
        let begin = Instant::now();
        queue.wake("a", Duration::ZERO);
        queue.next().await;
        queue.wake("a", Duration::ZERO);
        queue.wake("b", Duration::ZERO);
        assert_eq!(queue.next().await, "b");
        assert_eq!(begin.elapsed().as_secs(), 0);
        assert_eq!(queue.next().await, "a");
        assert_eq!(begin.elapsed().as_secs(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_that_never_ends_is_cut_off_and_begun_again() {
        let queue = Queue::new("test", Duration::ZERO);
        let looks = AtomicUsize::new(0);
        let look = |_| async {
            looks.fetch_add(1, Ordering::SeqCst);
            std::future::pending().await
        };
        queue.wake("a", Duration::ZERO);
        let end = tokio::time::timeout(LONGEST + seconds(1), run(&queue, 1, look)).await;
        assert!(end.is_err());
        assert_eq!(looks.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn failures_wait_longer_each_time_up_to_a_bound() {
        assert_eq!(backoff(1), FIRST_RETRY);
        assert_eq!(backoff(2), FIRST_RETRY * 2);
        assert_eq!(backoff(40), LAST_RETRY);
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_key_is_never_looked_at_twice_at_once_and_others_are() {
        let queue = Queue::new("test", Duration::ZERO);
        let (now, most, looks) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        let look = |key: String| {
            let (now, most, looks, queue) = (&now, &most, &looks, &queue);
            async move {
                if key == "a" {
                    assert_eq!(now.fetch_add(1, Ordering::SeqCst), 0);
                    looks.fetch_add(1, Ordering::SeqCst);
                    queue.wake("a", Duration::ZERO);
                    tokio::time::sleep(seconds(1)).await;
                    now.fetch_sub(1, Ordering::SeqCst);
                } else {
                    most.fetch_add(1, Ordering::SeqCst);
                    anyhow::ensure!(most.load(Ordering::SeqCst) >= 3, "not yet");
                }
                Ok(Next::Done)
            }
        };
        queue.wake("a", Duration::ZERO);
        queue.wake("b", Duration::ZERO);
        let end = tokio::time::timeout(Duration::from_millis(3500), run(&queue, 4, look)).await;
        assert!(end.is_err());
        // One after the other, each woken while the one before ran; and a failure is tried again.
        assert_eq!(looks.load(Ordering::SeqCst), 4);
        assert_eq!(most.load(Ordering::SeqCst), 3);
    }
}
