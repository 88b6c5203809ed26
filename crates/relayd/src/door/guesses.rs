//! How long a client waits for the answer to a wrong password: 1 s, and twice as long with each that
//! follows, up to 16 s. It counts for the client's address and not for its session, so that
//! connecting anew does not help.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// What the first wrong password costs.
const FIRST: Duration = Duration::from_secs(1);
/// What one costs at most.
const MOST: Duration = Duration::from_secs(16);
/// Who was right, or was silent for so long, begins anew.
const FORGOTTEN: Duration = Duration::from_secs(15 * 60);
/// Addresses that are remembered; beyond it the one that was silent longest is forgotten.
const ADDRESSES: usize = 4096;

/// Who tried wrong passwords of late.
#[derive(Default)]
pub(crate) struct Guesses {
    seen: Mutex<HashMap<IpAddr, Guess>>,
}

#[derive(Clone, Copy)]
struct Guess {
    wait: Duration,
    at: Instant,
}

impl Guesses {
    /// A client was wrong: how long it waits for its answer.
    pub(super) fn wrong(&self, client: IpAddr, now: Instant) -> Duration {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|_, guess| now.saturating_duration_since(guess.at) < FORGOTTEN);
        let key = network(client);
        let wait = match seen.get(&key) {
            Some(before) => (before.wait * 2).min(MOST),
            None => FIRST,
        };
        if seen.len() >= ADDRESSES && !seen.contains_key(&key) {
            let oldest = seen.iter().min_by_key(|(_, guess)| guess.at);
            if let Some(oldest) = oldest.map(|(address, _)| *address) {
                seen.remove(&oldest);
            }
        }
        seen.insert(key, Guess { wait, at: now });
        wait
    }

    /// A client was right.
    pub(super) fn right(&self, client: IpAddr) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.remove(&network(client));
    }
}

/// One host has a whole network of IPv6 addresses, which begin with the same 64 bits.
fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(six) => Ipv6Addr::from_bits(six.to_bits() >> 64 << 64).into(),
        four => four,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn each_wrong_password_costs_twice_the_one_before() {
        let (guesses, now) = (Guesses::default(), Instant::now());
        let client = address("192.0.2.1");
        let waits: Vec<u64> = (0..7)
            .map(|_| guesses.wrong(client, now).as_secs())
            .collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 16, 16]);
        assert_eq!(guesses.wrong(address("192.0.2.2"), now), FIRST);
        guesses.right(client);
        assert_eq!(guesses.wrong(client, now), FIRST);
        assert_eq!(guesses.wrong(client, now + FORGOTTEN), FIRST);
    }

    #[test]
    fn an_ipv6_host_is_its_network() {
        let (guesses, now) = (Guesses::default(), Instant::now());
        guesses.wrong(address("2001:db8::1"), now);
        assert_eq!(guesses.wrong(address("2001:db8::ffff:2"), now), FIRST * 2);
        assert_eq!(guesses.wrong(address("2001:db8:0:1::1"), now), FIRST);
        guesses.wrong(address("::ffff:192.0.2.1"), now);
        assert_eq!(guesses.wrong(address("192.0.2.1"), now), FIRST * 2);
    }

    #[test]
    fn no_more_are_remembered_than_there_is_room_for() {
        let (guesses, begun) = (Guesses::default(), Instant::now());
        let count = u32::try_from(ADDRESSES).unwrap() + 10;
        for number in 0..count {
            let now = begun + Duration::from_millis(u64::from(number));
            guesses.wrong(std::net::Ipv4Addr::from_bits(number).into(), now);
        }
        let end = begun + Duration::from_secs(60);
        assert_eq!(guesses.seen.lock().unwrap().len(), ADDRESSES);
        assert_eq!(guesses.wrong(address("0.0.0.0"), end), FIRST);
        let last = std::net::Ipv4Addr::from_bits(count - 1).into();
        assert_eq!(guesses.wrong(last, end), FIRST * 2);
    }
}
