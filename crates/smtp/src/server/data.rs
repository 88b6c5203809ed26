//! DATA and BDAT: content on its way in (RFC 5321 section 4.1.1.4, RFC 3030).

use mail::StatusCode;

use super::{Abort, Event, Progress, Question, Server, State};
use crate::content::ContentReader;
use crate::reply::Reply;

/// Content that is being read.
pub(super) struct Inflow {
    reader: ContentReader,
    until: Until,
    verdict: Verdict,
    /// Bytes of canonical content so far.
    size: u64,
    /// Bytes that were read and thrown away.
    discarded: u64,
    /// The part was read to its end.
    complete: bool,
}

/// Where the part that is being read ends.
#[derive(Clone, Copy)]
enum Until {
    /// At CRLF.CRLF.
    Dot,
    /// After so many bytes; the message ends there too if this is the last BDAT.
    Count { remaining: u64, last: bool },
}

enum Verdict {
    /// The driver takes it.
    Open,
    /// It is thrown away, and this is why.
    Refused(Reply),
}

impl Inflow {
    const fn new(until: Until) -> Self {
        Self::read_by(ContentReader::new(), until)
    }

    const fn read_by(reader: ContentReader, until: Until) -> Self {
        Self {
            reader,
            until,
            verdict: Verdict::Open,
            size: 0,
            discarded: 0,
            complete: false,
        }
    }

    /// The driver has been told that it began, and waits for the rest.
    pub(super) const fn is_open(&self) -> bool {
        matches!(self.verdict, Verdict::Open)
    }

    pub(super) const fn is_dotted(&self) -> bool {
        matches!(self.until, Until::Dot)
    }

    pub(super) fn refuse(&mut self, reply: Reply) {
        if self.is_open() {
            self.verdict = Verdict::Refused(reply);
        }
    }

    /// Goes on with the next BDAT.
    const fn go_on(&mut self, until: Until) {
        self.until = until;
        self.complete = false;
    }

    /// Reads from `input`: how many bytes were used, and the content they hold.
    fn read(&mut self, input: &[u8]) -> (usize, Vec<u8>) {
        let mut content = Vec::with_capacity(input.len() + 2);
        let used = match &mut self.until {
            Until::Dot => {
                let end = self.reader.push_dotted(input, &mut content);
                self.complete = end.is_some();
                end.unwrap_or(input.len())
            }
            Until::Count { remaining, last } => {
                let used = input
                    .len()
                    .min(usize::try_from(*remaining).unwrap_or(usize::MAX));
                self.reader.push_counted(&input[..used], &mut content);
                *remaining -= used as u64;
                self.complete = *remaining == 0;
                if self.complete && *last {
                    self.reader.close(&mut content);
                }
                used
            }
        };
        (used, content)
    }
}

impl Server {
    pub(super) fn data(&mut self, arguments: &str) -> Progress {
        if !arguments.is_empty() {
            return self.refuse_with(501, (5, 5, 4), "syntax: DATA");
        }
        let Some(transaction) = &mut self.transaction else {
            return self.refuse_with(503, (5, 5, 1), "say MAIL and RCPT first");
        };
        if transaction.inflow.is_some() {
            return self.refuse_with(503, (5, 5, 1), "BDAT has begun, DATA cannot follow");
        }
        if transaction.recipients.is_empty() {
            return self.refuse_with(554, (5, 5, 1), "no valid recipients");
        }
        let envelope = transaction.envelope();
        let reader = if self.config.bare_lf && self.only_bare_lf {
            ContentReader::with_bare_lf()
        } else {
            ContentReader::new()
        };
        let inflow = Inflow::read_by(reader, Until::Dot);
        self.state = State::Asking(Question::Content(inflow));
        Progress::Tell(Event::ContentBegins(envelope))
    }

    pub(super) fn bdat(&mut self, arguments: &str) -> Progress {
        if !self.config.chunking {
            // What follows is content, and would be read as commands.
            return self.refuse_and_close(502, (5, 5, 1), "BDAT is not offered here");
        }
        let Some((length, last)) = read_chunk_size(arguments) else {
            return self.refuse_and_close(501, (5, 5, 4), "syntax: BDAT bytes [LAST]");
        };
        let until = Until::Count {
            remaining: length,
            last,
        };
        let Some(transaction) = &mut self.transaction else {
            return self.swallow(until, (5, 5, 1), "say MAIL and RCPT first");
        };
        if let Some(mut inflow) = transaction.inflow.take() {
            inflow.go_on(until);
            self.state = State::Content(inflow);
            return Progress::Again;
        }
        if transaction.recipients.is_empty() {
            return self.swallow(until, (5, 5, 1), "no valid recipients");
        }
        let envelope = transaction.envelope();
        self.state = State::Asking(Question::Content(Inflow::new(until)));
        Progress::Tell(Event::ContentBegins(envelope))
    }

