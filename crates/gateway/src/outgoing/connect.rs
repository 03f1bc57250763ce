//! A connection to a host outside, made to an address that was checked.
//!
//! The host is checked before its addresses are asked for, so that no question leaves for a name that is not
//! allowed; then each address is checked, and the connection is made to that very address. A name whose
//! records change in between leads nowhere else.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use durabo_model::egress::EgressRules;
use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use durabo_model::limits::OutgoingLimits;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::rustls::pki_types::ServerName;

use super::deadline::Deadline;
use super::lookup::Lookups;
use super::target::Target;
use super::trust::Trust;
use crate::sockets;

/// What an address gets at least of the time to connect, while there is any: a host with very many addresses is
/// not given up at each of them before it could answer.
const ADDRESS_TIME_MIN: Duration = Duration::from_secs(1);

/// A connection, encrypted or not.
pub trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// Makes connections.
pub struct Connector {
    lookups: Lookups,
    trust: Trust,
    timeout: Duration,
}

impl Connector {
    /// Connections within `limits`.
    pub fn new(lookups: Lookups, trust: Trust, limits: &OutgoingLimits) -> Self {
        Self { lookups, trust, timeout: limits.connect_timeout }
    }

    /// Connects to where `target` leads, if `rules` allow it.
    pub async fn connect(
        &self,
        target: &Target,
        rules: &EgressRules,
    ) -> Result<Box<dyn Connection>, Failure> {
        let deadline = Deadline::after(self.timeout);
        let stream = self.connect_plain(target, rules, deadline).await?;
        if !target.is_https {
            return Ok(Box::new(stream));
        }
        let tls = timeout_at(deadline.at, self.trust.connector()).await;
        let tls =
            tls.map_err(|_| deadline.missed(target, "the list of trusted certificates was not read"))??;
        let name = ServerName::try_from(target.host.clone());
        let name = name.map_err(|error| target.failed(&format!("no certificate can be for it: {error}")))?;
        let encrypted = timeout_at(deadline.at, tls.connect(name, stream)).await;
        let encrypted = encrypted.map_err(|_| deadline.missed(target, "no encryption was agreed on"))?;
        Ok(Box::new(encrypted.map_err(|error| target.failed(&error))?))
    }

    async fn connect_plain(
        &self,
        target: &Target,
        rules: &EgressRules,
        deadline: Deadline,
    ) -> Result<TcpStream, Failure> {
        let Target { host, port, .. } = target;
        if !rules.allows_host(host, *port) {
            return Err(denied(target));
        }
        let addresses = match host.parse::<IpAddr>() {
            Ok(address) => vec![SocketAddr::new(address, *port)],
            Err(_) => self.lookups.find(target, deadline).await?,
        };
        let is_allowed = |address: &&SocketAddr| rules.allows_address(host, *port, address.ip());
        let allowed: Vec<_> = addresses.iter().filter(is_allowed).copied().collect();
        match (addresses.first(), allowed.is_empty()) {
            (None, _) => return Err(target.failed(&"the name has no address")),
            (Some(first), true) => return Err(denied_address(target, first.ip())),
            _ => {}
        }
        match first_reached(&allowed, deadline.at, TcpStream::connect).await {
            Some(Ok(stream)) => {
                sockets::prepare(&stream).map(|()| stream).map_err(|error| target.failed(&error))
            }
            Some(Err(error)) => Err(target.failed(&error)),
            None => Err(deadline.missed(target, "no connection")),
        }
    }
}

/// Connects to the first address that can be reached, one after the other. Each gets an equal part of the time that
/// is left, so that one that does not answer costs only its part. If none can be reached, what came of the last one;
/// `None` if it did not answer in time.
async fn first_reached<S, F: Future<Output = io::Result<S>>>(
    addresses: &[SocketAddr],
    deadline: Instant,
    connect: impl Fn(SocketAddr) -> F,
) -> Option<io::Result<S>> {
    let mut outcome = None;
    for (index, address) in addresses.iter().enumerate() {
        let now = Instant::now();
        let left = deadline.saturating_duration_since(now);
        let part = left / u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
        let part = part.max(ADDRESS_TIME_MIN).min(left);
        outcome = timeout_at(now + part, connect(*address)).await.ok();
        if matches!(outcome, Some(Ok(_))) {
            break;
        }
    }
    outcome
}

fn denied(target: &Target) -> Failure {
    let shown = target.shown();
    let text = format!(
        "`{shown}` is not allowed by the egress rules of the app; add it to `egress.allow` in `durabo.toml` and \
         deploy again"
    );
    Failure::new(ErrorCode::EgressDenied, text)
}

fn denied_address(target: &Target, address: IpAddr) -> Failure {
    let text = format!(
        "`{}` has the address {address}, which is not public; if requests may go there, add the address to \
         `egress.allow` in `durabo.toml` and deploy again",
        target.shown()
    );
    Failure::new(ErrorCode::EgressDenied, text)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    const TIME: Duration = Duration::from_secs(12);

    fn addresses(ports: impl IntoIterator<Item = u16>) -> Vec<SocketAddr> {
        ports.into_iter().map(|port| SocketAddr::from(([127, 0, 0, 1], port))).collect()
    }

    /// Port 1 never answers, port 2 refuses, all others are reached. Also which were tried.
    async fn reach(ports: impl IntoIterator<Item = u16>) -> (Option<io::Result<u16>>, Vec<u16>) {
        let tried = Mutex::new(Vec::new());
        let connect = async |address: SocketAddr| {
            tried.lock().expect("lock").push(address.port());
            match address.port() {
                1 => std::future::pending().await,
                2 => Err(io::ErrorKind::ConnectionRefused.into()),
                port => Ok(port),
            }
        };
        let reached = first_reached(&addresses(ports), Instant::now() + TIME, connect).await;
        (reached, tried.into_inner().expect("lock"))
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_does_not_answer_leaves_time_for_the_others() {
        let begun = Instant::now();
        let (reached, tried) = reach([1, 2, 1, 7, 8]).await;
        assert_eq!((reached.and_then(Result::ok), tried), (Some(7), vec![1, 2, 1, 7]));
        // A fifth of all, and a third of what was left then.
        assert_eq!(begun.elapsed().as_millis(), 2400 + 3200);
    }

    #[tokio::test(start_paused = true)]
    async fn all_addresses_together_get_the_time_of_one() {
        for ports in [vec![1], vec![1; 3], vec![1; 100]] {
            let begun = Instant::now();
            assert!(reach(ports).await.0.is_none());
            assert_eq!(begun.elapsed().as_secs(), TIME.as_secs());
        }
        let (reached, _) = reach([1, 2]).await;
        assert!(reached.is_some_and(|reached| reached.is_err()), "the last one's own error is told");
    }
}
