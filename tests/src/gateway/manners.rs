//! What a client may not do: breaches of RFC 5321 and its extensions, noted in words.

use super::session::Session;
use super::transaction::Transaction;

/// Longest command line with its CRLF: 512 (RFC 5321) and what SIZE, BODY, DSN, SMTPUTF8 and AUTH may add.
const COMMAND_LIMIT: usize = 512 + 1024;

impl Session<'_> {
    pub(super) fn check_line(&self, raw: &[u8]) {
        if raw.len() > COMMAND_LIMIT {
            self.violation(&format!("command line of {} bytes", raw.len()));
        }
        let body = raw.strip_suffix(b"\r\n");
        if body.is_none_or(|b| b.iter().any(|&c| c < b' ' || c == 127)) {
            self.violation(&format!(
                "control character or bare LF in command {:?}",
                String::from_utf8_lossy(raw)
            ));
        }
    }

    pub(super) fn check_parameters(&self, parameters: &[String]) {
        for parameter in parameters {
            let name = parameter
                .split('=')
                .next()
                .unwrap_or_default()
                .to_ascii_uppercase();
            let extension = match name.as_str() {
                "BODY" => "8BITMIME",
                "RET" | "ENVID" | "NOTIFY" | "ORCPT" => "DSN",
                other => other,
            };
            if !self.setup.offers(extension) {
                self.violation(&format!(
                    "parameter {parameter} where {extension} was not offered"
                ));
            }
        }
    }

    pub(super) fn check_content(&self, transaction: &Transaction) {
        let eight_bit = transaction.content.iter().any(|b| !b.is_ascii());
        let declared = transaction
            .parameters
            .iter()
            .any(|p| p.eq_ignore_ascii_case("BODY=8BITMIME"));
        if eight_bit && !declared && self.setup.offers("8BITMIME") {
            self.violation("8-bit content without BODY=8BITMIME");
        }
        if !transaction.content.ends_with(b"\r\n") {
            self.violation("content does not end with CRLF");
        }
    }
}

/// `MAIL FROM:<a@b> X=1` → `a@b` and `X=1`. A `>` inside a quoted local part is minded.
pub(super) fn path(line: &str, prefix: &str) -> Option<(String, Vec<String>)> {
    let head = line.get(..prefix.len())?;
    if !head.eq_ignore_ascii_case(prefix) {
        return None;
    }
    let rest = &line[prefix.len()..];
    let (mut quoted, mut escaped) = (false, false);
    let end = rest.char_indices().find_map(|(at, c)| {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            '>' if !quoted => return Some(at),
            _ => {}
        }
        None
    })?;
    let tail = &rest[end + 1..];
    if !(tail.is_empty() || tail.starts_with(' ')) {
        return None;
    }
    Some((
        rest[..end].to_owned(),
        tail.split_ascii_whitespace().map(str::to_owned).collect(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_is_cut_at_the_closing_bracket_outside_quotes() {
        let (address, parameters) = path(
            "mail from:<\"a>b\"@c.test> SIZE=3 BODY=8BITMIME",
            "MAIL FROM:<",
        )
        .unwrap();
        assert_eq!(address, "\"a>b\"@c.test");
        assert_eq!(parameters, ["SIZE=3", "BODY=8BITMIME"]);
        assert!(path("MAIL FROM: <a@b>", "MAIL FROM:<").is_none());
        assert!(path("MAIL FROM:<a@b>SIZE=3", "MAIL FROM:<").is_none());
    }
}
