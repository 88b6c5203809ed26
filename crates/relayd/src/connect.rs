//! Opens a TCP connection to a gateway's name: resolves it, and tries its addresses side by side as
//! RFC 8305 ("Happy Eyeballs") says, so that a broken IPv6 path costs a quarter of a second.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use policy::log::Server;
use policy::verdict;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// How long one address is tried alone before the next one joins (RFC 8305 section 5).
const STAGGER: Duration = Duration::from_millis(250);
/// How long all addresses together may take. Postfix's `smtp_connect_timeout`.
const TIMEOUT: Duration = Duration::from_secs(30);
/// No gateway has more addresses worth trying.
const MOST_ADDRESSES: usize = 16;

/// Why no connection was made, in the words that Postfix's log uses.
#[derive(Debug)]
pub(crate) struct ConnectError {
    /// `connect to gw.example[192.0.2.1]:587: Connection refused`, or the like.
    pub(crate) reason: String,
    /// The last address that was tried and the system's words; `None` if there was none to try.
    pub(crate) refused: Option<(Server, String)>,
}

/// Connects to `host:port`. Gives the stream and the address that answered first.
pub(crate) async fn connect(host: &str, port: u16) -> Result<(TcpStream, IpAddr), ConnectError> {
    let addresses = resolve(host, port).await?;
    let first = addresses[0];
    match tokio::time::timeout(TIMEOUT, race(host, addresses)).await {
        Ok(result) => result,
        Err(_) => Err(failure(host, first, "Connection timed out")),
    }
}

async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, ConnectError> {
    let unresolved = |why: String| {
        let reason = verdict::unknown_host(host, &why).trouble.reason;
        ConnectError {
            reason,
            refused: None,
        }
    };
    let found = tokio::time::timeout(TIMEOUT, tokio::net::lookup_host((host, port)))
        .await
        .map_err(|_| unresolved("the resolver did not answer".to_owned()))?
        .map_err(|error| unresolved(lookup_text(&error)))?;
    let addresses = interleave(found.take(MOST_ADDRESSES).collect());
    if addresses.is_empty() {
        return Err(unresolved("No address associated with hostname".to_owned()));
    }
    Ok(addresses)
}

/// The resolver's own words without the prefix that Rust's standard library puts before them.
fn lookup_text(error: &io::Error) -> String {
    let text = error.to_string();
    let plain = text.strip_prefix("failed to lookup address information: ");
    plain.unwrap_or(&text).to_owned()
}

/// Alternates the address families and keeps the resolver's order within each (RFC 8305 section 4).
fn interleave(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let Some(first) = addresses.first() else {
        return addresses;
    };
    let lead_is_v6 = first.is_ipv6();
    let (lead, other): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|a| a.is_ipv6() == lead_is_v6);
    let mut mixed = Vec::with_capacity(lead.len() + other.len());
    let (mut lead, mut other) = (lead.into_iter(), other.into_iter());
    loop {
        let before = mixed.len();
        mixed.extend(lead.next());
        mixed.extend(other.next());
        if mixed.len() == before {
            return mixed;
        }
    }
}

async fn race(host: &str, addresses: Vec<SocketAddr>) -> Result<(TcpStream, IpAddr), ConnectError> {
    let mut attempts = JoinSet::new();
    let mut waiting = addresses.into_iter();
    let mut last_failure = None;
    loop {
        if let Some(address) = waiting.next() {
            attempts.spawn(async move { (address, TcpStream::connect(address).await) });
        }
        // While addresses are left, one that is silent is overtaken after the stagger.
        let finished = if waiting.len() > 0 {
            tokio::time::timeout(STAGGER, attempts.join_next())
                .await
                .unwrap_or_default()
        } else {
            attempts.join_next().await
        };
        match finished {
            Some(Ok((address, Ok(stream)))) => {
                // A lost option costs speed only: the final dot would wait for a delayed ACK.
                let _ = stream.set_nodelay(true);
                return Ok((stream, address.ip()));
            }
            Some(Ok((address, Err(error)))) => {
                last_failure = Some(failure(host, address, &words(&error)))
            }
            Some(Err(_)) => {}
            None if waiting.len() > 0 => {}
            None => break,
        }
    }
    Err(last_failure.unwrap_or_else(|| ConnectError {
        reason: format!("connect to {host}: no address could be tried"),
        refused: None,
    }))
}

fn failure(host: &str, address: SocketAddr, words: &str) -> ConnectError {
    let server = Server::new(host, address);
    let reason = verdict::connect_failed(&server, words).trouble.reason;
    ConnectError {
        reason,
        refused: Some((server, words.to_owned())),
    }
}

/// `Connection refused` instead of `Connection refused (os error 111)`: Postfix's form, which log
/// readers match.
fn words(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_alternate_from_the_resolvers_first() {
        let parse = |list: &[&str]| {
            list.iter()
                .map(|a| a.parse().unwrap())
                .collect::<Vec<SocketAddr>>()
        };
        let mixed = interleave(parse(&["[::1]:1", "[::2]:1", "[::3]:1", "10.0.0.1:1"]));
        assert_eq!(
            mixed,
            parse(&["[::1]:1", "10.0.0.1:1", "[::2]:1", "[::3]:1"])
        );
    }

    #[tokio::test]
    async fn a_refused_port_is_reported_in_postfix_words() {
        let free = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let error = connect("127.0.0.1", free.port()).await.unwrap_err();
        assert_eq!(
            error.reason,
            format!(
                "connect to 127.0.0.1[127.0.0.1]:{}: Connection refused",
                free.port()
            )
        );
    }
}
