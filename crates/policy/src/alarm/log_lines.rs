//! Lines of a mail log that somebody should see, Postfix's or ours.

/// Whether a line tells of trouble: a warning, an error, or a recipient whose mail was not sent.
#[must_use]
pub fn is_notable(line: &str) -> bool {
    let severe = ["warning:", "error:", "fatal:", "panic:"];
    let outcome = line.split("status=").skip(1);
    let not_sent = |rest: &str| !rest.starts_with("sent");
    // The severity stands before what is quoted from elsewhere.
    line.split_whitespace()
        .any(|word| severe.contains(&word.to_ascii_lowercase().as_str()))
        || outcome.into_iter().next().is_some_and(not_sent)
}

#[cfg(test)]
mod tests {
    use super::is_notable;

    #[test]
    fn trouble_is_told_from_the_normal_course() {
        for notable in [
            "Nov 24 03:00:00 h postfix/smtp[1]: 4ABC: to=<a@b>, relay=none, delay=1, dsn=4.4.1, status=deferred (timeout)",
            "Nov 24 03:00:00 h postfix/smtp[1]: 4ABC: to=<a@b>, dsn=5.1.1, status=bounced (no)",
            "Nov 24 03:00:00 h relayd/smtp[1]: 4ABC: to=<a@b>, dsn=4.0.0, status=SOFTBOUNCE (no)",
            "Nov 24 03:00:00 h postfix/smtpd[1]: warning: dict_nis_init: NIS domain name not set",
            "Nov 24 03:00:00 h relayd[1]: error: disk",
            "Nov 24 03:00:00 h postfix/master[1]: fatal: bind 0.0.0.0 port 25",
            "Nov 24 03:00:00 h postfix/cleanup[1]: panic: help",
        ] {
            assert!(is_notable(notable), "{notable}");
        }
        for fine in [
            "",
            "Nov 24 03:00:00 h postfix/qmgr[1]: 4ABC: removed",
            "Nov 24 03:00:00 h postfix/smtp[1]: 4ABC: to=<a@b>, dsn=2.0.0, status=sent (250 ok)",
            "Nov 24 03:00:00 h postfix/smtp[1]: 4ABC: to=<a@b>, status=sent (250 status=fine)",
            "Nov 24 03:00:00 h postfix/smtpd[1]: connect from errors.example[192.0.2.1]",
        ] {
            assert!(!is_notable(fine), "{fine}");
        }
    }
}
