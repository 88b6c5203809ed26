//! Command lines: reading them, and what each command does (RFC 5321 section 4.1).

use mail::{Address, StatusCode};

use super::data::exceeds;
use super::{Abort, Event, Hello, Progress, Question, Server, State};
use crate::parameters::{self, ParameterError};
use crate::path::{self, Path, PathError};
use crate::reply::Reply;

/// Longest name in EHLO (RFC 5321 section 4.5.3.1.2).
const MAX_HELLO: usize = 255;

/// What a line came to.
enum Line {
    Text(String),
    NotText,
    TooLong(usize),
}

impl Server {
    /// Reads and obeys one line of a command or of AUTH.
    pub(super) fn read_line(&mut self) -> Progress {
        let skipped = match self.state {
            State::LongLine(skipped) => skipped,
            _ => 0,
        };
        if skipped == 0
            && self
                .input
                .pending()
                .first()
                .is_some_and(|&byte| is_foreign(byte))
        {
            // A TLS greeting or some other protocol: nothing good follows.
            self.course.end_foreign(self.input.pending());
            return self.refuse_and_close(500, (5, 5, 2), "this is SMTP");
        }
        let limit = self.config.limits.line;
        let only_bare_lf = &mut self.only_bare_lf;
        let line = self.input.take_line().map(|line| {
            *only_bare_lf &= !line.ends_with(b"\r");
            let length = skipped + line.len();
            if length > limit {
                return Line::TooLong(length);
            }
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            match std::str::from_utf8(line) {
                Ok(text) if !text.chars().any(|c| c.is_control() && c != '\t') => {
                    Line::Text(text.to_owned())
                }
                _ => Line::NotText,
            }
        });
        match line {
            Some(Line::Text(line)) if self.is_out_of_step(&line) => {
                self.refuse_and_close(554, (5, 5, 0), "more came before the reply was read")
            }
            Some(Line::Text(line)) => match self.take_state() {
                State::Auth(step) => self.auth_line(step, line.trim_ascii()),
                _ => self.command(line.trim_ascii()),
            },
            Some(Line::NotText) => {
                self.state = State::Command;
                self.begin_unknown();
                self.refuse_with(500, (5, 5, 2), "a command is printable text")
            }
            Some(Line::TooLong(length)) => self.long_line(length),
            None => self.wait_for_line(skipped),
        }
    }

    /// No line end yet: what is there is thrown away if it is too long already.
    fn wait_for_line(&mut self, skipped: usize) -> Progress {
        let length = skipped + self.input.pending().len();
        if length > self.config.limits.discarded_line {
            return self.long_line(length);
        }
        if length > self.config.limits.line {
            self.input.clear();
            self.state = State::LongLine(length);
        }
        Progress::Wait(Event::NeedInput)
    }

    fn long_line(&mut self, length: usize) -> Progress {
        self.state = State::Command;
        self.begin_unknown();
        if length > self.config.limits.discarded_line {
            return self.refuse_and_close(500, (5, 5, 2), "line much too long");
        }
        self.refuse_with(500, (5, 5, 2), "line too long")
    }

    /// A line came that is no command.
    fn begin_unknown(&mut self) {
        self.counts.begin_unknown();
        self.course.command("");
    }

    fn refuse_http(&mut self, line: &str) -> Progress {
        self.course.end_foreign(line.as_bytes());
        self.refuse_and_close(500, (5, 5, 1), "this is SMTP")
    }

    /// More came behind a line that must be the last of its group, and the client should know better.
    fn is_out_of_step(&self, line: &str) -> bool {
        let in_auth = matches!(self.state, State::Auth(_));
        self.config.in_step && !self.input.pending().is_empty() && (in_auth || ends_group(line))
    }

    fn command(&mut self, line: &str) -> Progress {
        let (verb, arguments) = line.split_once([' ', '\t']).unwrap_or((line, ""));
        let arguments = arguments.trim_ascii();
        self.counts.begin(verb);
        self.course.command(verb);
        match verb.to_ascii_uppercase().as_str() {
            "EHLO" => self.hello_command(arguments, true),
            "HELO" => self.hello_command(arguments, false),
            "MAIL" => self.mail(arguments),
            "RCPT" => self.rcpt(arguments),
            "DATA" => self.data(arguments),
            "BDAT" => self.bdat(arguments),
            "AUTH" => self.auth(arguments),
            "STARTTLS" => self.starttls(arguments),
            "RSET" => {
                self.reset(Abort::Reset);
                self.junk(250, (2, 0, 0), "forgotten")
            }
            "NOOP" => self.junk(250, (2, 0, 0), "still here"),
            "VRFY" => self.junk(252, (2, 1, 5), "send it and see"),
            "HELP" => self.junk(214, (2, 0, 0), "see RFC 5321"),
            "QUIT" => {
                self.reset(Abort::Reset);
                self.reply(221, Some((2, 0, 0)), "goodbye");
                self.state = State::Closing;
                Progress::Again
            }
            "EXPN" | "ETRN" | "TURN" | "SEND" | "SOML" | "SAML" | "XCLIENT" | "XFORWARD" => {
                self.refuse_with(502, (5, 5, 1), "command not implemented")
            }
            "GET" | "HEAD" | "POST" | "PUT" | "CONNECT" | "OPTIONS" => self.refuse_http(line),
            _ if is_http(arguments) => self.refuse_http(line),
            _ => self.refuse_with(500, (5, 5, 2), "command not known"),
        }
    }

