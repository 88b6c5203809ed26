//! From the text of a settings file to [`Settings`]: one look for the form of the lines, the INI
//! reader for the values, the table of keys for their meaning.

use super::keys::{Fallback, Key, Section};
use super::scan::{Complaint, Heading, Scan, scan};
use super::values::{self, Fault};
use super::{
    Deliver, Gateway, Listen, Log, PasswordSource, Paths, Problem, Rewrite, Settings, Tls,
};
use ini::{Ini, ParseOption};

mod essentials;
mod from;

pub(super) use essentials::essentials;

/// More problems than this help nobody.
const MOST_PROBLEMS: usize = 100;

/// Reads a whole file; the rules are those of [`Settings::parse`].
pub(super) fn read(text: &str, file_name: &str) -> Result<Settings, Vec<Problem>> {
    let mut reader = Reader::of(text);
    match reader.settings() {
        Some(settings) if reader.problems.is_empty() => Ok(settings),
        _ => Err(reader.report(file_name)),
    }
}

struct Reader {
    ini: Ini,
    headings: Vec<(Heading, Section, usize)>,
    lines: std::collections::HashMap<(Heading, String), usize>,
    problems: Vec<Complaint>,
}

/// One section of the file, or one that is not there and so has only defaults.
struct Block {
    heading: Heading,
    section: Section,
}

impl Reader {
    fn of(text: &str) -> Self {
        let Scan {
            text,
            headings,
            lines,
            problems,
        } = scan(text);
        let mut reader = Self {
            ini: Ini::new(),
            headings,
            lines,
            problems,
        };
        let options = ParseOption {
            enabled_escape: false,
            enabled_quote: false,
            ..ParseOption::default()
        };
        match Ini::load_from_str_opt(&text, options) {
            Ok(ini) => reader.ini = ini,
            Err(error) => {
                let message = format!("the file cannot be read: {}", error.msg);
                reader.complain(error.line, message, "correct this line");
            }
        }
        reader
    }

    /// What was complained about, in the order of the lines.
    fn report(self, file_name: &str) -> Vec<Problem> {
        let mut problems = self.problems;
        problems.sort_by_key(|problem| (problem.line == 0, problem.line));
        problems.truncate(MOST_PROBLEMS);
        let named = |complaint: Complaint| Problem {
            file: file_name.to_owned(),
            line: complaint.line,
            message: complaint.message,
            remedy: complaint.remedy,
        };
        problems.into_iter().map(named).collect()
    }

    fn complain(&mut self, line: usize, message: impl Into<String>, remedy: impl Into<String>) {
        self.problems.push(Complaint {
            line,
            message: message.into(),
            remedy: remedy.into(),
        });
    }

    fn settings(&mut self) -> Option<Settings> {
        let top = Block {
            heading: Heading::new(),
            section: Section::Top,
        };
        let hostname = self.optional(&top, "hostname", values::host_name);
        let domain = self.optional(&top, "domain", values::host_name);
        let root = self.optional(&top, "root", values::mail_address);
        let user = self.optional(&top, "user", values::login);
        let message_size_limit = self.value(&top, "message_size_limit", values::size);
        let queue_lifetime = self.value(&top, "queue_lifetime", values::duration);
        let soft_bounce = self.value(&top, "soft_bounce", values::soft_bounce);
        let mailq_users = self.value(&top, "mailq_users", values::users);
        let flush_users = self.value(&top, "flush_users", values::users);
        let paths = self.paths();
        let aliases = self.value(&Block::of(Section::Aliases), "file", values::path_or_none);
        let rewrite = self.rewrite();
        let gateways = self.gateways();
        let listen = self.listen();
        let log = self.log();
        Some(Settings {
            hostname,
            domain,
            root,
            user,
            message_size_limit: message_size_limit?,
            queue_lifetime: queue_lifetime?,
            soft_bounce: soft_bounce?,
            mailq_users: mailq_users?,
            flush_users: flush_users?,
            paths: paths?,
            aliases: aliases?,
            rewrite,
            gateways,
            listen: listen?,
            log: log?,
        })
    }

    fn paths(&mut self) -> Option<Paths> {
        let block = Block::of(Section::Paths);
        let spool = self.value(&block, "spool", values::path);
        let run = self.value(&block, "run", values::path);
        Some(Paths {
            spool: spool?,
            run: run?,
        })
    }

