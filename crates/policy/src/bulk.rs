//! Whether a message is bulk, by what it says of itself. Bulk has no claim to what is kept back of a
//! quota (`reserve`).

use mail::header::HeaderBlock;

/// Whether a header block says that its message is bulk: Precedence of `bulk`, `list` or `junk`, a
/// List-Id (RFC 2919) or List-Unsubscribe (RFC 2369), or an Auto-Submitted other than `no` (RFC 3834
/// section 5).
#[must_use]
pub fn is_bulk(block: HeaderBlock<'_>) -> bool {
    let first_word = |name: &str| {
        let text = block.get(name)?.text();
        let word = text.trim().split([';', ' ', '\t', '(']).next();
        word.map(str::to_ascii_lowercase)
    };
    let precedence = first_word("Precedence");
    let automatic = first_word("Auto-Submitted");
    precedence.is_some_and(|word| ["bulk", "list", "junk"].contains(&word.as_str()))
        || block.get("List-Id").is_some()
        || block.get("List-Unsubscribe").is_some()
        || automatic.is_some_and(|word| word != "no")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_says_so_is_bulk() {
        for (field, bulk) in [
            ("Precedence: bulk", true),
            ("precedence:  LIST ", true),
            ("Precedence: junk", true),
            ("Precedence: first-class", false),
            ("List-Id: News <news.example.com>", true),
            ("List-Unsubscribe: <mailto:u@example.com>", true),
            ("Auto-Submitted: auto-generated", true),
            ("Auto-Submitted: auto-replied (rejected)", true),
            ("Auto-Submitted: no", false),
            ("Auto-Submitted: No ; x=y", false),
            ("Subject: Precedence: bulk", false),
        ] {
            let block = format!("From: a@b.example\r\n{field}\r\n");
            assert_eq!(is_bulk(HeaderBlock::new(block.as_bytes())), bulk, "{field}");
        }
    }
}
