//! How many commands of each kind a client gave, for the log's line at the end of its session.

/// Commands that are counted by name, in the order in which Postfix's log names them.
const NAMED: [&str; 13] = [
    "helo", "ehlo", "starttls", "auth", "mail", "rcpt", "data", "bdat", "rset", "noop", "vrfy",
    "help", "quit",
];
/// All others together.
const UNKNOWN: &str = "unknown";

/// A command's name as it is counted; `None` for one that is not known.
pub(super) fn name(verb: &str) -> Option<&'static str> {
    let same = |name: &&&str| name.eq_ignore_ascii_case(verb);
    NAMED.iter().find(same).copied()
}

/// The commands of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// The command in lower case, or `unknown`.
    pub command: &'static str,
    /// How many were not refused. DATA is the whole message.
    pub accepted: u32,
    /// How many were answered.
    pub total: u32,
}

/// The counts of a session; grows by one with the final reply to each command.
#[derive(Default)]
pub(super) struct Counts {
    /// Accepted and all, at the place of [`NAMED`]; the last are unknown.
    seen: [(u32, u32); NAMED.len() + 1],
    /// The place of the command that waits for its final reply.
    waiting: Option<usize>,
}

impl Counts {
    /// A command line came.
    pub(super) fn begin(&mut self, verb: &str) {
        let place = NAMED
            .iter()
            .position(|name| name.eq_ignore_ascii_case(verb));
        self.waiting = Some(place.unwrap_or(NAMED.len()));
    }

    /// A line came that is no command, unless it belongs to the one before.
    pub(super) fn begin_unknown(&mut self) {
        self.waiting.get_or_insert(NAMED.len());
    }

    /// A reply is on its way. Those that only ask for more (3xx) are not the last.
    pub(super) fn answer(&mut self, code: u16) {
        if code / 100 == 3 {
            return;
        }
        if let Some(place) = self.waiting.take() {
            let (accepted, total) = &mut self.seen[place];
            *total = total.saturating_add(1);
            *accepted = accepted.saturating_add(u32::from(code < 400));
        }
    }

    /// What the client gave.
    pub(super) fn all(&self) -> Vec<Count> {
        let names = NAMED.iter().copied().chain([UNKNOWN]);
        let counts = names
            .zip(self.seen)
            .map(|(command, (accepted, total))| Count {
                command,
                accepted,
                total,
            });
        counts.filter(|count| count.total > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(counts: &Counts) -> Vec<(&'static str, u32, u32)> {
        let all = counts.all();
        all.iter()
            .map(|count| (count.command, count.accepted, count.total))
            .collect()
    }

    #[test]
    fn each_command_counts_once_with_its_last_reply() {
        let mut counts = Counts::default();
        counts.answer(220);
        for (verb, replies) in [
            ("EHLO", &[250][..]),
            ("auth", &[334, 334, 535]),
            ("MAIL", &[250]),
            ("RCPT", &[550]),
            ("RCPT", &[250]),
            ("DATA", &[354, 250]),
            ("FOO", &[500]),
            ("QUIT", &[221, 421]),
        ] {
            counts.begin(verb);
            replies.iter().for_each(|code| counts.answer(*code));
        }
        counts.begin("NOOP");
        let expected = [
            ("ehlo", 1, 1),
            ("auth", 0, 1),
            ("mail", 1, 1),
            ("rcpt", 1, 2),
            ("data", 1, 1),
            ("quit", 1, 1),
            ("unknown", 0, 1),
        ];
        assert_eq!(shown(&counts), expected, "NOOP was not answered");
    }

    #[test]
    fn a_line_that_is_no_command_is_unknown_or_part_of_auth() {
        let mut counts = Counts::default();
        counts.begin_unknown();
        counts.answer(500);
        counts.begin("AUTH");
        counts.answer(334);
        counts.begin_unknown();
        counts.answer(500);
        assert_eq!(shown(&counts), [("auth", 0, 1), ("unknown", 0, 1)]);
    }
}
