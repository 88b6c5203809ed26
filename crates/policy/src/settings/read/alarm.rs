//! Reading `[alarm]` and `[alarm NAME]`, with the rest of the file or alone.

use super::limits;
use super::{Block, Place, Reader, essentials::only};
use crate::settings::alarm::{
    Account, Alarm, By, Emergency, Heartbeat, PAGERDUTY, Road, Shape, Watch, Webhook,
};
use crate::settings::scan::Heading;
use crate::settings::values::{self, Fault};
use crate::settings::{PasswordSource, Problem, Section, Tls};
use mail::Address;

/// Roads and recipients beyond this help nobody.
const MOST_ROADS: usize = 20;
const MOST_RECIPIENTS: usize = 20;

/// Reads what sending an alarm needs; the rules are those of [`Emergency::parse`].
pub(in crate::settings) fn emergency(text: &str, file_name: &str) -> (Emergency, Vec<Problem>) {
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    let mut reader = Reader::of(&only(text, Section::Alarm));
    let alarm = reader.alarm();
    let mut top = Reader::of(&only(text, Section::Top));
    let block = Block::of(Section::Top);
    let emergency = Emergency {
        alarm,
        hostname: top.optional(&block, "hostname", values::host_name),
        user: top.optional(&block, "user", values::login),
        gateways: gateways(text),
    };
    (emergency, reader.report(file_name))
}

/// The gateways' hosts, as far as they can be read.
fn gateways(text: &str) -> Vec<String> {
    let mut reader = Reader::of(&only(text, Section::Gateway));
    let headings = reader.headings_of(Section::Gateway);
    let host = |(heading, section, _)| {
        let mut block = Block {
            heading,
            section,
            preset: None,
        };
        block.preset = reader.preset(&block);
        reader.optional(&block, "host", values::host)
    };
    headings.into_iter().filter_map(host).collect()
}

/// What the sections of roads have in common.
struct Shared {
    to: Option<Vec<Address>>,
    from: Option<Address>,
}

impl Reader {
    pub(super) fn headings_of(&self, section: Section) -> Vec<(Heading, Section, usize)> {
        let of = |(_, found, _): &&(Heading, Section, usize)| *found == section;
        self.headings.iter().filter(of).cloned().collect()
    }

    /// What is good in the sections of alarms; the rest is complained about.
    pub(super) fn alarm(&mut self) -> Alarm {
        let own = Block::of(Section::Alarm);
        let shared = Shared {
            to: self.optional(&own, "to", recipients),
            from: self.optional(&own, "from", values::mail_address),
        };
        let mut roads = Vec::new();
        for (heading, section, line) in self.headings_of(Section::Alarm) {
            let mut block = Block {
                heading,
                section,
                preset: None,
            };
            block.preset = self.preset(&block);
            let before = self.problems.len();
            if block.heading != own.heading {
                self.refuse_thresholds(&block);
            }
            let found = self.roads(&block, line, &shared);
            if found.is_empty() && self.problems.len() == before && block.heading != own.heading {
                let message = format!("[{}] says no road", block.heading);
                let remedy = "add host, webhook, command or file, or remove the section";
                self.complain(line, message, remedy);
            }
            roads.extend(found);
        }
        if roads.len() > MOST_ROADS {
            let message = format!("there are more than {MOST_ROADS} roads for alarms");
            self.complain(0, message, "remove some of them");
            roads.truncate(MOST_ROADS);
        }
        Alarm {
            roads,
            watch: self.watch(&own),
            heartbeat: self.heartbeat(&own),
        }
    }

    /// When somebody is told; a threshold that is not one is taken for the default.
    fn watch(&mut self, block: &Block) -> Watch {
        let usual = Watch::default();
        let mut span = |name, usual| self.value(block, name, values::duration).unwrap_or(usual);
        let mut watch = Watch {
            gateway_down_after: span("gateway_down_after", usual.gateway_down_after),
            gateway_refuses_after: span("gateway_refuses_after", usual.gateway_refuses_after),
            stuck_after: span("stuck_after", usual.stuck_after),
            maildrop_after: span("maildrop_after", usual.maildrop_after),
            expiry_before: span("expiry_before", usual.expiry_before),
            remind_after: span("remind_after", usual.remind_after),
            clear_after: span("clear_after", usual.clear_after),
            ..usual
        };
        let mut share = |name, usual| self.value(block, name, limits::percent).unwrap_or(usual);
        watch.quota_warn = share("quota_warn", watch.quota_warn);
        watch.disk_free = share("disk_free", watch.disk_free);
        let daily = self.value(block, "heartbeat", values::daily);
        watch.daily = daily.unwrap_or(watch.daily);
        watch
    }

    fn heartbeat(&mut self, block: &Block) -> Option<Heartbeat> {
        let url = self.optional(block, "heartbeat_url", values::url);
        let file = self.optional(block, "heartbeat_file", values::path);
        let every = self.value(block, "heartbeat_every", values::duration)?;
        if url.is_some() && file.is_some() {
            let line = self.line_of(block, "heartbeat_file");
            let message = "both heartbeat_url and heartbeat_file are given";
            self.complain(line, message, "keep one of them");
            return None;
        }
        (url.is_some() || file.is_some()).then_some(Heartbeat {
            url,
            secret: file.map(PasswordSource::File),
            every,
        })
    }

    /// Thresholds are those of the whole host.
    fn refuse_thresholds(&mut self, block: &Block) {
        for name in THRESHOLDS {
            if self.is_given(block, name) {
                let message = format!("{name} does not belong in [{}]", block.heading);
                self.complain(self.line_of(block, name), message, "move it to [alarm]");
            }
        }
    }

