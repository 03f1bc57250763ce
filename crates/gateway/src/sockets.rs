//! Settings of TCP connections, of clients and to the outside.
//!
//! Small writes leave at once. And little is handed to the system ahead of what the other side takes: it would hold
//! megabytes, and take more only when a third of them had gone, so that a slow reader looked like one that has
//! stopped reading.

use std::io;

use tokio::net::TcpStream;

/// What the system may hold of a connection and not have sent, in bytes. It takes more when half of this has gone,
/// so whoever takes that much within a time limit is seen to get on. Smaller ones would cost throughput.
#[cfg(target_os = "linux")]
const UNSENT_BYTES_MAX: u32 = 128 * 1024;

/// Prepares a new connection.
pub fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    #[cfg(target_os = "linux")]
    socket2::SockRef::from(stream).set_tcp_notsent_lowat(UNSENT_BYTES_MAX)?;
    Ok(())
}
