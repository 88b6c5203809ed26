//! The forms that values may have: text in, typed value out.

use super::alarm::{self, Shape};
use super::scan::{quoted, shown};
use super::{Deliver, LogTarget, SoftBounce, Tls, Users};
use mail::Address;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// What is wrong with a value, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) message: String,
    pub(super) remedy: String,
}

type Read<T> = Result<T, Fault>;

fn fault<T>(message: impl Into<String>, remedy: impl Into<String>) -> Read<T> {
    Err(Fault {
        message: message.into(),
        remedy: remedy.into(),
    })
}

/// A host or domain name: labels of letters, digits and `-` (RFC 1123 section 2.1).
pub(super) fn host_name(text: &str) -> Read<String> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if text.len() <= 253 && text.split('.').all(label) {
        return Ok(text.to_owned());
    }
    let remedy =
        "write a name such as mail.example.com; a name with other letters in its ASCII form (xn--)";
    fault(format!("{} is not a host name", quoted(text)), remedy)
}

/// A host name or an IP address, without brackets and port.
pub(super) fn host(text: &str) -> Read<String> {
    if text.parse::<IpAddr>().is_ok() {
        return Ok(text.to_owned());
    }
    host_name(text).map_err(|_| Fault {
        message: format!("{} is neither a host name nor an IP address", quoted(text)),
        remedy: "write the name alone, such as smtp.example.com, without brackets; the port has a \
                 setting of its own"
            .to_owned(),
    })
}

/// Whether a host is this host, by name or address.
pub(super) fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// A mail address that names its domain.
pub(super) fn mail_address(text: &str) -> Read<Address> {
    let has_domain = text
        .rsplit_once('@')
        .is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty());
    match Address::parse(text) {
        Ok(address) if has_domain => Ok(address),
        _ => fault(
            format!("{} is not a full mail address", quoted(text)),
            "write one address such as admin@example.com, without a name and without < >",
        ),
    }
}

/// A login name.
pub(super) fn login(text: &str) -> Read<String> {
    let fine = |b: u8| b.is_ascii_alphanumeric() || b"._-$".contains(&b);
    if (1..=64).contains(&text.len()) && text.bytes().all(fine) && !text.starts_with('-') {
        return Ok(text.to_owned());
    }
    fault(
        format!("{} is not a login name", quoted(text)),
        "write the name as /etc/passwd has it",
    )
}

/// `any`, or login names.
pub(super) fn users(text: &str) -> Read<Users> {
    if text == "any" {
        return Ok(Users::Any);
    }
    Ok(Users::List(
        list(text).into_iter().map(login).collect::<Read<_>>()?,
    ))
}

/// Bytes: at least 1 KiB, at most 2 GiB.
pub(super) fn size(text: &str) -> Read<u64> {
    let remedy = "write a number of bytes, or a number with K, M or G, such as 25M";
    let (digits, unit) = number_and_unit(text);
    let factor: u64 = match unit {
        "" => 1,
        "K" | "k" => 1 << 10,
        "M" | "m" => 1 << 20,
        "G" | "g" => 1 << 30,
        _ => return fault(format!("{} is not a size", quoted(text)), remedy),
    };
    match digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(factor))
    {
        Some(bytes @ 0x400..=0x8000_0000) => Ok(bytes),
        None if digits.is_empty() => fault(format!("{} is not a size", quoted(text)), remedy),
        _ => fault(
            format!("{} is out of range", quoted(text)),
            "write a size from 1K to 2G",
        ),
    }
}

/// A span of time: at least a second, at most 100 days.
pub(super) fn duration(text: &str) -> Read<Duration> {
    let remedy = "write a number and a unit: s, m, h, d or w, such as 5d";
    let (digits, unit) = number_and_unit(text);
    let seconds: u64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 604_800,
        "" if !digits.is_empty() => return fault(format!("{} has no unit", quoted(text)), remedy),
        _ => return fault(format!("{} is not a span of time", quoted(text)), remedy),
    };
    match digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(seconds))
    {
        Some(total @ 1..=8_640_000) => Ok(Duration::from_secs(total)),
        None if digits.is_empty() => {
            fault(format!("{} is not a span of time", quoted(text)), remedy)
        }
        _ => fault(
            format!("{} is out of range", quoted(text)),
            "write a span from 1s to 100d",
        ),
    }
}

fn number_and_unit(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    (&text[..end], text[end..].trim_start())
}