    /// The bytes of a BDAT come whether it is welcome or not.
    fn swallow(&mut self, until: Until, status: (u8, u16, u16), text: &str) -> Progress {
        let mut inflow = Inflow::new(until);
        let status = StatusCode::new(status.0, status.1, status.2);
        inflow.refuse(Reply::new(503, Some(status), text));
        self.state = State::Content(inflow);
        Progress::Again
    }

    /// The driver does not want the content that was announced.
    pub(super) fn refuse_content(&mut self, mut inflow: Inflow, reply: Reply) {
        if inflow.is_dotted() {
            self.transaction = None;
            self.error(reply);
        } else {
            inflow.refuse(reply);
            self.state = State::Content(inflow);
        }
    }

    pub(super) fn read_content(&mut self) -> Progress {
        let State::Content(inflow) = &mut self.state else {
            return Progress::Again;
        };
        if inflow.complete {
            return self.part_complete();
        }
        let (used, content) = inflow.read(self.input.pending());
        self.input.consume(used);
        self.course.content(used);
        if inflow.is_open() {
            inflow.size += content.len() as u64;
        } else {
            inflow.discarded += used as u64;
        }
        if inflow.discarded > self.config.limits.discarded_content {
            return self.stop_discarding();
        }
        if inflow.is_open() && exceeds(inflow.size, self.config.size_limit) {
            return self.refuse_too_big();
        }
        match (inflow.is_open() && !content.is_empty(), inflow.complete) {
            (true, _) => Progress::Tell(Event::Content(content)),
            (false, true) => Progress::Again,
            (false, false) => Progress::Wait(Event::NeedInput),
        }
    }

    fn refuse_too_big(&mut self) -> Progress {
        let status = Some(StatusCode::new(5, 3, 4));
        let reply = Reply::new(552, status, &self.too_big_text());
        if let State::Content(inflow) = &mut self.state {
            inflow.refuse(reply);
        }
        Progress::Tell(Event::Aborted(Abort::TooBig))
    }

    /// The client goes on and on with content that nobody takes.
    fn stop_discarding(&mut self) -> Progress {
        if let State::Content(Inflow {
            verdict: Verdict::Refused(reply),
            ..
        }) = self.take_state()
        {
            self.say(&reply);
        }
        self.close();
        Progress::Again
    }

    /// The dot came, or the bytes of one BDAT are all there.
    fn part_complete(&mut self) -> Progress {
        let State::Content(inflow) = self.take_state() else {
            return Progress::Again;
        };
        if !matches!(inflow.until, Until::Count { last: false, .. }) {
            self.course.message();
        }
        match (inflow.verdict, inflow.until) {
            (Verdict::Refused(reply), _) => {
                self.transaction = None;
                self.error(reply);
                Progress::Again
            }
            (Verdict::Open, Until::Count { last: false, .. }) => {
                self.reply(250, Some((2, 0, 0)), "go on");
                if let Some(transaction) = &mut self.transaction {
                    transaction.inflow = Some(Inflow {
                        verdict: Verdict::Open,
                        ..inflow
                    });
                }
                Progress::Again
            }
            (Verdict::Open, _) => {
                self.state = State::Finishing;
                Progress::Tell(Event::ContentEnds)
            }
        }
    }
}

/// Whether a size is beyond a limit; 0 is no limit.
pub(super) const fn exceeds(size: u64, limit: u64) -> bool {
    limit > 0 && size > limit
}

/// Reads the arguments of BDAT. A size beyond u64 is as bad as none: the content cannot be told
/// from commands any more.
fn read_chunk_size(arguments: &str) -> Option<(u64, bool)> {
    let mut words = arguments.split_ascii_whitespace();
    let digits = words
        .next()
        .filter(|word| word.bytes().all(|b| b.is_ascii_digit()))?;
    let last = match words.next() {
        None => false,
        Some(word) if word.eq_ignore_ascii_case("LAST") => true,
        Some(_) => return None,
    };
    let length = digits.parse().ok()?;
    words.next().is_none().then_some((length, last))
}
