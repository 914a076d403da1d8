//! A connection must say in time which version of HTTP it speaks.
//!
//! hyper waits for that without a limit, and its own timeouts begin only then: connections that say nothing would
//! take all places for nothing.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// How a client begins that speaks HTTP/2 (RFC 9113 section 3.4); everything else is HTTP/1.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A socket whose reading fails if its peer has not shown its version in time.
pub(super) struct Prompt<S> {
    socket: S,
    /// Until the version is known.
    deadline: Option<Pin<Box<Sleep>>>,
    /// How much of the preface has come.
    matched: usize,
}

impl<S> Prompt<S> {
    pub(super) fn new(socket: S, patience: Duration) -> Self {
        Self { socket, deadline: Some(Box::pin(sleep(patience))), matched: 0 }
    }

    fn saw(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if PREFACE.get(self.matched) != Some(byte) {
                self.deadline = None;
                return;
            }
            self.matched += 1;
        }
        if self.matched == PREFACE.len() {
            self.deadline = None;
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Prompt<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(deadline) = &mut self.deadline
            && deadline.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let before = into.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(cx, into))?;
        if self.deadline.is_some() {
            self.saw(into.filled().get(before..).unwrap_or_default());
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Prompt<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::{PREFACE, Prompt};

    const PATIENCE: Duration = Duration::from_millis(400);

    #[tokio::test]
    async fn who_does_not_say_what_it_speaks_is_hung_up_on() {
        for said in [b"".as_slice(), b"PRI * HT"] {
            let (mut client, server) = duplex(64);
            client.write_all(said).await.unwrap();
            let mut heard = Vec::new();
            let error = Prompt::new(server, PATIENCE).read_to_end(&mut heard).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut);
            assert!(said.starts_with(&heard));
        }
    }

    #[tokio::test]
    async fn who_has_said_it_has_all_the_time() {
        for said in [b"G".as_slice(), b"PRINT", PREFACE] {
            let (mut client, server) = duplex(64);
            client.write_all(said).await.unwrap();
            let mut socket = Prompt::new(server, PATIENCE);
            let mut heard = vec![0; said.len()];
            socket.read_exact(&mut heard).await.unwrap();
            let later = async {
                tokio::time::sleep(PATIENCE * 3).await;
                client.write_all(b"more").await.unwrap();
            };
            let mut more = [0; 4];
            let (read, ()) = tokio::join!(socket.read_exact(&mut more), later);
            read.unwrap();
            assert_eq!(&more, b"more");
        }
    }
}
