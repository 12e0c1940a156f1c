//! A stream that gives up on a peer that does not take what is written.

use std::io;
use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// What a peer has to take in one period, so that reading a byte now and then is not enough to hold a connection.
const MIN_PROGRESS: usize = 32 << 10;

/// A stream whose writes fail with [`io::ErrorKind::TimedOut`] when, from the moment a write has to wait, a
/// period goes by in which the peer takes less than [`MIN_PROGRESS`].
pub(super) struct StallGuard<S> {
    stream: S,
    period: Duration,
    /// Made when a write has to wait for the first time: most connections never need it.
    timer: Option<Pin<Box<Sleep>>>,
    /// Whether the timer counts: from the first write that waits to the next flush that ends.
    armed: bool,
    /// Bytes taken in the present period.
    taken: usize,
}

impl<S> StallGuard<S> {
    pub(super) fn new(stream: S, period: Duration) -> Self {
        Self {
            stream,
            period,
            timer: None,
            armed: false,
            taken: 0,
        }
    }

    /// The stream that is guarded.
    pub(super) fn get_ref(&self) -> &S {
        &self.stream
    }

    /// Counts what was taken, or checks the time while the peer takes nothing.
    fn watch(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(n)) => self.taken += n,
            Poll::Ready(Err(_)) => {}
            Poll::Pending => {
                let period = self.period;
                let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(period)));
                if !self.armed {
                    timer.as_mut().reset(Instant::now() + period);
                    self.armed = true;
                    self.taken = 0;
                }
                while timer.as_mut().poll(cx).is_ready() {
                    if self.taken < MIN_PROGRESS {
                        return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                    }
                    timer.as_mut().reset(Instant::now() + period);
                    self.taken = 0;
                }
            }
        }
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for StallGuard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for StallGuard<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.watch(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        if flushed.is_ready() {
            self.armed = false;
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const PERIOD: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_is_given_up() {
        let (ours, _theirs) = duplex(1024);
        let began = Instant::now();
        let error = StallGuard::new(ours, PERIOD)
            .write_all(&[0; 4096])
            .await
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(began.elapsed(), PERIOD);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_trickles_is_given_up() {
        let (ours, mut theirs) = duplex(1024);
        tokio::spawn(async move {
            while theirs.read_u8().await.is_ok() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        let error = StallGuard::new(ours, PERIOD)
            .write_all(&vec![0; 1 << 20])
            .await
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_peer_gets_all_and_an_idle_one_is_no_stall() {
        let (ours, mut theirs) = duplex(MIN_PROGRESS);
        let reader = tokio::spawn(async move {
            let (mut all, mut part) = (0, vec![0; MIN_PROGRESS]);
            loop {
                tokio::time::sleep(PERIOD / 2).await;
                match theirs.read(&mut part).await {
                    Ok(0) | Err(_) => return all,
                    Ok(n) => all += n,
                }
            }
        });
        let mut guarded = StallGuard::new(ours, PERIOD);
        for _ in 0..2 {
            guarded.write_all(&vec![0; 8 * MIN_PROGRESS]).await.unwrap();
            guarded.flush().await.unwrap();
            tokio::time::sleep(10 * PERIOD).await;
        }
        drop(guarded);
        assert_eq!(reader.await.unwrap(), 16 * MIN_PROGRESS);
    }
}
