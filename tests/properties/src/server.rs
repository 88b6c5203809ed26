//! The server's side of SMTP: what a client sends, cut in any way.

mod driver;
mod framing;

use smtp::reply::ReplyParser;
use smtp::server::{AuthOffer, Limits, ServerConfig};

use crate::canonical::assert_canonical;
use crate::cuts::Cuts;
use driver::{Driver, Temper};

/// What parts the bytes into phases: where TLS was asked for, it comes up at the end of a phase, and what came in the
/// same phase behind the command came in the clear.
const PHASE_END: u8 = 0x1E;

/// The first two bytes choose the door, the others are what the client sends. The way in which they are cut changes
/// nothing; content ends where it has to and is what was sent; what is asked of the driver keeps to the limits.
pub fn check(bytes: &[u8]) {
    let Some(([switches, temper], stream)) = bytes.split_first_chunk() else {
        return;
    };
    let config = config(*switches);
    let calm = run(&config, Temper::Calm, stream, Cuts::None);
    for cuts in Cuts::all(stream) {
        let other = run(&config, Temper::Calm, stream, cuts);
        assert_eq!(calm.told(), other.told(), "{cuts:?}");
    }
    let mut strict = config;
    strict.in_step = true;
    strict.limits.discarded_content = 30;
    let cuts = Cuts::Scattered(u32::from(*temper));
    run(&strict, Temper::Moody(*temper), stream, cuts);
}

/// A door with limits that a short stream can reach.
fn config(switches: u8) -> ServerConfig {
    let is_set = |bit: u8| switches & 1 << bit != 0;
    let mut config = ServerConfig::new("mx.example");
    config.chunking = is_set(0);
    config.starttls = is_set(1);
    config.auth = match (is_set(2), is_set(3)) {
        (false, _) => AuthOffer::Never,
        (true, false) => AuthOffer::AfterTls,
        (true, true) => AuthOffer::Always,
    };
    config.auth_required = is_set(4);
    config.unqualified = is_set(5);
    config.as_is = is_set(5);
    config.size_limit = if is_set(6) { 60 } else { 0 };
    config.max_recipients = if is_set(7) { 2 } else { 100 };
    config.limits = Limits {
        line: 200,
        discarded_line: 400,
        errors: 5,
        junk_commands: 4,
        recipient_overshoot: 3,
        ..Limits::default()
    };
    config
}

fn run(config: &ServerConfig, temper: Temper, stream: &[u8], cuts: Cuts) -> Driver {
    let bytewise = matches!(cuts, Cuts::Bytes);
    let mut driver = Driver::new(config.clone(), temper, bytewise);
    for phase in stream.split(|byte| *byte == PHASE_END) {
        for piece in cuts.pieces(phase) {
            driver.feed(piece);
        }
        driver.end_phase();
    }
    driver.disconnect();
    check_replies(&driver.written);
    assert!(driver.written.len() <= 100 * stream.len() + 2_000);
    driver
}

/// What was written is replies, whole and in lines that a client may expect.
fn check_replies(written: &[u8]) {
    assert_canonical(written);
    for line in written.split_inclusive(|byte| *byte == b'\n') {
        assert!(line.len() <= 512 && !line[..line.len() - 2].iter().any(u8::is_ascii_control));
    }
    let mut parser = ReplyParser::new();
    parser.push(written);
    while let Some(reply) = parser.next_reply().expect("the server speaks SMTP") {
        assert!((200..600).contains(&reply.code), "{reply}");
    }
    assert!(parser.is_empty(), "the last reply is whole");
}
