//! Patterns of words: how the table of replies says what stands in a text.
//!
//! A pattern is text in lower case. In it `*` stands for up to 60 characters, `#` for a number, a
//! leading `^` for the beginning, and `{a,b}` for one of several. Looking for one takes time in
//! proportion to the text, whatever the pattern.

/// How far apart the words around a `*` may stand, in bytes. Words farther apart do not belong to
/// one statement.
const FARTHEST: usize = 60;
/// The most patterns that one with `{a,b}` may stand for.
const MOST_ALTERNATIVES: usize = 100;

/// One pattern, ready for use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    anchored: bool,
    /// What must follow each other; at least one, none empty.
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    /// Whether it may stand a little later than the part before.
    loose: bool,
    what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Text(String),
    Number,
}

impl Pattern {
    /// Reads patterns with `|` between them; what one with `{a,b}` stands for counts by itself.
    ///
    /// # Errors
    /// What is wrong, as a clause.
    pub(super) fn read(text: &str) -> Result<Vec<Self>, String> {
        let mut patterns = Vec::new();
        for alternative in text.split('|') {
            for plain in expanded(alternative.trim())? {
                patterns.push(Self::plain(&plain)?);
            }
        }
        Ok(patterns)
    }

    fn plain(text: &str) -> Result<Self, String> {
        let (anchored, text) = match text.strip_prefix('^') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let mut parts = Vec::new();
        for (place, piece) in text.split('*').enumerate() {
            add_parts(&mut parts, piece.trim(), place > 0);
        }
        if parts.is_empty() {
            return Err("a pattern is empty".to_owned());
        }
        Ok(Self { anchored, parts })
    }

    /// Whether it stands in a text, which is in lower case.
    pub(super) fn is_in(&self, text: &str) -> bool {
        // Most patterns end here, and the search for a word is fast.
        let has = |part: &Part| match &part.what {
            What::Text(word) => text.contains(word.as_str()),
            What::Number => true,
        };
        self.parts.iter().all(has) && self.follow_each_other(text.as_bytes())
    }

    fn follow_each_other(&self, text: &[u8]) -> bool {
        let mut ends = vec![0];
        for (place, part) in self.parts.iter().enumerate() {
            let first = place == 0;
            let reach = match (first, self.anchored, part.loose) {
                (true, false, _) => None,
                (true, true, false) | (false, _, false) => Some(0),
                (_, _, true) => Some(FARTHEST),
            };
            ends = part.ends(text, &ends, reach);
            if ends.is_empty() {
                return false;
            }
        }
        true
    }
}

/// Splits a piece without `*` into texts and numbers. The first of them is loose if a `*` stood
/// before the piece.
fn add_parts(parts: &mut Vec<Part>, piece: &str, after_gap: bool) {
    let mut loose = after_gap;
    for (place, text) in piece.split('#').enumerate() {
        let what = [
            (place > 0).then_some(What::Number),
            (!text.is_empty()).then(|| What::Text(text.to_owned())),
        ];
        for what in what.into_iter().flatten() {
            parts.push(Part { loose, what });
            loose = false;
        }
    }
}

impl Part {
    /// Where it ends, for each place where it begins at most `reach` after one of `starts`; those
    /// are in order. Without `reach`: anywhere.
    fn ends(&self, text: &[u8], starts: &[usize], reach: Option<usize>) -> Vec<usize> {
        let mut starts = starts.iter().copied().peekable();
        let Some(first) = starts.next() else {
            return Vec::new();
        };
        let mut latest = first;
        let end_of = |at| {
            while let Some(next) = starts.next_if(|next| *next <= at) {
                latest = next;
            }
            let near = reach.is_none_or(|reach| at - latest <= reach);
            near.then(|| self.what.length_at(text, at))
                .flatten()
                .map(|length| at + length)
        };
        (first..text.len()).filter_map(end_of).collect()
    }
}