    fn hello_command(&mut self, name: &str, extended: bool) -> Progress {
        let valid = !name.is_empty() && name.len() <= MAX_HELLO;
        if !valid || !name.bytes().all(|b| b.is_ascii_graphic()) {
            return self.refuse_with(501, (5, 5, 4), "syntax: EHLO hostname");
        }
        self.reset(Abort::Reset);
        self.hello = Some(Hello {
            name: name.to_owned(),
            extended,
        });
        let mut lines = vec![self.config.hostname.clone()];
        if extended {
            lines.extend(self.extensions());
        }
        self.say(&Reply {
            code: 250,
            status: None,
            lines,
        });
        Progress::Again
    }

    fn extensions(&self) -> Vec<String> {
        let mut lines = vec!["PIPELINING".to_owned()];
        lines.push(match self.config.size_limit {
            0 => "SIZE".to_owned(),
            limit => format!("SIZE {limit}"),
        });
        if self.config.starttls && !self.secure {
            lines.push("STARTTLS".to_owned());
        }
        if self.offers_auth() {
            lines.push("AUTH PLAIN LOGIN".to_owned());
        }
        // RFC 9422. A session may carry any number of messages, so MAILMAX is not named.
        lines.push(format!("LIMITS RCPTMAX={}", self.config.max_recipients));
        let always = ["ENHANCEDSTATUSCODES", "8BITMIME", "DSN", "SMTPUTF8"];
        lines.extend(always.map(str::to_owned));
        if self.config.chunking {
            lines.push("CHUNKING".to_owned());
        }
        lines
    }

    fn starttls(&mut self, arguments: &str) -> Progress {
        if !self.config.starttls {
            return self.refuse_with(502, (5, 5, 1), "TLS is not offered here");
        }
        if self.secure {
            return self.refuse_with(503, (5, 5, 1), "TLS is up already");
        }
        if !arguments.is_empty() {
            return self.refuse_with(501, (5, 5, 4), "syntax: STARTTLS");
        }
        self.reset(Abort::Reset);
        self.reply(220, Some((2, 0, 0)), "go ahead");
        // What was sent along in the clear is not read, now or later (CVE-2011-0411).
        self.input.clear();
        self.state = State::Handshake;
        Progress::Again
    }

    fn mail(&mut self, arguments: &str) -> Progress {
        if self.config.auth_required && self.user.is_none() {
            return self.refuse_with(530, (5, 7, 0), "authentication required");
        }
        if self.transaction.is_some() {
            return self.refuse_with(503, (5, 5, 1), "there is a sender already");
        }
        let path = match read_path(arguments, "FROM:") {
            Ok(path) => path,
            Err(PathError::Syntax) => {
                return self.refuse_with(501, (5, 5, 4), "syntax: MAIL FROM:<address>");
            }
            Err(PathError::Address) => {
                return self.refuse_with(501, (5, 1, 7), "the sender is not an address");
            }
        };
        if path
            .address
            .as_ref()
            .is_some_and(|address| self.lacks_domain(address))
        {
            return self.refuse_with(504, (5, 5, 2), "the sender needs a domain");
        }
        let mail = match parameters::read_mail(path.address, path.parameters) {
            Ok(mail) if mail.as_is && !self.config.as_is => {
                return self.refuse_parameter(ParameterError::Unknown);
            }
            Ok(mail) => mail,
            Err(error) => return self.refuse_parameter(error),
        };
        if mail
            .size
            .is_some_and(|size| exceeds(size, self.config.size_limit))
        {
            return self.refuse_with(552, (5, 3, 4), &self.too_big_text());
        }
        self.state = State::Asking(Question::Mail(mail.clone()));
        Progress::Tell(Event::Mail(mail))
    }

    pub(super) fn too_big_text(&self) -> String {
        format!("message larger than {} bytes", self.config.size_limit)
    }