/// A number of sessions, 1 to 100.
pub(super) fn connections(text: &str) -> Read<u32> {
    whole(text, 1..=100, "write a number from 1 to 100")
}

/// A TCP port.
pub(super) fn port(text: &str) -> Read<u16> {
    whole(text, 1..=65_535, "write a port number, such as 587")
}

/// A whole number within a range.
pub(super) fn whole<T: std::str::FromStr + PartialOrd>(
    text: &str,
    range: std::ops::RangeInclusive<T>,
    remedy: &str,
) -> Read<T> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    match text.parse::<T>() {
        Ok(number) if digits && range.contains(&number) => Ok(number),
        _ if digits => fault(format!("{} is out of range", quoted(text)), remedy),
        _ => fault(format!("{} is not a number", quoted(text)), remedy),
    }
}

/// `soft_bounce`.
pub(super) fn soft_bounce(text: &str) -> Read<SoftBounce> {
    let words = [
        ("smart", SoftBounce::Smart),
        ("yes", SoftBounce::Yes),
        ("no", SoftBounce::No),
    ];
    word(text, &words)
}

/// `tls`.
pub(super) fn tls(text: &str) -> Read<Tls> {
    word(
        text,
        &[
            ("starttls", Tls::StartTls),
            ("implicit", Tls::Implicit),
            ("none", Tls::None),
        ],
    )
}

fn word<T: Copy>(text: &str, words: &[(&str, T)]) -> Read<T> {
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
        return Ok(*value);
    }
    let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    fault(
        format!("{} is not one of the values", quoted(text)),
        format!("write one of {}", known.join(", ")),
    )
}

/// `heartbeat`: whether there is a daily letter.
pub(super) fn daily(text: &str) -> Read<bool> {
    word(text, &[("none", false), ("daily", true)])
}

/// `webhook`.
pub(super) fn shape(text: &str) -> Read<Shape> {
    let words = [
        ("slack", Shape::Slack),
        ("teams", Shape::Teams),
        ("pagerduty", Shape::PagerDuty),
        ("plain", Shape::Plain),
    ];
    word(text, &words)
}

/// A web address that may be posted to. It is not repeated: it may be a secret after all.
pub(super) fn url(text: &str) -> Read<String> {
    if alarm::is_url(text) {
        return Ok(text.to_owned());
    }
    fault(
        "this is not a web address that alarms can be posted to",
        "write one that begins with https://, without a user in it; http:// only for this host",
    )
}

/// `deliver`.
pub(super) fn deliver(text: &str) -> Read<Deliver> {
    match text.strip_prefix("capture:").map(str::trim) {
        None if text == "smtp" => Ok(Deliver::Smtp),
        Some(folder) if !folder.is_empty() => Ok(Deliver::Capture(PathBuf::from(folder))),
        _ => fault(
            format!("{} is not a way of delivery", quoted(text)),
            "write smtp, or capture: and a folder, such as capture:/var/tmp/mail",
        ),
    }
}

/// A file or folder. Relative ones are made absolute later.
pub(super) fn path(text: &str) -> Read<PathBuf> {
    if text.starts_with("~/") {
        return fault("a path cannot begin with ~", "write the whole path");
    }
    Ok(PathBuf::from(text))
}

/// `none`, or a file.
pub(super) fn path_or_none(text: &str) -> Read<Option<PathBuf>> {
    if text == "none" {
        return Ok(None);
    }
    path(text).map(Some)
}

/// Text, as it is.
pub(super) fn text(text: &str) -> Read<String> {
    Ok(text.to_owned())
}

/// The name of a systemd credential: a file name.
pub(super) fn credential_name(text: &str) -> Read<String> {
    let fine = |b: u8| b.is_ascii_graphic() && b != b'/' && b != b':';
    if text.len() <= 255 && text.bytes().all(fine) && text != "." && text != ".." {
        return Ok(text.to_owned());
    }
    fault(
        format!("{} is not the name of a credential", quoted(text)),
        "write the name that stands before the colon in LoadCredential=",
    )
}