    fn rewrite(&mut self) -> Rewrite {
        let block = Block::of(Section::Rewrite);
        Rewrite {
            senders: self.optional(&block, "senders", values::path),
            recipients: self.optional(&block, "recipients", values::path),
        }
    }

    fn gateways(&mut self) -> Vec<Gateway> {
        let is_gateway =
            |(_, section, _): &&(Heading, Section, usize)| *section == Section::Gateway;
        let headings: Vec<_> = self.headings.iter().filter(is_gateway).cloned().collect();
        if headings.is_empty() {
            let remedy = "add a section [gateway NAME] with host, user and password_file";
            self.complain(0, "no gateway is given, so no mail can be sent", remedy);
        }
        for (_, _, line) in headings.iter().skip(1) {
            self.complain(
                *line,
                "this is a second gateway, and routing among several is not \
                 available in this version",
                "keep one [gateway NAME] section",
            );
        }
        let read = |(heading, section, line)| self.gateway(&Block { heading, section }, line);
        headings.into_iter().filter_map(read).collect()
    }

    fn gateway(&mut self, block: &Block, line: usize) -> Option<Gateway> {
        let name = block
            .heading
            .strip_prefix("gateway ")
            .unwrap_or_default()
            .to_owned();
        let deliver = self.value(block, "deliver", values::deliver);
        let host = self.host(block, &name, line, deliver.as_ref());
        let given_port = self.optional(block, "port", values::port);
        let tls = self.tls(block, given_port);
        let tls_name = self.optional(block, "tls_name", values::host);
        let ca_file = self.optional(block, "ca_file", values::path);
        let user = self.optional(block, "user", values::text);
        let password = self.password(block, user.is_some());
        let max_connections = self.value(block, "max_connections", values::connections);
        let from = self.sender_rules(block);
        let (host, tls) = (host?, tls?);
        if tls == Tls::None && user.is_some() && !values::is_loopback(&host) {
            self.complain(
                self.line_of(block, "tls"),
                "with tls = none the password would travel in plain text",
                "use starttls or implicit, or remove user",
            );
        }
        Some(Gateway {
            name,
            deliver: deliver?,
            port: given_port.unwrap_or(usual_port(tls)),
            tls,
            tls_name: tls_name.unwrap_or_else(|| host.clone()),
            host,
            ca_file,
            user,
            password,
            max_connections: max_connections?,
            from,
        })
    }

    fn host(
        &mut self,
        block: &Block,
        name: &str,
        line: usize,
        deliver: Option<&Deliver>,
    ) -> Option<String> {
        if self.is_given(block, "host") {
            return self.optional(block, "host", values::host);
        }
        if !matches!(deliver, Some(Deliver::Capture(_))) {
            self.complain(
                line,
                format!("[gateway {name}] has no host"),
                "add a line such as host = smtp.example.com",
            );
            return None;
        }
        Some(name.to_owned())
    }

    fn tls(&mut self, block: &Block, port: Option<u16>) -> Option<Tls> {
        match (self.is_given(block, "tls"), port) {
            (true, _) => self.optional(block, "tls", values::tls),
            (false, Some(465)) => Some(Tls::Implicit),
            (false, _) => Some(Tls::StartTls),
        }
    }

    fn password(&mut self, block: &Block, has_user: bool) -> Option<PasswordSource> {
        let file = self.optional(block, "password_file", values::path);
        let command = self.optional(block, "password_command", values::text);
        let credential = self.optional(block, "password_credential", values::credential_name);
        let given = ["password_file", "password_command", "password_credential"];
        let given: Vec<_> = given
            .into_iter()
            .filter(|name| self.is_given(block, name))
            .collect();
        match given.as_slice() {
            [] if has_user => self.complain(
                self.line_of(block, "user"),
                "user is given, but no password for it",
                "add password_file, password_command or password_credential",
            ),
            [name] if !has_user && !self.is_given(block, "user") => {
                let message = format!("{name} is given, but no user for it");
                self.complain(self.line_of(block, name), message, "add a line user = NAME");
            }
            [first, second, ..] => {
                let message = format!("both {first} and {second} are given");
                self.complain(self.line_of(block, second), message, "keep one of them");
            }
            _ => {}
        }
        file.map(PasswordSource::File)
            .or(command.map(PasswordSource::Command))
            .or(credential.map(PasswordSource::Credential))
    }

