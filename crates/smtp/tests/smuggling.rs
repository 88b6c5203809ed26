//! Every marker of up to six bytes of CR, LF, dot, NUL and text, with a second message behind it:
//! only CRLF "." CRLF ends content that comes in, and what goes out again has one end, even for a
//! receiver that drops NULs and takes CR and LF alone for line ends.
mod support;

use smtp::dot::DotStuffer;
use smtp::server::ServerConfig;
use support::Door;

const ALPHABET: [u8; 5] = *b"\r\n.\0x";
const LONGEST: u32 = 6;
const OPENING: &[u8] = b"EHLO x\r\nMAIL FROM:<a@a.example>\r\nRCPT TO:<b@b.example>\r\n";
const SMUGGLED: &[u8] =
    b"MAIL FROM:<evil@a.example>\r\nRCPT TO:<v@v.example>\r\nDATA\r\nevil\r\n.\r\n";
/// What ends content, and nothing else does.
const END: &[u8] = b"\r\n.\r\n";

/// All markers up to this length, the shortest first.
fn markers(longest: u32) -> impl Iterator<Item = Vec<u8>> {
    (0..=longest).flat_map(|length| {
        (0..ALPHABET.len().pow(length)).map(move |number| {
            let digits = (0..length).map(|place| number / ALPHABET.len().pow(place));
            digits
                .map(|digit| ALPHABET[digit % ALPHABET.len()])
                .collect()
        })
    })
}

/// Whether a receiver that counts only CRLF finds its end in `marker` or where it meets the text
/// that follows. `before` is what the line began with.
fn ends_in(before: &[u8], marker: &[u8]) -> bool {
    let text = [before, marker].concat();
    text.windows(END.len()).any(|five| five == END)
}

/// How many messages a server has taken that was fed `bytes` in pieces of this size.
fn taken(bytes: &[u8], piece: usize) -> Vec<Vec<u8>> {
    let mut config = ServerConfig::new("mx.example");
    config.chunking = true;
    let mut door = Door::new(config);
    bytes.chunks(piece).for_each(|piece| door.feed(piece));
    door.taken.into_iter().map(|(_, content)| content).collect()
}

/// Where the most lenient of receivers finds an end: it drops NULs, and CR as well as LF ends a
/// line for it.
fn lenient_ends(wire: &[u8]) -> usize {
    let bytes: Vec<u8> = wire.iter().copied().filter(|&b| b != 0).collect();
    bytes
        .split(|&b| b == b'\r' || b == b'\n')
        .filter(|line| line == b".")
        .count()
}

fn sent_on(content: &[u8]) -> Vec<u8> {
    let (mut stuffer, mut wire) = (DotStuffer::new(), Vec::new());
    stuffer.push(content, &mut wire);
    stuffer.finish(&mut wire);
    wire
}

#[test]
fn data_ends_at_crlf_dot_crlf_and_nowhere_else() {
    let mut ends = 0;
    for (start, before) in [(&b"hi"[..], &b"hi"[..]), (b"", b"\r\n")] {
        for marker in markers(LONGEST) {
            let parts = [OPENING, b"DATA\r\n", start, &marker, SMUGGLED];
            let is_end = ends_in(before, &marker);
            ends += usize::from(is_end);
            for piece in [usize::MAX, 1] {
                let messages = taken(&parts.concat(), piece);
                let shown = String::from_utf8_lossy(&marker).escape_debug().to_string();
                // Behind a true end come commands, which what is left of the marker may spoil.
                let most = if is_end { 2 } else { 1 };
                assert!(
                    (1..=most).contains(&messages.len()),
                    "{shown} in pieces of {piece}"
                );
                for content in &messages {
                    assert_eq!(lenient_ends(&sent_on(content)), 1, "{shown}");
                }
            }
        }
    }
    // Itself, and with one byte before or behind it; at the start of content also the three bytes
    // that are missing from it with up to three behind them, one of which is counted already.
    assert_eq!(ends, 11 + 11 + (1 + 5 + 25 + 125) - 1);
}

#[test]
fn a_chunk_ends_where_its_size_says() {
    for marker in markers(LONGEST - 1) {
        let content = [b"hi", &marker[..], SMUGGLED].concat();
        for cut in 0..=marker.len() {
            let (first, rest) = content.split_at(2 + cut);
            let bdat = |part: &[u8], last| format!("BDAT {}{last}\r\n", part.len()).into_bytes();
            let parts = [OPENING, &bdat(first, ""), first, &bdat(rest, " LAST"), rest];
            let messages = taken(&parts.concat(), usize::MAX);
            assert_eq!(messages.len(), 1, "{marker:?}");
            assert_eq!(lenient_ends(&sent_on(&messages[0])), 1, "{marker:?}");
        }
    }
}
