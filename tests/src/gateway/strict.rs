//! A provider that takes no liberties: mail from one domain only, seven bits, no line above the limit of RFC 5322.
//! What it does not like it refuses for good, as such providers do.

use super::session::Session;
use super::transaction::Transaction;

/// Longest line without its CRLF (RFC 5322 2.1.1).
const LINE_LIMIT: usize = 998;

impl Session<'_> {
    /// Why a strict gateway refuses MAIL; none if it does not.
    pub(super) fn objection_to_sender(&self, sender: &str) -> Option<&'static str> {
        let domain = self.setup.strict_domain.as_deref()?;
        (!is_in(sender, domain)).then_some("550 5.7.1 Sender address rejected: not your domain")
    }

    /// Why a strict gateway refuses the content; none if it does not.
    pub(super) fn objection_to_content(&self, transaction: &Transaction) -> Option<&'static str> {
        let domain = self.setup.strict_domain.as_deref()?;
        let content = &transaction.content;
        let mut lines = content
            .split(|&b| b == b'\n')
            .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        if content.iter().any(|b| !b.is_ascii() || *b == 0) {
            Some("554 5.6.3 Message rejected: 8-bit content")
        } else if lines.any(|line| line.len() > LINE_LIMIT) {
            Some("554 5.6.0 Message rejected: line too long")
        } else if !is_from(content, domain) {
            Some("550 5.7.1 Message rejected: From header is not your domain")
        } else {
            None
        }
    }
}

/// Exactly one From field, with exactly one address, and that in `domain`.
fn is_from(content: &[u8], domain: &str) -> bool {
    let text = String::from_utf8_lossy(content);
    let header = text.split("\r\n\r\n").next().unwrap_or_default();
    let unfolded = header.replace("\r\n ", " ").replace("\r\n\t", " ");
    let mut values = unfolded.split("\r\n").filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim_end()
            .eq_ignore_ascii_case("From")
            .then_some(value)
    });
    let (Some(value), None) = (values.next(), values.next()) else {
        return false;
    };
    // A display name in quotes may hold anything; there is none behind the address.
    let bare: String = value.split('"').step_by(2).collect();
    let address = bare.rsplit('<').next().unwrap_or_default();
    bare.matches('@').count() == 1 && is_in(address.trim().trim_end_matches('>'), domain)
}

fn is_in(address: &str, domain: &str) -> bool {
    let parts = address.rsplit_once('@');
    parts.is_some_and(|(local, of)| !local.is_empty() && of.eq_ignore_ascii_case(domain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_from_with_one_address_of_the_domain() {
        let is_good =
            |header: &str| is_from(format!("{header}\r\n\r\nFrom: x\r\n").as_bytes(), "d.test");
        for good in [
            "From: a@d.test",
            "from : \"b@c.test via us\"\r\n <a@D.test>",
            "X: y\r\nFrom: A B <a@d.test>",
        ] {
            assert!(is_good(good), "{good}");
        }
        let bad = [
            "X: y",
            "From: a@c.test",
            "From: a@d.test\r\nFrom: a@d.test",
            "From: a@d.test, b@c.test",
            "From: <>",
            "From: @d.test",
        ];
        for bad in bad {
            assert!(!is_good(bad), "{bad}");
        }
    }
}
