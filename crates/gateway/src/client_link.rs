//! A client's connection, watched while its request is answered.
//!
//! A client may shut down its sending side and still wait for the answer, so that is no end of the request
//! (B-55); but it may as well have gone. So the end of what it sends is noticed at once, also behind a little
//! that the server has not read, and told to whoever answers, as a hint; only a connection that is broken
//! ends the request. A client that takes nothing of what is written to it for too long is cut.

use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

/// What is read ahead of the server at most, in bytes: enough to see whether there is anything.
const AHEAD_BYTES_MAX: usize = 1024;

/// The connection as the server reads and writes it. Clones are the same one, used by one task at a time: the wakers
/// of the runtime's registration are those of the task that used it last.
#[derive(Debug)]
pub struct ClientLink<I>(Arc<Mutex<Link<I>>>);

impl<I> Clone for ClientLink<I> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

#[derive(Debug)]
struct Link<I> {
    io: I,
    /// Read by the watch and not yet by the server.
    ahead: Vec<u8>,
    has_ended: bool,
    write_timeout: Duration,
    /// Ends when the client has taken nothing for too long.
    stalled: Option<Pin<Box<Sleep>>>,
}

/// Whether a write failed for no other reason than that the client took nothing for too long: the connection is whole,
/// and reading it finds no end.
pub fn is_stall(error: &io::Error) -> bool {
    // The system says the same of a connection that is broken, and has a number for it.
    error.kind() == io::ErrorKind::TimedOut && error.raw_os_error().is_none()
}

/// What a client does while its request is answered.
#[derive(Debug)]
pub enum Sign {
    /// It sends on; that was read, and the server finds it when it reads.
    Sends,
    /// It sends nothing more: it has gone, or only waits for the answer.
    Ended,
    /// The connection is broken.
    Broken(io::Error),
}

impl<I: AsyncRead + Unpin> ClientLink<I> {
    /// Watches `io`.
    pub fn new(io: I, write_timeout: Duration) -> Self {
        let link = Link { io, ahead: Vec::new(), has_ended: false, write_timeout, stalled: None };
        Self(Arc::new(Mutex::new(link)))
    }

    /// Ready with a sign of the client: its end, again and again, or that it sends on, for each part of that. Pending
    /// while it is there and says nothing, or has sent so much that its end would not be seen behind it.
    pub fn poll_sign(&self, cx: &mut Context<'_>) -> Poll<Sign> {
        let mut guard = self.lock();
        let link = &mut *guard;
        if link.has_ended {
            return Poll::Ready(Sign::Ended);
        }
        let room_bytes = AHEAD_BYTES_MAX - link.ahead.len();
        if room_bytes == 0 {
            // It sends on, and the server will come for that.
            return Poll::Pending;
        }
        let mut room = [0; AHEAD_BYTES_MAX];
        let mut read = ReadBuf::new(&mut room[..room_bytes]);
        if let Err(error) = ready!(Pin::new(&mut link.io).poll_read(cx, &mut read)) {
            return Poll::Ready(Sign::Broken(error));
        }
        if read.filled().is_empty() {
            link.has_ended = true;
            return Poll::Ready(Sign::Ended);
        }
        link.ahead.extend_from_slice(read.filled());
        Poll::Ready(Sign::Sends)
    }
}

impl ClientLink<TcpStream> {
    /// From now on the runtime in which this is called watches the connection, in place of the one by which it came.
    /// Nobody else may wait for it any more. After an error it stays where it was.
    pub fn move_here(&self) -> io::Result<()> {
        let mut link = self.lock();
        let same = link.io.as_fd().try_clone_to_owned()?;
        link.io = TcpStream::from_std(same.into())?;
        // It goes by the other runtime's clock, and was for what the server had to write.
        link.stalled = None;
        Ok(())
    }
}