    fn rcpt(&mut self, arguments: &str) -> Progress {
        let Some(transaction) = &self.transaction else {
            return self.refuse_with(503, (5, 5, 1), "say MAIL first");
        };
        if transaction.inflow.is_some() {
            return self.refuse_with(503, (5, 5, 1), "the content has begun already");
        }
        if transaction.recipients.len() >= self.config.max_recipients {
            return self.too_many_recipients();
        }
        let (address, parameters) = match read_path(arguments, "TO:") {
            Ok(Path {
                address: Some(address),
                parameters,
            }) => (address, parameters),
            Err(PathError::Syntax) => {
                return self.refuse_with(501, (5, 5, 4), "syntax: RCPT TO:<address>");
            }
            Ok(Path { address: None, .. }) | Err(PathError::Address) => {
                return self.refuse_with(501, (5, 1, 3), "the recipient is not an address");
            }
        };
        if self.lacks_domain(&address) {
            return self.refuse_with(504, (5, 5, 2), "the recipient needs a domain");
        }
        match parameters::read_rcpt(address, parameters) {
            Ok(recipient) => {
                self.state = State::Asking(Question::Rcpt(recipient.clone()));
                Progress::Tell(Event::Rcpt(recipient))
            }
            Err(error) => self.refuse_parameter(error),
        }
    }

    /// A client with a long list splits it on 452 and loses nothing (RFC 5321 section 4.5.3.1.10).
    fn too_many_recipients(&mut self) -> Progress {
        self.overshoot = self.overshoot.saturating_add(1);
        if self.overshoot > self.config.limits.recipient_overshoot {
            return self.refuse_with(452, (4, 5, 3), "too many recipients");
        }
        self.reply(452, Some((4, 5, 3)), "too many recipients");
        Progress::Again
    }

    /// Postmaster needs none anywhere (RFC 5321 section 2.3.5).
    fn lacks_domain(&self, address: &Address) -> bool {
        let bare = address.domain().is_none();
        bare && !self.config.unqualified && !address.local().eq_ignore_ascii_case("postmaster")
    }

    fn refuse_parameter(&mut self, error: ParameterError) -> Progress {
        match error {
            ParameterError::Unknown => self.refuse_with(555, (5, 5, 4), "parameter not known"),
            ParameterError::Value => self.refuse_with(501, (5, 5, 4), "parameter not valid"),
        }
    }

    /// Commands that do nothing for mail are free only up to a limit.
    fn junk(&mut self, code: u16, status: (u8, u16, u16), text: &str) -> Progress {
        self.junk_commands = self.junk_commands.saturating_add(1);
        if self.junk_commands > self.config.limits.junk_commands {
            return self.refuse_with(code, status, text);
        }
        self.reply(code, Some(status), text);
        Progress::Again
    }

    /// Says no to a command, and counts it.
    pub(super) fn refuse_with(
        &mut self,
        code: u16,
        status: (u8, u16, u16),
        text: &str,
    ) -> Progress {
        let status = StatusCode::new(status.0, status.1, status.2);
        self.error(Reply::new(code, Some(status), text));
        Progress::Again
    }

    pub(super) fn refuse_and_close(
        &mut self,
        code: u16,
        status: (u8, u16, u16),
        text: &str,
    ) -> Progress {
        self.reply(code, Some(status), text);
        self.close();
        Progress::Again
    }
}

/// No SMTP command begins with such a byte. Blanks and empty lines are answered as any mistake.
fn is_foreign(byte: u8) -> bool {
    (byte.is_ascii_control() && !matches!(byte, b'\r' | b'\n' | b'\t')) || !byte.is_ascii()
}

/// Whether a command must be the last that is sent before its reply is read (RFC 2920 section 3.1,
/// RFC 4954 section 4). STARTTLS is too, but what comes behind it is thrown away.
fn ends_group(line: &str) -> bool {
    let verb = line.trim_ascii().split([' ', '\t']).next();
    let verb = verb.unwrap_or_default().to_ascii_uppercase();
    matches!(
        verb.as_str(),
        "EHLO" | "HELO" | "AUTH" | "DATA" | "NOOP" | "VRFY" | "HELP"
    )
}

/// Whether a line ends as the first line of an HTTP request does. What such a client sends next was
/// chosen by a web page.
fn is_http(arguments: &str) -> bool {
    let last = arguments.rsplit([' ', '\t']).next();
    last.is_some_and(|word| word.starts_with("HTTP/"))
}

/// Reads the path behind `FROM:` or `TO:`.
fn read_path<'a>(arguments: &'a str, keyword: &str) -> Result<Path<'a>, PathError> {
    let (word, rest) = arguments
        .split_at_checked(keyword.len())
        .ok_or(PathError::Syntax)?;
    if word.eq_ignore_ascii_case(keyword) {
        path::parse(rest)
    } else {
        Err(PathError::Syntax)
    }
}
