//! The credential that a machine asks for the kubelet's certificate with: one of its own, for minutes. Entry point: [`Credentials`].
//!
//! Each takes a call of the API server. So that a burst of machines does not wait for one call after the other, the first request
//! makes a stock for those that follow, which is made anew while they come and left to expire when they do not: a server that nobody
//! asks makes none.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use machineconfig::join::Joining;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::metrics::CredentialMetrics;

/// How many are kept ahead for one kind of machine while machines come.
const STOCK: usize = 32;
/// Fewer than these, and more are made.
const LOW: usize = STOCK / 2;
/// How many are asked for at a time. Beyond it the API server would only queue them.
const AT_ONCE: usize = 16;
/// The part of its lifetime after which one that nobody took is thrown away: what a machine gets is to be nearly new.
const STALE_AFTER: u32 = 3;
/// How long the API server may take for one: a machine comes again, and sooner than it would give up waiting.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest token that is taken: headers of the API server hold no more.
const MAX_BYTES: usize = 8 << 10;

/// Where credentials come from.
pub trait Mint: Send + Sync {
    /// Makes one.
    fn mint<'a>(&'a self, joining: &'a Joining) -> BoxFuture<'a, Result<Bytes, String>>;
}

/// Makes credentials, some of them ahead.
pub struct Credentials {
    source: Source,
    metrics: CredentialMetrics,
}

enum Source {
    /// A file with one that never changes, or is replaced by others: the reference's.
    File(PathBuf),
    Minted(Arc<Minted>),
}

struct Minted {
    mint: Box<dyn Mint>,
    lifetime: Duration,
    stocks: Mutex<HashMap<Joining, Stock>>,
    calls: Semaphore,
    metrics: CredentialMetrics,
}

#[derive(Default)]
struct Stock {
    ready: VecDeque<(Bytes, Instant)>,
    /// Being made for it.
    coming: usize,
    /// Of the last one, for those who only ask how long an answer would be.
    length: Option<usize>,
}

// === impl Credentials ===

impl Credentials {
    /// The same one for everybody, from a file that is read each time.
    #[must_use]
    pub fn from_file(path: PathBuf, metrics: CredentialMetrics) -> Self {
        Self {
            source: Source::File(path),
            metrics,
        }
    }

    /// One for each, which lives for `lifetime` from when it is made.
    #[must_use]
    pub fn minted(mint: Box<dyn Mint>, lifetime: Duration, metrics: CredentialMetrics) -> Self {
        let minted = Minted {
            mint,
            lifetime,
            stocks: Mutex::default(),
            calls: Semaphore::new(AT_ONCE),
            metrics: metrics.clone(),
        };
        Self {
            source: Source::Minted(Arc::new(minted)),
            metrics,
        }
    }

    /// One for a machine.
    ///
    /// # Errors
    /// Why there is none now. Never says anything of one.
    pub async fn take(&self, joining: &Joining) -> Result<Bytes, String> {
        let began = Instant::now();
        let taken = match &self.source {
            Source::File(path) => read(path),
            Source::Minted(minted) => minted.take(joining).await,
        };
        self.metrics.handed_out(taken.is_ok(), began.elapsed());
        taken
    }

    /// As long as the next one: a placeholder, for an answer of which only the length is sent.
    ///
    /// # Errors
    /// As [`Credentials::take`].
    pub async fn placeholder(&self, joining: &Joining) -> Result<Bytes, String> {
        let length = match &self.source {
            Source::File(path) => read(path)?.len(),
            Source::Minted(minted) => minted.length(joining).await?,
        };
        Ok(Bytes::from(vec![b'x'; length]))
    }
}

fn read(path: &PathBuf) -> Result<Bytes, String> {
    let bytes =
        fs::read(path).map_err(|error| format!("the token in {} cannot be read: {error}", path.display()))?;
    checked(bytes.trim_ascii()).ok_or_else(|| format!("{} holds no bearer token", path.display()))
}

