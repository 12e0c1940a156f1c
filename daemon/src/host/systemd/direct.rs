//! The wire to systemd's own socket, made to speak D-Bus as zbus reads it.
//!
//! systemd signs each signal it sends there with `org.freedesktop.systemd1`, though a sender has to be a unique name and only a bus
//! gives those out. zbus drops a connection with such a message on it, and systemd sends signals to whoever is connected, asked or
//! not: while a host boots, nearly always. So the name is made a unique one of the same length on its way in.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use zbus::connection::socket::{ReadHalf, Socket, Split, WriteHalf};
use zbus::export::async_trait::async_trait;

/// What comes before the name in a message of this machine's byte order: the code of the field, the signature of its value (a
/// string) and the length of the name.
const BEFORE: [u8; 8] = {
    let [a, b, c, d] = 24u32.to_ne_bytes();
    [7, 1, b's', 0, a, b, c, d]
};
/// The first letter of the name.
const WRONG: u8 = b'o';
/// What a unique name begins with.
const RIGHT: u8 = b':';

/// A connected socket with systemd at its other end. No file descriptor comes over it.
#[derive(Debug)]
pub(super) struct Direct(pub(super) UnixStream);

impl Socket for Direct {
    type ReadHalf = Reader;
    type WriteHalf = Writer;

    fn split(self) -> Split<Reader, Writer> {
        let (read, write) = self.0.into_split();
        Split::new(
            Reader {
                stream: read,
                senders: Senders::default(),
            },
            Writer(write),
        )
    }
}

/// What comes from systemd.
#[derive(Debug)]
pub(super) struct Reader {
    stream: OwnedReadHalf,
    senders: Senders,
}

#[async_trait]
impl ReadHalf for Reader {
    async fn recvmsg(&mut self, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        let read = self.stream.read(buffer).await?;
        self.senders.make_unique(&mut buffer[..read]);
        Ok((read, Vec::new()))
    }
}

/// What goes to systemd.
#[derive(Debug)]
pub(super) struct Writer(OwnedWriteHalf);

#[async_trait]
impl WriteHalf for Writer {
    async fn sendmsg(&mut self, buffer: &[u8], _fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
        self.0.write(buffer).await
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.0.flush().await
    }

    async fn close(&mut self) -> io::Result<()> {
        self.0.shutdown().await
    }
}

/// Finds the names in a stream that comes in pieces of any length.
#[derive(Debug, Default)]
struct Senders {
    /// How much of [`BEFORE`] the last bytes are.
    seen: usize,
}

impl Senders {
    fn make_unique(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            if self.seen == BEFORE.len() {
                if *byte == WRONG {
                    *byte = RIGHT;
                }
                self.seen = 0;
            }
            // The first byte is found nowhere else in what is sought, so there is no shorter match to go back to.
            self.seen = match self.seen {
                seen if *byte == BEFORE[seen] => seen + 1,
                _ => usize::from(*byte == BEFORE[0]),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_place_of_a_unique_one_is_made_one_wherever_the_stream_is_cut() {
        let field = |name: &str| [&BEFORE[..], name.as_bytes(), b"\0"].concat();
        let sent = [
            b"OK 1234\r\nl\x04\x07\x01".to_vec(),
            field("org.freedesktop.systemd1"),
            field(":rg.another"),
            b"o".to_vec(),
        ]
        .concat();
        let wanted = [
            b"OK 1234\r\nl\x04\x07\x01".to_vec(),
            field(":rg.freedesktop.systemd1"),
            field(":rg.another"),
            b"o".to_vec(),
        ]
        .concat();
        for length in 1..=sent.len() {
            let mut senders = Senders::default();
            let mut received = sent.clone();
            for piece in received.chunks_mut(length) {
                senders.make_unique(piece);
            }
            assert_eq!(received, wanted, "in pieces of {length}");
        }
    }
}
