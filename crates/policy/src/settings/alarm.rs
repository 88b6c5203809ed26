//! `[alarm]` and `[alarm NAME]`: the roads by which trouble is told to a person.

use super::{PasswordSource, Problem, Tls, read};
use mail::Address;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What `[alarm]` and the `[alarm NAME]` sections say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alarm {
    /// The roads, in the order in which they are tried. None: nobody is told.
    pub roads: Vec<Road>,
    /// When somebody is told.
    pub watch: Watch,
    /// Where it is told regularly that relayd works.
    pub heartbeat: Option<Heartbeat>,
}

/// When somebody is told of what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    /// How long a gateway may be unreachable, or refuse for now.
    pub gateway_down_after: Duration,
    /// How long it may refuse us for good, or not be trusted.
    pub gateway_refuses_after: Duration,
    /// How long a message may wait.
    pub stuck_after: Duration,
    /// How long mail may lie in `maildrop`.
    pub maildrop_after: Duration,
    /// The share of a quota in percent.
    pub quota_warn: u8,
    /// The share of the spool's disk in percent that should be free.
    pub disk_free: u8,
    /// How long before a certificate or a token ends.
    pub expiry_before: Duration,
    /// The pause before the first reminder. Each further one is twice as long.
    pub remind_after: Duration,
    /// How long a cause must be gone before it is called over.
    pub clear_after: Duration,
    /// Whether a letter says every day that all is well.
    pub daily: bool,
}

impl Default for Watch {
    /// As without any setting.
    fn default() -> Self {
        const MINUTE: u64 = 60;
        Self {
            gateway_down_after: Duration::from_secs(10 * MINUTE),
            gateway_refuses_after: Duration::from_secs(MINUTE),
            stuck_after: Duration::from_secs(240 * MINUTE),
            maildrop_after: Duration::from_secs(5 * MINUTE),
            quota_warn: 80,
            disk_free: 10,
            expiry_before: Duration::from_secs(14 * 86_400),
            remind_after: Duration::from_secs(60 * MINUTE),
            clear_after: Duration::from_secs(MINUTE),
            daily: false,
        }
    }
}

impl Watch {
    /// How often relayd looks: often enough for the shortest span, and at most every ten seconds.
    #[must_use]
    pub fn look_every(&self) -> Duration {
        let spans = [
            self.gateway_down_after,
            self.gateway_refuses_after,
            self.stuck_after,
            self.maildrop_after,
            self.clear_after,
        ];
        let shortest = spans.into_iter().min().unwrap_or_default();
        (shortest / 4).clamp(Duration::from_millis(250), Duration::from_secs(10))
    }
}

/// A web address that is asked for as long as nothing is wrong, so that silence means something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// The address, if it is no secret.
    pub url: Option<String>,
    /// Where it is from if it is one.
    pub secret: Option<PasswordSource>,
    /// The pause between two calls.
    pub every: Duration,
}

/// One way to tell somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Road {
    /// The heading of its section: `alarm`, or `alarm NAME`.
    pub section: String,
    /// What it is.
    pub by: By,
}

/// What a road is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// Mail, through a server of its own.
    Smtp(Box<Account>),
    /// A POST to a web address.
    Webhook(Webhook),
    /// A command that reads the alarm, by `/bin/sh -c`.
    Command(String),
    /// A file that alarms are appended to.
    File(PathBuf),
}

/// A mail account for alarms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// How the session is encrypted.
    pub tls: Tls,
    /// The name that the certificate must carry.
    pub tls_name: String,
    /// A PEM file of the only authorities trusted; `None`: those of the system.
    pub ca_file: Option<PathBuf>,
    /// The user name to authenticate with.
    pub user: Option<String>,
    /// Where the password comes from; present exactly if `user` is.
    pub password: Option<PasswordSource>,
    /// Whom alarms are from; `None`: `user` if it is an address, else relayd at this host.
    pub from: Option<Address>,
    /// Who gets them; at least one, all in ASCII.
    pub to: Vec<Address>,
}

/// A web address that takes alarms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// What is posted.
    pub shape: Shape,
    /// Where to, if that is no secret.
    pub url: Option<String>,
    /// Where the secret comes from: the address, or with [`Shape::PagerDuty`] the integration key.
    pub secret: Option<PasswordSource>,
}

