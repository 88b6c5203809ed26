//! Finding the name that a mistyped one was probably meant to be.

/// The candidate closest to `typed`, if one is close enough to be worth suggesting: at most two
/// edits away, or a third of its length. Upper and lower case, `-` and `_` count as equal.
pub(super) fn nearest<'a>(
    typed: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let typed = folded(typed);
    let scored = candidates
        .into_iter()
        .map(|name| (distance(&typed, &folded(name)), name));
    let (distance, name) = scored.min_by_key(|(distance, _)| *distance)?;
    (distance <= (name.len() / 3).clamp(1, 3)).then_some(name)
}

/// Longer words are cut: nothing that long is near a name of ours, and the work stays bounded.
const LONGEST: usize = 40;

fn folded(text: &str) -> Vec<char> {
    let fold = |c: char| {
        if c == '-' {
            '_'
        } else {
            c.to_ascii_lowercase()
        }
    };
    text.chars().take(LONGEST).map(fold).collect()
}

/// Levenshtein's distance, with a swap of two neighbours counted as one edit.
fn distance(a: &[char], b: &[char]) -> usize {
    let width = b.len() + 1;
    let mut before: Vec<usize> = vec![0; width];
    let mut last: Vec<usize> = (0..width).collect();
    for (i, &x) in a.iter().enumerate() {
        let mut row = vec![i + 1; width];
        for (j, &y) in b.iter().enumerate() {
            let replaced = last[j] + usize::from(x != y);
            row[j + 1] = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            let swapped = i > 0 && j > 0 && x == b[j - 1] && a[i - 1] == y;
            if swapped {
                row[j + 1] = row[j + 1].min(before[j - 1] + 1);
            }
        }
        before = last;
        last = row;
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_what_was_meant_and_nothing_far_off() {
        let names = ["host", "hostname", "message_size_limit", "tls", "tls_name"];
        let cases = [
            ("hostnmae", Some("hostname")),
            ("Message-Size-Limit", Some("message_size_limit")),
            ("mesage_size_limt", Some("message_size_limit")),
            ("tlsname", Some("tls_name")),
            ("tsl", Some("tls")),
            ("relayhost", None),
            ("", None),
        ];
        for (typed, expected) in cases {
            assert_eq!(nearest(typed, names), expected, "{typed}");
        }
    }
}
