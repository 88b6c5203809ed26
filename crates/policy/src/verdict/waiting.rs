//! How long a gateway wants to be left alone, by its own words.

use std::time::Duration;

/// How long a text asks to wait: `try again in 92 seconds`. At most a day.
pub(super) fn retry_after(text: &str) -> Option<Duration> {
    let text = text.to_ascii_lowercase();
    let (_, rest) = text
        .split_once("try again in ")
        .or_else(|| text.split_once("retry after "))?;
    let rest = rest.trim_start_matches("about ");
    let end = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    let number: u64 = rest[..end].parse().ok()?;
    let unit = rest[end..].trim_start();
    let seconds = match unit.chars().next() {
        Some('m') if !unit.starts_with("ms") && !unit.starts_with("mil") => 60,
        Some('h') => 3600,
        Some('s') => 1,
        _ => return None,
    };
    Some(Duration::from_secs(
        number.saturating_mul(seconds).min(86_400),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits() {
        let cases = [
            ("Too many messages. Try again in 92 seconds.", Some(92)),
            ("try again in 5 min", Some(300)),
            ("try again in about 2 hours", Some(7200)),
            ("try again in 30s", Some(30)),
            ("try again in 99999999999999999 h", Some(86_400)),
            ("try again in 5 ms", None),
            ("try again in a while", None),
            ("try again later", None),
        ];
        for (text, seconds) in cases {
            assert_eq!(
                retry_after(text),
                seconds.map(Duration::from_secs),
                "{text}"
            );
        }
    }
}