/// The form of what is posted to a [`Webhook`]; all are JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// An incoming webhook of Slack, or of Mattermost, Rocket.Chat and others that read the same.
    Slack,
    /// A workflow of Microsoft Teams.
    Teams,
    /// PagerDuty's Events API v2.
    PagerDuty,
    /// Plain members: `subject`, `body`, `host`, `time`, `event`, `key`.
    Plain,
}

/// Where PagerDuty takes events.
pub const PAGERDUTY: &str = "https://events.pagerduty.com/v2/enqueue";

/// Web addresses are not longer than this, in bytes.
pub const LONGEST_URL: usize = 1000;

/// Whether a text is a web address that may be posted to: `https://`, or `http://` to this host.
#[must_use]
pub fn is_url(text: &str) -> bool {
    let rest = |prefix| text.strip_prefix(prefix);
    let host = |rest: &str| {
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        (!host.is_empty() && !host.contains('@')).then(|| host.to_owned())
    };
    let fine = text.len() <= LONGEST_URL && text.bytes().all(|b| b.is_ascii_graphic());
    let secure = rest("https://").and_then(host).is_some();
    let here = rest("http://").and_then(host).is_some_and(|host| {
        let name = match host.strip_prefix('[') {
            Some(inside) => inside.split(']').next(),
            None => host.split(':').next(),
        };
        name.is_some_and(super::values::is_loopback)
    });
    fine && (secure || here)
}

/// What sending an alarm needs of the settings, with everything in them that is good: trouble with
/// the settings must not keep alarms from going out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Emergency {
    /// `[alarm]` and `[alarm NAME]`.
    pub alarm: Alarm,
    /// `hostname`, if the file gives one that is good.
    pub hostname: Option<String>,
    /// `user`, likewise.
    pub user: Option<String>,
    /// The hosts of the gateways that mail is relayed through.
    pub gateways: Vec<String>,
}

impl Emergency {
    /// Reads it from the text of a settings file, and what is wrong in the sections of alarms.
    /// `file_name` is only named in problems.
    #[must_use]
    pub fn parse(text: &str, file_name: &str) -> (Self, Vec<Problem>) {
        read::emergency(text, file_name)
    }

    /// Makes relative paths relative to `base`, the folder of the settings file.
    pub fn resolve_paths(&mut self, base: &Path) {
        self.alarm.resolve(base);
    }

    /// The accounts whose server is a gateway's too: when that is down, so are they. Each with the
    /// heading of its section.
    pub fn shared_with_gateways(&self) -> impl Iterator<Item = (&str, &Account)> {
        self.alarm.roads.iter().filter_map(|road| match &road.by {
            By::Smtp(account) => self
                .gateways
                .iter()
                .any(|gateway| gateway.eq_ignore_ascii_case(&account.host))
                .then_some((road.section.as_str(), &**account)),
            _ => None,
        })
    }
}

impl Alarm {
    pub(super) fn resolve(&mut self, base: &Path) {
        let ping = self
            .heartbeat
            .as_mut()
            .and_then(|beat| beat.secret.as_mut());
        if let Some(PasswordSource::File(path)) = ping {
            *path = base.join(&*path);
        }
        for road in &mut self.roads {
            let mut paths: Vec<&mut PathBuf> = Vec::new();
            let mut secret = None;
            match &mut road.by {
                By::Smtp(account) => {
                    paths.extend(&mut account.ca_file);
                    secret = account.password.as_mut();
                }
                By::Webhook(hook) => secret = hook.secret.as_mut(),
                By::File(path) => paths.push(path),
                By::Command(_) => {}
            }
            if let Some(PasswordSource::File(path)) = secret {
                paths.push(path);
            }
            for path in paths {
                *path = base.join(&*path);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_safe_web_addresses_are_taken() {
        for good in [
            "https://hooks.example.com/a/b?c=d",
            "https://[2001:db8::1]:8443/x",
            "http://127.0.0.1:8080/",
            "http://[::1]:80/x",
            "http://localhost/x",
        ] {
            assert!(is_url(good), "{good}");
        }
        for bad in [
            "",
            "https://",
            "https:///x",
            "hooks.example.com",
            "http://hooks.example.com/",
            "http://127.0.0.1@evil.example/",
            "https://user:pass@hooks.example.com/",
            "https://a b/",
            "https://bücher.example/",
            "ftp://127.0.0.1/",
            "http://localhost.evil.example/",
        ] {
            assert!(!is_url(bad), "{bad}");
        }
    }
}