impl What {
    fn length_at(&self, text: &[u8], at: usize) -> Option<usize> {
        match self {
            Self::Text(word) => text[at..]
                .starts_with(word.as_bytes())
                .then_some(word.len()),
            Self::Number => {
                let starts = at == 0 || !text[at - 1].is_ascii_digit();
                let digits = text[at..].iter().take_while(|b| b.is_ascii_digit()).count();
                (starts && digits > 0).then_some(digits)
            }
        }
    }
}

/// What a pattern with `{a,b}` in it stands for.
fn expanded(text: &str) -> Result<Vec<String>, String> {
    let mut open = vec![text.to_owned()];
    let mut done = Vec::new();
    while let Some(text) = open.pop() {
        let Some((before, rest)) = text.split_once('{') else {
            done.push(text);
            continue;
        };
        let Some((inside, after)) = rest.split_once('}') else {
            return Err("a { has no }".to_owned());
        };
        open.extend(inside.split(',').map(|one| format!("{before}{one}{after}")));
        if open.len() + done.len() > MOST_ALTERNATIVES {
            return Err(format!(
                "it stands for more than {MOST_ALTERNATIVES} patterns"
            ));
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(pattern: &str, text: &str) -> bool {
        let patterns = Pattern::read(pattern).unwrap();
        patterns.iter().any(|pattern| pattern.is_in(text))
    }

    #[test]
    fn words() {
        assert!(holds("user unknown", "sorry, user unknown here"));
        assert!(!holds("user unknown", "user is unknown"));
        assert!(holds("no such user | unknown", "unknown"));
        assert!(holds("daily*limit", "daily user sending limit exceeded"));
        assert!(!holds("daily*limit", "limit daily"));
        let far = format!("daily{}limit", " ".repeat(FARTHEST + 1));
        assert!(!holds("daily*limit", &far), "too far apart");
        assert!(holds(
            "daily*limit",
            &format!("daily {far} limit, daily limit")
        ));
    }

    #[test]
    fn the_right_one_of_several_beginnings_is_found() {
        let text = format!("mail {} mail limit", "x".repeat(100));
        assert!(holds("mail * limit", &text));
        assert!(holds("a*b*c", "a b b b c"));
        assert!(!holds("a*b*c", "c b a"));
        assert!(holds("aab", "aaab"));
    }

    #[test]
    fn beginnings_numbers_and_choices() {
        assert!(holds("^relaying denied", "relaying denied"));
        assert!(!holds("^relaying denied", "sorry, relaying denied"));
        assert!(holds("again in # {s,min}", "try again in 92 seconds"));
        assert!(!holds("again in # s", "try again in a second"));
        assert!(holds("only # messages per day", "only 10 messages per day"));
        assert!(holds("{daily,hourly} {limit,quota}", "hourly quota"));
        assert!(holds("# per", "123 per") && !holds("x# per", "x 5 per"));
        assert!(holds("^#", "7") && !holds("#", "seven"));
    }

    #[test]
    fn mistakes() {
        for pattern in ["", "a|", "{a", "*", "^", "{,}"] {
            assert!(Pattern::read(pattern).is_err(), "{pattern}");
        }
        let many = "{a,b,c,d,e}{a,b,c,d,e}{a,b,c,d,e}";
        assert!(Pattern::read(many).is_err());
    }

    /// Every place could be a beginning, and none is: a search that goes back would not end.
    #[test]
    fn a_hostile_text_ends() {
        let text = format!("b{}", "a".repeat(8192));
        assert!(!holds("a*a*a*a*a*a*a*a*a*a*a*a*b", &text));
    }

    proptest::proptest! {
        /// Whatever the text, a pattern that is cut out of it stands in it.
        #[test]
        fn what_stands_there_is_found(text in "[a-c ]{1,200}", from in 0usize..100, len in 1usize..20) {
            let end = (from + len).min(text.len());
            if from < end && !text[from..end].trim().is_empty() {
                proptest::prop_assert!(holds(&text[from..end], &text));
            }
        }
    }
}
