//! The words of an address list (RFC 5322 section 3.2), read as Postfix reads them.
//!
//! Nothing is refused here: every byte becomes part of some token or is blank. `|`, `%` and `!`
//! stand for themselves, as not all mail is RFC 5322.

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A run of bytes that mean nothing special; a backslash takes the next byte as it is.
    Atom,
    /// `"…"`; `closed` is false if the text ended within it.
    Quoted { closed: bool },
    /// `[…]`, as in `[192.0.2.1]`.
    Literal { closed: bool },
    /// `(…)`, nested ones included.
    Comment,
    /// One of the special bytes.
    Special(u8),
}

/// One token: `text[start..end]`, with its quotes, brackets and backslashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Token {
    /// Whether it is this special byte.
    pub(crate) fn is(self, byte: u8) -> bool {
        self.kind == Kind::Special(byte)
    }

    /// Whether two of these side by side need a blank between them.
    pub(crate) const fn is_word(self) -> bool {
        matches!(
            self.kind,
            Kind::Atom | Kind::Quoted { .. } | Kind::Literal { .. }
        )
    }

    /// What the token means: without quotes, brackets, backslashes, and the line ends of folding.
    pub(crate) fn content(self, text: &[u8]) -> Vec<u8> {
        let inner = match self.kind {
            Kind::Quoted { closed } | Kind::Literal { closed } => {
                self.start + 1..self.end - usize::from(closed)
            }
            _ => self.start..self.end,
        };
        let mut content = Vec::with_capacity(inner.len());
        let mut bytes = text[inner].iter();
        while let Some(&byte) = bytes.next() {
            match byte {
                b'\\' => content.extend(bytes.next()),
                b'\r' | b'\n' => {}
                b'\t' => content.push(b' '),
                _ => content.push(byte),
            }
        }
        content
    }
}

/// Cuts `text` into tokens. Linear; at most as many tokens as bytes.
pub(crate) fn scan(text: &[u8]) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut start = 0;
    while let Some(&byte) = text.get(start) {
        if is_blank(byte) {
            start += 1;
            continue;
        }
        let (kind, end) = token_at(text, start, byte);
        tokens.push(Token { kind, start, end });
        start = end;
    }
    tokens
}

fn token_at(text: &[u8], start: usize, first: u8) -> (Kind, usize) {
    match first {
        b'(' => (Kind::Comment, comment_end(text, start)),
        b'"' => {
            let (end, closed) = closing(text, start + 1, b'"');
            (Kind::Quoted { closed }, end)
        }
        b'[' => {
            let (end, closed) = closing(text, start + 1, b']');
            (Kind::Literal { closed }, end)
        }
        b'\\' => (Kind::Atom, atom_end(text, start)),
        _ if is_special(first) => (Kind::Special(first), start + 1),
        _ => (Kind::Atom, atom_end(text, start)),
    }
}

/// Where an atom ends; a backslash and the byte after it are part of it.
fn atom_end(text: &[u8], mut at: usize) -> usize {
    while let Some(&byte) = text.get(at) {
        if byte == b'\\' {
            at = escape_end(text, at + 1);
            continue;
        }
        if is_blank(byte) || is_special(byte) {
            break;
        }
        at += 1;
    }
    at.min(text.len())
}

/// The place after what a backslash before `at` takes as it is: a byte, or a whole line end.
fn escape_end(text: &[u8], at: usize) -> usize {
    if text[at..].starts_with(b"\r\n") {
        at + 2
    } else {
        at + 1
    }
}

/// The place after the next unescaped `mark`, and whether there is one.
fn closing(text: &[u8], mut at: usize, mark: u8) -> (usize, bool) {
    while let Some(&byte) = text.get(at) {
        at += 1;
        if byte == b'\\' {
            at = escape_end(text, at);
        } else if byte == mark {
            return (at, true);
        }
    }
    (text.len(), false)
}

fn comment_end(text: &[u8], mut at: usize) -> usize {
    let mut depth = 0_usize;
    while let Some(&byte) = text.get(at) {
        at += 1;
        match byte {
            b'\\' => at = escape_end(text, at),
            b'(' => depth += 1,
            b')' if depth == 1 => return at,
            b')' => depth -= 1,
            _ => {}
        }
    }
    text.len()
}

/// What separates tokens: blanks and the line ends of folding.
pub(crate) const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// The specials of RFC 5322 and `|`, `%`, `!`.
const fn is_special(byte: u8) -> bool {
    matches!(
        byte,
        b'(' | b')'
            | b'<'
            | b'>'
            | b'@'
            | b','
            | b';'
            | b':'
            | b'\\'
            | b'"'
            | b'.'
            | b'['
            | b']'
            | b'|'
            | b'%'
            | b'!'
    )
}