/// `none`, or addresses with ports.
pub(super) fn sockets(text: &str) -> Read<Vec<SocketAddr>> {
    if text == "none" {
        return Ok(Vec::new());
    }
    let mut sockets = Vec::new();
    for item in list(text) {
        match item.parse::<SocketAddr>() {
            Ok(socket) if socket.port() == 0 => {
                return fault(
                    format!("{} has no port", quoted(item)),
                    "write a port from 1 to 65535",
                );
            }
            Ok(socket) if sockets.contains(&socket) => {
                return fault(
                    format!("{} stands there twice", quoted(item)),
                    "remove one of them",
                );
            }
            Ok(socket) => sockets.push(socket),
            Err(_) => {
                return fault(
                    format!("{} is not an address with a port", quoted(item)),
                    "write addresses such as 127.0.0.1:25 or [::1]:25, with commas between them, \
                     or none",
                );
            }
        }
    }
    Ok(sockets)
}

/// A program name for the log.
pub(super) fn log_name(text: &str) -> Read<String> {
    let fine = |b: u8| b.is_ascii_alphanumeric() || b"._-/".contains(&b);
    if (1..=32).contains(&text.len()) && text.bytes().all(fine) {
        return Ok(text.to_owned());
    }
    fault(
        format!("{} cannot be a program name in the log", quoted(text)),
        "write at most 32 letters, digits, . _ - and /",
    )
}

/// `to` of `[log]`.
pub(super) fn log_target(text: &str) -> Read<LogTarget> {
    match text {
        "syslog" => Ok(LogTarget::Syslog),
        "stderr" => Ok(LogTarget::Stderr),
        file if file.contains('/') => path(file).map(LogTarget::File),
        _ => fault(
            format!("{} is not a place for the log", quoted(text)),
            format!(
                "write syslog, stderr, or a file such as /var/log/{}",
                shown(text)
            ),
        ),
    }
}

pub(super) fn list(text: &str) -> Vec<&str> {
    text.split([',', ' ', '\t'])
        .filter(|item| !item.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("1024", 1024),
            ("25M", 26_214_400),
            ("2g", 1 << 31),
            ("64 k", 65_536),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in [
            "",
            "M",
            "25MB",
            "-1",
            "1.5M",
            "0",
            "1000",
            "3G",
            "99999999999999999999",
        ] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations() {
        for (text, seconds) in [("5d", 432_000), ("1 h", 3600), ("90s", 90), ("1w", 604_800)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in [
            "",
            "5",
            "d",
            "5 days",
            "0s",
            "101d",
            "-5d",
            "5D",
            "99999999999999999999d",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn names_and_hosts() {
        for good in ["localhost", "smtp.example.com", "a-b.c"] {
            assert_eq!(host_name(good), Ok(good.to_owned()));
        }
        for bad in [
            "",
            "a..b",
            "-a.b",
            "a-.b",
            "[smtp.example.com]",
            "smtp.example.com:587",
            "bücher.de",
            "a b",
        ] {
            assert!(host(bad).is_err(), "{bad}");
        }
        for good in ["192.0.2.1", "2001:db8::1"] {
            assert!(host(good).is_ok() && !is_loopback(good), "{good}");
        }
        assert!(is_loopback("LocalHost") && is_loopback("127.0.0.53") && is_loopback("::1"));
    }

    #[test]
    fn lists() {
        assert_eq!(users("any"), Ok(Users::Any));
        assert_eq!(
            users("root, www-data"),
            Ok(Users::List(vec!["root".into(), "www-data".into()]))
        );
        assert!(users("root, any one!").is_err());
        assert_eq!(sockets("none"), Ok(vec![]));
        assert_eq!(
            sockets("127.0.0.1:25, [::1]:25").map(|all| all.len()),
            Ok(2)
        );
        for bad in [
            "25",
            "localhost:25",
            "127.0.0.1",
            "127.0.0.1:0",
            "127.0.0.1:25,127.0.0.1:25",
        ] {
            assert!(sockets(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn words_and_targets() {
        assert_eq!(
            deliver("capture:/tmp/m"),
            Ok(Deliver::Capture("/tmp/m".into()))
        );
        assert!(deliver("capture:").is_err() && deliver("maildir").is_err());
        assert_eq!(
            log_target("/var/log/x"),
            Ok(LogTarget::File("/var/log/x".into()))
        );
        assert!(log_target("journal").is_err());
        assert_eq!(path_or_none("none"), Ok(None));
        assert_eq!(path_or_none("./none"), Ok(Some("./none".into())));
        assert!(path_or_none("~/aliases").is_err());
        assert!(tls("STARTTLS").is_err() && soft_bounce("maybe").is_err());
        assert!(mail_address("root").is_err() && mail_address("@x").is_err());
        assert!(mail_address("admin@example.com").is_ok());
        assert!(credential_name("a/b").is_err() && credential_name("main").is_ok());
    }
}