    /// The roads of one section, in the order in which they are tried.
    fn roads(&mut self, block: &Block, line: usize, shared: &Shared) -> Vec<Road> {
        let account = self.account(block, line, shared);
        let webhook = self.webhook(block, line);
        let command = self.optional(block, "command", values::text);
        let file = self.optional(block, "file", values::path);
        let found = [
            account.map(|account| By::Smtp(Box::new(account))),
            webhook.map(By::Webhook),
            command.map(By::Command),
            file.map(By::File),
        ];
        let road = |by| Road {
            section: block.heading.clone(),
            by,
        };
        found.into_iter().flatten().map(road).collect()
    }

    fn account(&mut self, block: &Block, line: usize, shared: &Shared) -> Option<Account> {
        let own_to = self.optional(block, "to", recipients);
        let own_from = self.optional(block, "from", values::mail_address);
        if !self.is_given(block, "host") && block.preset.is_none() {
            self.refuse_without(block, "host", &ACCOUNT_KEYS);
            return None;
        }
        let place = self.place(block, line, None);
        let tls_name = self.optional(block, "tls_name", values::host);
        let ca_file = self.optional(block, "ca_file", values::path);
        let user = self.optional(block, "user", values::text);
        let password = self.password(block, user.is_some());
        let to_is_given =
            self.is_given(block, "to") || self.is_given(&Block::of(Section::Alarm), "to");
        if !to_is_given {
            let message = format!("[{}] has a server, but nobody to tell", block.heading);
            self.complain(line, message, "add a line such as to = admin@example.com");
        }
        let to = own_to.or_else(|| shared.to.clone())?;
        let Place { host, port, tls } = place?;
        if tls == Tls::None && user.is_some() && !values::is_loopback(&host) {
            self.complain(
                self.line_of(block, "tls"),
                "with tls = none the password would travel in plain text",
                "use starttls or implicit, or remove user",
            );
            return None;
        }
        if user.is_some() != password.is_some() {
            return None;
        }
        Some(Account {
            tls_name: tls_name.unwrap_or_else(|| host.clone()),
            host,
            port,
            tls,
            ca_file,
            user,
            password,
            from: own_from.or_else(|| shared.from.clone()),
            to,
        })
    }

    fn webhook(&mut self, block: &Block, line: usize) -> Option<Webhook> {
        if !self.is_given(block, "webhook") {
            let others = ["webhook_url", "webhook_file", "webhook_credential"];
            self.refuse_without(block, "webhook", &others);
            return None;
        }
        let shape = self.optional(block, "webhook", values::shape);
        let url = self.optional(block, "webhook_url", values::url);
        let file = self.optional(block, "webhook_file", values::path);
        let credential = self.optional(block, "webhook_credential", values::credential_name);
        let given: Vec<&str> = ["webhook_file", "webhook_credential", "webhook_url"]
            .into_iter()
            .filter(|name| self.is_given(block, name))
            .collect();
        let secret = file
            .map(PasswordSource::File)
            .or(credential.map(PasswordSource::Credential));
        let pagerduty = shape? == Shape::PagerDuty;
        match given.as_slice() {
            [first, second, ..] if !(pagerduty && *second == "webhook_url") => {
                let message = format!("both {first} and {second} are given");
                self.complain(self.line_of(block, second), message, "keep one of them");
                return None;
            }
            [] | ["webhook_url"] if pagerduty => {
                let message = "webhook = pagerduty needs an integration key";
                let remedy = "put the key into a file of its own and add webhook_file = FILE";
                self.complain(line, message, remedy);
                return None;
            }
            [] => {
                let message = "webhook is given, but no web address for it";
                let remedy = "add webhook_file or webhook_credential with the address, or \
                              webhook_url if the address is no secret";
                self.complain(line, message, remedy);
                return None;
            }
            _ => {}
        }
        let url = url.or_else(|| pagerduty.then(|| PAGERDUTY.to_owned()));
        (url.is_some() || secret.is_some()).then_some(Webhook {
            shape: shape?,
            url,
            secret,
        })
    }

    /// Keys that mean nothing without another.
    fn refuse_without(&mut self, block: &Block, missing: &str, names: &[&str]) {
        if let Some(name) = names.iter().find(|name| self.is_given(block, name)) {
            let message = format!("{name} is given, but no {missing}");
            let remedy = format!("add a line {missing} = …, or remove this one");
            self.complain(self.line_of(block, name), message, remedy);
        }
    }
}

const THRESHOLDS: [&str; 13] = [
    "gateway_down_after",
    "gateway_refuses_after",
    "stuck_after",
    "maildrop_after",
    "quota_warn",
    "disk_free",
    "expiry_before",
    "remind_after",
    "clear_after",
    "heartbeat",
    "heartbeat_url",
    "heartbeat_file",
    "heartbeat_every",
];

const ACCOUNT_KEYS: [&str; 8] = [
    "port",
    "tls",
    "tls_name",
    "ca_file",
    "user",
    "password_file",
    "password_command",
    "password_credential",
];

/// Who gets alarms.
fn recipients(text: &str) -> Result<Vec<Address>, Fault> {
    let all = values::list(text);
    let read = all.iter().map(|one| values::mail_address(one));
    let addresses = read.collect::<Result<Vec<_>, _>>()?;
    let fault = |message: String, remedy: &str| {
        Err(Fault {
            message,
            remedy: remedy.to_owned(),
        })
    };
    if addresses.len() > MOST_RECIPIENTS {
        let message = format!("there are more than {MOST_RECIPIENTS} addresses");
        return fault(message, "name a few, or a list's address");
    }
    if !addresses.iter().all(Address::is_ascii) {
        let message = "an alarm must get through everywhere, and not every server takes addresses \
                       beyond ASCII"
            .to_owned();
        return fault(message, "write addresses in ASCII");
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests;