impl<I> ClientLink<I> {
    /// Whether something was to be written that the client has not taken.
    pub fn is_writing(&self) -> bool {
        self.lock().stalled.is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Link<I>> {
        self.0.lock().expect("BUG: a connection's lock is never held over a panic")
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for ClientLink<I> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut guard = self.lock();
        let link = &mut *guard;
        if !link.ahead.is_empty() {
            let bytes = link.ahead.len().min(buf.remaining());
            buf.put_slice(&link.ahead[..bytes]);
            link.ahead.drain(..bytes);
            return Poll::Ready(Ok(()));
        }
        if link.has_ended {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut link.io).poll_read(cx, buf)
    }
}

impl<I: AsyncWrite + Unpin> Link<I> {
    /// The outcome of a write; a client that takes nothing for too long makes it fail.
    fn watch<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(self.write_timeout)));
        ready!(stalled.as_mut().poll(cx));
        let text = format!("the client took nothing for {} s", self.write_timeout.as_secs_f64());
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, text)))
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for ClientLink<I> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let mut link = self.lock();
        let written = Pin::new(&mut link.io).poll_write(cx, buf);
        link.watch(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut link = self.lock();
        let written = Pin::new(&mut link.io).poll_write_vectored(cx, bufs);
        link.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.lock().io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut link = self.lock();
        let flushed = Pin::new(&mut link.io).poll_flush(cx);
        link.watch(cx, flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.lock().io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use futures::FutureExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::runtime::Builder;
    use tokio::time::{Instant, timeout};

    use super::*;

    const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

    /// How long a peer is waited for that is there.
    const ANSWER_MAX: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn what_was_read_ahead_is_not_lost() {
        let (mut client, io) = duplex(64);
        let mut link = ClientLink::new(io, WRITE_TIMEOUT);
        let watch = link.clone();
        let sign = || poll_fn(|cx| watch.poll_sign(cx)).now_or_never();
        assert!(sign().is_none());
        client.write_all(b"abc").await.expect("written");
        assert!(matches!(sign(), Some(Sign::Sends)));
        assert!(sign().is_none());
        client.write_all(b"de").await.expect("written");
        let mut first = [0; 2];
        link.read_exact(&mut first).await.expect("read");
        drop(client);
        assert!(matches!(sign(), Some(Sign::Sends)));
        assert!(matches!(sign(), Some(Sign::Ended)), "noticed though the server has not read all");
        let mut rest = Vec::new();
        link.read_to_end(&mut rest).await.expect("read");
        assert_eq!((&first, &rest[..]), (b"ab", &b"cde"[..]));
        assert!(matches!(sign(), Some(Sign::Ended)));
    }

    #[tokio::test]
    async fn no_more_is_read_ahead_than_is_needed_to_notice_an_end() {
        let (mut client, io) = duplex(4 * AHEAD_BYTES_MAX);
        let mut link = ClientLink::new(io, WRITE_TIMEOUT);
        let watch = link.clone();
        let sign = || poll_fn(|cx| watch.poll_sign(cx)).now_or_never();
        client.write_all(&[b'x'; 2 * AHEAD_BYTES_MAX]).await.expect("written");
        assert!(matches!(sign(), Some(Sign::Sends)));
        assert!(sign().is_none());
        assert_eq!(watch.lock().ahead.len(), AHEAD_BYTES_MAX);
        drop(client);
        let mut all = Vec::new();
        link.read_to_end(&mut all).await.expect("read");
        assert_eq!(all.len(), 2 * AHEAD_BYTES_MAX);
    }

    #[tokio::test]
    async fn the_end_of_what_a_client_sends_is_noticed() {
        let (client, io) = duplex(64);
        let mut link = ClientLink::new(io, WRITE_TIMEOUT);
        let watch = link.clone();
        drop(client);
        assert!(matches!(poll_fn(|cx| watch.poll_sign(cx)).await, Sign::Ended));
        assert_eq!(link.read(&mut [0; 1]).await.expect("the end"), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_cut_and_one_that_takes_little_is_not() {
        let (mut client, io) = duplex(4);
        let mut link = ClientLink::new(io, WRITE_TIMEOUT);
        link.write_all(b"abcd").await.expect("room");
        for _ in 0..3 {
            let slow = async {
                sleep(WRITE_TIMEOUT / 2).await;
                client.read_exact(&mut [0; 1]).await.expect("read")
            };
            let (written, _) = futures::join!(link.write_all(b"e"), slow);
            written.expect("written");
        }
        let begun = Instant::now();
        let error = link.write_all(b"f").await.expect_err("cut");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(is_stall(&error));
        assert!(begun.elapsed() >= WRITE_TIMEOUT);
    }

    #[test]
    fn a_connection_that_was_moved_does_not_need_the_runtime_by_which_it_came() {
        let runtime = || Builder::new_current_thread().enable_all().build().expect("a runtime");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let mut client =
            std::net::TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
        let (io, _) = listener.accept().expect("accepted");
        io.set_nonblocking(true).expect("set");
        client.set_read_timeout(Some(ANSWER_MAX)).expect("set");
        let (first, second) = (runtime(), runtime());
        let mut link = first.block_on(async {
            let io = TcpStream::from_std(io).expect("registered");
            ClientLink::new(io, WRITE_TIMEOUT)
        });
        second.block_on(async { link.move_here().expect("moved") });
        drop(first);
        second.block_on(async {
            let mut read = [0; 4];
            assert!(link.read(&mut read).now_or_never().is_none());
            io::Write::write_all(&mut client, b"ping").expect("sent");
            timeout(ANSWER_MAX, link.read_exact(&mut read)).await.expect("in time").expect("read");
            link.write_all(&read).await.expect("written");
        });
        let mut answer = [0; 4];
        io::Read::read_exact(&mut client, &mut answer).expect("answered");
        assert_eq!(&answer, b"ping");
        drop(link);
        assert_eq!(io::Read::read(&mut client, &mut answer).expect("ended"), 0, "nothing of it is left open");
    }
}