    fn listen(&mut self) -> Option<Listen> {
        let block = Block::of(Section::Listen);
        let smtp = self.value(&block, "smtp", values::loopback_sockets);
        let submission = self.value(&block, "submission", values::sockets);
        let tls_cert = self.optional(&block, "tls_cert", values::path);
        let tls_key = self.optional(&block, "tls_key", values::path);
        let users_file = self.optional(&block, "users_file", values::path);
        if submission.as_ref().is_some_and(|all| !all.is_empty()) {
            self.requires(&block, "submission", &["tls_cert", "tls_key", "users_file"]);
        } else if self.is_given(&block, "tls_cert") {
            self.requires(&block, "tls_cert", &["tls_key"]);
        } else if self.is_given(&block, "tls_key") {
            self.requires(&block, "tls_key", &["tls_cert"]);
        }
        self.no_shared_socket(&block, smtp.as_ref(), submission.as_ref());
        Some(Listen {
            smtp: smtp?,
            submission: submission?,
            tls_cert,
            tls_key,
            users_file,
        })
    }

    fn requires(&mut self, block: &Block, name: &str, others: &[&str]) {
        let missing: Vec<&str> = others
            .iter()
            .copied()
            .filter(|other| !self.is_given(block, other))
            .collect();
        if !missing.is_empty() {
            let message = format!("{name} is given without {}", missing.join(", "));
            let remedy = format!(
                "add {} to [{}], or remove {name}",
                missing.join(", "),
                block.heading
            );
            self.complain(self.line_of(block, name), message, remedy);
        }
    }

    fn no_shared_socket(
        &mut self,
        block: &Block,
        smtp: Option<&Vec<std::net::SocketAddr>>,
        submission: Option<&Vec<std::net::SocketAddr>>,
    ) {
        let (Some(smtp), Some(submission)) = (smtp, submission) else {
            return;
        };
        if let Some(both) = submission.iter().find(|socket| smtp.contains(socket)) {
            let message = format!("{both} stands in both smtp and submission");
            self.complain(
                self.line_of(block, "submission"),
                message,
                "remove it from one of them",
            );
        }
    }

    fn log(&mut self) -> Option<Log> {
        let block = Block::of(Section::Log);
        let name = self.value(&block, "name", values::log_name);
        let to = self.value(&block, "to", values::log_target);
        Some(Log {
            name: name?,
            to: to?,
        })
    }

    /// The value of a key, or its default; `None` only after a complaint.
    fn value<T>(
        &mut self,
        block: &Block,
        name: &str,
        form: fn(&str) -> Result<T, Fault>,
    ) -> Option<T> {
        let key = Key::find(block.section, name)?;
        match (self.text_of(block, name), key.default) {
            (Some(text), _) => self.typed(block, key, &text, form),
            (None, Fallback::Value(text)) => self.typed(block, key, text, form),
            (None, Fallback::Words(_)) => None,
        }
    }

    /// The value of a key, or `None` where it is not given or after a complaint.
    fn optional<T>(
        &mut self,
        block: &Block,
        name: &str,
        form: fn(&str) -> Result<T, Fault>,
    ) -> Option<T> {
        let key = Key::find(block.section, name)?;
        match (self.text_of(block, name), key.default) {
            (None, Fallback::Words(_)) => None,
            _ => self.value(block, name, form),
        }
    }

    fn typed<T>(
        &mut self,
        block: &Block,
        key: &Key,
        text: &str,
        form: fn(&str) -> Result<T, Fault>,
    ) -> Option<T> {
        match form(text) {
            Ok(value) => Some(value),
            Err(Fault { message, remedy }) => {
                self.complain(
                    self.line_of(block, key.name),
                    format!("{}: {message}", key.name),
                    remedy,
                );
                None
            }
        }
    }

    fn text_of(&self, block: &Block, name: &str) -> Option<String> {
        let heading = (block.section != Section::Top).then_some(block.heading.as_str());
        self.ini
            .get_from(heading, name)
            .map(|value| value.trim().to_owned())
    }

    /// Whether the file sets a key, well or badly.
    fn is_given(&self, block: &Block, name: &str) -> bool {
        self.line_of(block, name) != 0
    }

    fn line_of(&self, block: &Block, name: &str) -> usize {
        let place = (block.heading.clone(), name.to_owned());
        self.lines.get(&place).copied().unwrap_or(0)
    }
}

impl Block {
    fn of(section: Section) -> Self {
        Self {
            heading: section.word().to_owned(),
            section,
        }
    }
}

const fn usual_port(tls: Tls) -> u16 {
    match tls {
        Tls::StartTls => 587,
        Tls::Implicit => 465,
        Tls::None => 25,
    }
}
