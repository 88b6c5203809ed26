//! What a server says it can do: the lines of its EHLO reply (RFC 5321 section 4.1.1.1).

use crate::reply::Reply;
use crate::sasl::Mechanism;

/// The extensions that one EHLO reply offered. The default offers nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// PIPELINING (RFC 2920).
    pub pipelining: bool,
    /// SIZE with a limit above zero (RFC 1870), in bytes.
    pub size: Option<u64>,
    /// SIZE was there, with or without a limit: the `SIZE=` parameter is understood.
    pub size_offered: bool,
    /// 8BITMIME (RFC 6152).
    pub eightbitmime: bool,
    /// SMTPUTF8 (RFC 6531).
    pub smtputf8: bool,
    /// DSN (RFC 3461).
    pub dsn: bool,
    /// STARTTLS (RFC 3207).
    pub starttls: bool,
    /// ENHANCEDSTATUSCODES (RFC 2034).
    pub enhanced: bool,
    /// CHUNKING (RFC 3030).
    pub chunking: bool,
    /// AUTH (RFC 4954): the mechanisms in upper case, in the server's order, known here or not;
    /// the old `AUTH=` form counts too.
    pub auth: Vec<String>,
    /// LIMITS RCPTMAX (RFC 9422): most recipients in one transaction.
    pub max_recipients: Option<u32>,
    /// LIMITS MAILMAX (RFC 9422): most transactions in one session.
    pub max_transactions: Option<u32>,
}

/// Most mechanisms that are remembered of one reply.
const MAX_MECHANISMS: usize = 32;

impl Capabilities {
    /// Reads an EHLO reply. The first line is the server's name; keywords count in any case, ones
    /// that are not known are passed over.
    #[must_use]
    pub fn from_reply(reply: &Reply) -> Self {
        let mut found = Self::default();
        for line in reply.lines.iter().skip(1) {
            found.read_line(line);
        }
        found
    }

    /// Whether AUTH with this mechanism is offered.
    #[must_use]
    pub fn offers(&self, mechanism: Mechanism) -> bool {
        self.auth.iter().any(|name| name == mechanism.name())
    }

    fn read_line(&mut self, line: &str) {
        let mut words = line.split([' ', '\t', '=']).filter(|word| !word.is_empty());
        let keyword = words.next().unwrap_or_default().to_ascii_uppercase();
        match keyword.as_str() {
            "PIPELINING" => self.pipelining = true,
            "SIZE" => {
                self.size_offered = true;
                self.size = words
                    .next()
                    .and_then(|size| size.parse().ok())
                    .filter(|&size| size > 0);
            }
            "8BITMIME" => self.eightbitmime = true,
            "SMTPUTF8" => self.smtputf8 = true,
            "DSN" => self.dsn = true,
            "STARTTLS" => self.starttls = true,
            "ENHANCEDSTATUSCODES" => self.enhanced = true,
            "CHUNKING" => self.chunking = true,
            "AUTH" => words.for_each(|name| self.add_mechanism(name)),
            "LIMITS" => self.read_limits(line),
            _ => {}
        }
    }

    fn add_mechanism(&mut self, name: &str) {
        let name = name.to_ascii_uppercase();
        if self.auth.len() < MAX_MECHANISMS && !self.auth.contains(&name) {
            self.auth.push(name);
        }
    }

    fn read_limits(&mut self, line: &str) {
        for word in line.split([' ', '\t']) {
            let Some((name, value)) = word.split_once('=') else {
                continue;
            };
            let value = value.parse().ok().filter(|&limit| limit > 0);
            if name.eq_ignore_ascii_case("RCPTMAX") {
                self.max_recipients = value;
            } else if name.eq_ignore_ascii_case("MAILMAX") {
                self.max_transactions = value;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Capabilities {
        let lines = lines.iter().map(|line| (*line).to_owned()).collect();
        Capabilities::from_reply(&Reply {
            code: 250,
            status: None,
            lines,
        })
    }

    #[test]
    fn reads_what_gateways_say() {
        // Amazon SES ends its list with "Ok".
        let found = read(&["8BITMIME", "STARTTLS", "AUTH PLAIN LOGIN", "Ok"]);
        assert!(found.starttls && !found.eightbitmime && !found.size_offered);
        assert!(found.offers(Mechanism::Plain) && !found.offers(Mechanism::CramMd5));
        let found = read(&[
            "gw",
            "size 1000",
            "auth=login",
            "AUTH LOGIN cram-md5",
            "dsn",
        ]);
        assert_eq!((found.size, found.dsn), (Some(1000), true));
        assert_eq!(found.auth, ["LOGIN", "CRAM-MD5"]);
        let found = read(&[
            "gw",
            "SIZE 0",
            "LIMITS MAILMAX=100 RCPTMAX=150 X=1",
            "CHUNKING",
        ]);
        assert_eq!((found.size, found.size_offered), (None, true));
        assert_eq!(
            (found.max_transactions, found.max_recipients),
            (Some(100), Some(150))
        );
        assert!(found.chunking);
        assert_eq!(read(&["gw", "", "=", "SIZE x", "AUTH"]).size, None);
    }
}