/// What may stand in a kubeconfig and in a URL as it is: the characters of bearer tokens.
fn checked(token: &[u8]) -> Option<Bytes> {
    let is_sound = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._".contains(byte);
    let is_token = !token.is_empty() && token.len() <= MAX_BYTES && token.iter().all(is_sound);
    is_token.then(|| Bytes::copy_from_slice(token))
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

// === impl Minted ===

impl Minted {
    async fn take(self: &Arc<Self>, joining: &Joining) -> Result<Bytes, String> {
        let stocked = self.with(joining, |stock| {
            stock.forget(self.lifetime / STALE_AFTER);
            stock.ready.pop_front()
        });
        self.replenish(joining);
        match stocked {
            Some((token, _)) => Ok(token),
            None => self.make(joining).await,
        }
    }

    async fn length(self: &Arc<Self>, joining: &Joining) -> Result<usize, String> {
        if let Some(length) = self.with(joining, |stock| stock.length) {
            return Ok(length);
        }
        // Nothing is handed out, so it is there for who comes next.
        let token = self.make(joining).await?;
        let length = token.len();
        self.with(joining, |stock| stock.ready.push_back((token, Instant::now())));
        Ok(length)
    }

    async fn make(&self, joining: &Joining) -> Result<Bytes, String> {
        let _call = self.calls.acquire().await.map_err(|error| error.to_string())?;
        let minted = timeout(PATIENCE, self.mint.mint(joining)).await;
        let token = minted
            .unwrap_or_else(|_| Err(format!("the API server has not answered in {PATIENCE:?}")))
            .and_then(|token| {
                checked(&token)
                    .ok_or_else(|| "the API server gave something that is no bearer token".to_owned())
            });
        self.metrics.minted(token.is_ok());
        let token = token?;
        self.with(joining, |stock| stock.length = Some(token.len()));
        Ok(token)
    }

    /// Makes more when there are few, aside from the request that has found out.
    fn replenish(self: &Arc<Self>, joining: &Joining) {
        let missing = self.with(joining, |stock| {
            let there = stock.ready.len() + stock.coming;
            let missing = if there < LOW { STOCK - there } else { 0 };
            stock.coming += missing;
            missing
        });
        for _ in 0..missing {
            let (minted, joining) = (self.clone(), joining.clone());
            tokio::spawn(async move {
                let made = minted.make(&joining).await;
                minted.with(&joining, |stock| {
                    stock.coming -= 1;
                    match made {
                        Ok(token) => stock.ready.push_back((token, Instant::now())),
                        // Who needs one asks for it, and says so when there is none.
                        Err(error) => tracing::debug!(error, "No credential ahead"),
                    }
                });
            });
        }
    }

    fn with<T>(&self, joining: &Joining, work: impl FnOnce(&mut Stock) -> T) -> T {
        let mut stocks = self.stocks.lock().unwrap_or_else(PoisonError::into_inner);
        work(stocks.entry(joining.clone()).or_default())
    }
}

impl Stock {
    fn forget(&mut self, after: Duration) {
        self.ready.retain(|(_, made)| made.elapsed() < after);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::FutureExt as _;
    use machineconfig::join::Proof;

    use super::*;

    /// Numbers what it makes, until it is told to fail.
    #[derive(Default)]
    struct Numbers {
        made: AtomicUsize,
        fails: bool,
    }

    impl Mint for Arc<Numbers> {
        fn mint<'a>(&'a self, joining: &'a Joining) -> BoxFuture<'a, Result<Bytes, String>> {
            let n = self.made.fetch_add(1, Ordering::SeqCst);
            let token = format!("{}.{n:08}", joining.pool);
            let result = if self.fails {
                Err("refused".to_owned())
            } else {
                Ok(token.into())
            };
            async move {
                tokio::task::yield_now().await;
                result
            }
            .boxed()
        }
    }

    fn joining(pool: &str) -> Joining {
        Joining {
            pool: pool.to_owned(),
            proof: Proof::None,
        }
    }

    fn credentials(numbers: &Arc<Numbers>, lifetime: Duration) -> Credentials {
        Credentials::minted(Box::new(numbers.clone()), lifetime, CredentialMetrics::default())
    }

    async fn settle() {
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn everybody_gets_another_one_and_later_ones_do_not_wait() {
        let numbers = Arc::<Numbers>::default();
        let credentials = credentials(&numbers, Duration::from_mins(15));
        settle().await;
        assert_eq!(numbers.made.load(Ordering::SeqCst), 0, "nobody has come");
        let mut seen = vec![credentials.take(&joining("worker")).await.unwrap()];
        settle().await;
        for _ in 0..LOW {
            // It is there before anything is waited for.
            let taken = credentials.take(&joining("worker")).now_or_never();
            seen.push(taken.expect("there is a stock").unwrap());
        }
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), LOW + 1);
        settle().await;
        let made = numbers.made.load(Ordering::SeqCst);
        settle().await;
        assert_eq!(
            made,
            numbers.made.load(Ordering::SeqCst),
            "none is made for nobody"
        );
        let other = credentials.take(&joining("master")).await.unwrap();
        assert!(other.starts_with(b"master."), "pools have their own");
    }

    #[tokio::test]
    async fn old_ones_are_not_handed_out() {
        let numbers = Arc::<Numbers>::default();
        let credentials = credentials(&numbers, Duration::ZERO);
        let first = credentials.take(&joining("worker")).await.unwrap();
        settle().await;
        let made = numbers.made.load(Ordering::SeqCst);
        let second = credentials.take(&joining("worker")).await.unwrap();
        assert_ne!(first, second);
        assert!(second >= format!("worker.{made:08}"));
    }

    #[tokio::test]
    async fn a_placeholder_is_as_long_and_takes_none() {
        let numbers = Arc::<Numbers>::default();
        let credentials = credentials(&numbers, Duration::from_mins(15));
        let placeholder = credentials.placeholder(&joining("worker")).await.unwrap();
        assert_eq!(placeholder.len(), "worker.00000000".len());
        credentials.placeholder(&joining("worker")).await.unwrap();
        assert_eq!(numbers.made.load(Ordering::SeqCst), 1);
        let token = credentials.take(&joining("worker")).await.unwrap();
        assert_eq!(token, "worker.00000000");
    }

    #[tokio::test]
    async fn a_failure_is_told_to_who_asks() {
        let numbers = Arc::new(Numbers {
            fails: true,
            ..Numbers::default()
        });
        let credentials = credentials(&numbers, Duration::from_mins(15));
        assert_eq!(
            credentials.take(&joining("worker")).await,
            Err("refused".to_owned())
        );
        settle().await;
        assert_eq!(
            credentials.take(&joining("worker")).await,
            Err("refused".to_owned())
        );
    }

    #[tokio::test]
    async fn a_file_is_read_each_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let credentials = Credentials::from_file(path.clone(), CredentialMetrics::default());
        assert!(
            credentials
                .take(&joining("worker"))
                .await
                .unwrap_err()
                .contains("cannot be read")
        );
        for token in ["abc.def", "ghi-_"] {
            fs::write(&path, format!("{token}\n")).unwrap();
            assert_eq!(credentials.take(&joining("worker")).await.unwrap(), token);
            assert_eq!(
                credentials.placeholder(&joining("worker")).await.unwrap().len(),
                token.len()
            );
        }
        for bad in ["", "a b", "a\"b", "a%b"] {
            fs::write(&path, bad).unwrap();
            let error = credentials.take(&joining("worker")).await.unwrap_err();
            assert!(error.ends_with("holds no bearer token"), "{error}");
        }
    }
}
