//! From the text of a settings file to [`Settings`]: one look for the form of the lines, the INI
//! reader for the values, the table of keys for their meaning.

use super::keys::{Fallback, Key, Section};
use super::scan::{Complaint, Heading, Scan, scan};
use super::values::{self, Fault};
use super::{Deliver, Gateway, Log, PasswordSource, Paths, Problem, Rewrite, Settings, Tls};
use crate::providers::Preset;
use ini::{Ini, ParseOption};
use place::Place;

mod alarm;
mod essentials;
mod from;
mod limits;
mod listen;
mod place;
mod route;

pub(super) use alarm::emergency;
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
    /// What a gateway's provider says where the section is silent.
    preset: Option<Preset>,
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
            preset: None,
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
        let replies = self.optional(&Block::of(Section::Replies), "file", values::path);
        let gateways = self.gateways();
        let listen = self.listen();
        let doors = self.doors();
        let log = self.log();
        let alarm = self.alarm();
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
            replies,
            gateways,
            listen: listen?,
            doors: doors?,
            log: log?,
            alarm,
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
        let headings = self.headings_of(Section::Gateway);
        if headings.is_empty() {
            let remedy = "add a section [gateway NAME] with host, user and password_file";
            self.complain(0, "no gateway is given, so no mail can be sent", remedy);
        }
        let read = |(heading, section, line)| {
            let mut block = Block {
                heading,
                section,
                preset: None,
            };
            block.preset = self.preset(&block);
            self.gateway(&block, line)
        };
        let count = headings.len();
        let mut gateways: Vec<Gateway> = headings.into_iter().filter_map(read).collect();
        // With one left out for what is wrong in it, more would be said than there is.
        if gateways.len() == count {
            self.join_gateways(&mut gateways);
        }
        gateways
    }

    fn gateway(&mut self, block: &Block, line: usize) -> Option<Gateway> {
        let name = block
            .heading
            .strip_prefix("gateway ")
            .unwrap_or_default()
            .to_owned();
        let deliver = self.value(block, "deliver", values::deliver);
        let place = self.place(block, line, deliver.as_ref());
        let tls_name = self.optional(block, "tls_name", values::host);
        let ca_file = self.optional(block, "ca_file", values::path);
        let user = self.user(block, deliver.as_ref());
        let password = self.password(block, user.is_some());
        let max_connections = self.value(block, "max_connections", values::connections);
        let per_connection = self.optional(block, "max_messages_per_connection", limits::count);
        let max_recipients = self.optional(block, "max_recipients", limits::count);
        let idle_close = self.value(block, "idle_close", values::duration);
        let rate = self.optional(block, "rate", limits::rate);
        let quota = self.quota(block);
        let fallback = self.fallback(block);
        let weight = self.optional(block, "weight", limits::weight);
        let takes = self.takes(block);
        let helo_name = self.optional(block, "helo_name", values::host_name);
        let from = self.sender_rules(block);
        let Place { host, port, tls } = place?;
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
            provider: block.preset.clone(),
            port,
            tls,
            tls_name: tls_name.unwrap_or_else(|| host.clone()),
            host,
            ca_file,
            user,
            password,
            max_connections: max_connections?,
            max_messages_per_connection: per_connection,
            max_recipients,
            idle_close: idle_close?,
            rate,
            quota: quota?,
            fallback,
            weight: weight.unwrap_or(1),
            takes,
            spare: false,
            helo_name,
            from,
        })
    }

    /// A provider's user needs a password, which a gateway that sends nothing has not.
    fn user(&mut self, block: &Block, deliver: Option<&Deliver>) -> Option<String> {
        let sends = deliver == Some(&Deliver::Smtp);
        (sends || self.is_given(block, "user"))
            .then(|| self.optional(block, "user", values::text))
            .flatten()
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
                self.line_of(block, "user")
                    .max(self.line_of(block, "provider")),
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
            .or_else(|| block.preset(name).map(str::to_owned))
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
            preset: None,
        }
    }

    /// What the provider says for a key.
    fn preset(&self, name: &str) -> Option<&str> {
        self.preset.as_ref()?.value(name)
    }
}
