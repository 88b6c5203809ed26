//! Reading where a gateway is: its provider, host, port and encryption.

use super::{Block, Reader};
use crate::providers::{Preset, PresetError, Provider};
use crate::settings::nearest::nearest;
use crate::settings::scan::quoted;
use crate::settings::values::{self, Fault};
use crate::settings::{Deliver, Tls};

/// Where a gateway is.
pub(super) struct Place {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: Tls,
}

impl Reader {
    /// `provider`.
    pub(super) fn preset(&mut self, block: &Block) -> Option<Preset> {
        self.optional(block, "provider", preset)
    }

    /// `host`, `port` and `tls`, each as the section says or else as the provider does. `line` is
    /// that of the heading.
    pub(super) fn place(
        &mut self,
        block: &Block,
        line: usize,
        deliver: Option<&Deliver>,
    ) -> Option<Place> {
        let host = self.host(block, line, deliver);
        let own_port = self.given(block, "port", values::port);
        let own_tls = self.given(block, "tls", values::tls);
        let tls = match (own_tls, own_port) {
            (Some(tls), _) => tls?,
            (None, Some(Some(465))) => Tls::Implicit,
            (None, Some(_)) => Tls::StartTls,
            (None, None) => self
                .optional(block, "tls", values::tls)
                .unwrap_or(Tls::StartTls),
        };
        let port = match own_port {
            Some(port) => port.unwrap_or_default(),
            None if block
                .preset("tls")
                .is_none_or(|theirs| values::tls(theirs) != Ok(tls)) =>
            {
                usual_port(tls)
            }
            None => self
                .optional(block, "port", values::port)
                .unwrap_or(usual_port(tls)),
        };
        Some(Place {
            host: host?,
            port,
            tls,
        })
    }

    /// The value of a key that the section itself gives: `None` if it does not, `Some(None)` after
    /// a complaint.
    fn given<T>(
        &mut self,
        block: &Block,
        name: &str,
        form: fn(&str) -> Result<T, Fault>,
    ) -> Option<Option<T>> {
        self.is_given(block, name)
            .then(|| self.optional(block, name, form))
    }

    fn host(&mut self, block: &Block, line: usize, deliver: Option<&Deliver>) -> Option<String> {
        if self.is_given(block, "host") || block.preset("host").is_some() {
            return self.optional(block, "host", values::host);
        }
        let name = block.heading.strip_prefix("gateway ").unwrap_or_default();
        if matches!(deliver, Some(Deliver::Capture(_))) {
            return Some(name.to_owned());
        }
        if !self.is_given(block, "provider") {
            self.complain(
                line,
                format!("[gateway {name}] has no host"),
                "add a line such as host = smtp.example.com, or provider = and one of those that \
                 relayctl providers lists",
            );
        }
        None
    }
}

const fn usual_port(tls: Tls) -> u16 {
    match tls {
        Tls::StartTls => 587,
        Tls::Implicit => 465,
        Tls::None => 25,
    }
}

fn preset(text: &str) -> Result<Preset, Fault> {
    Preset::parse(text).map_err(|error| match error {
        PresetError::Unknown(name) => {
            let known = Provider::all().iter().map(|provider| provider.name);
            let meant = nearest(&name, known).map(|name| format!("perhaps {name} is meant; "));
            Fault {
                message: format!("there is no provider {}", quoted(&name)),
                remedy: format!(
                    "{}relayctl providers lists them; without provider set host, port and tls",
                    meant.unwrap_or_default()
                ),
            }
        }
        PresetError::NeedsArgument(provider, example) => Fault {
            message: format!("the provider {} needs a region", provider.name),
            remedy: format!(
                "write it after a colon, such as {}:{example}",
                provider.name
            ),
        },
        PresetError::WrongArgument(provider, word, known) => Fault {
            message: format!("{} is not known with {}", quoted(&word), provider.name),
            remedy: if known.is_empty() {
                format!("write {}", provider.form())
            } else {
                format!("write {} or one of {}", provider.name, known.join(", "))
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use crate::settings::{Gateway, Settings, Tls};

    fn gateway(lines: &str) -> Result<Gateway, String> {
        let text = format!("[gateway main]\n{lines}\n");
        match Settings::parse(&text, "f") {
            Ok(mut settings) => Ok(settings.gateways.remove(0)),
            Err(problems) => Err(problems
                .iter()
                .map(|problem| format!("{problem} "))
                .collect()),
        }
    }

    #[test]
    fn a_provider_sets_what_is_not_given() {
        let user = "user = u\npassword_file = p";
        let ses = gateway(&format!("provider = ses:eu-west-1\n{user}")).unwrap();
        assert_eq!(ses.host, "email-smtp.eu-west-1.amazonaws.com");
        assert_eq!(
            (ses.port, ses.tls, ses.tls_name),
            (587, Tls::StartTls, ses.host.clone())
        );
        assert_eq!(ses.max_recipients.unwrap().get(), 50);
        assert_eq!(ses.max_connections, 4);
        let own =
            format!("provider = ses:eu-west-1\nhost = h\nport = 2587\nmax_recipients = 7\n{user}");
        let own = gateway(&own).unwrap();
        assert_eq!(
            (own.host.as_str(), own.port, own.tls),
            ("h", 2587, Tls::StartTls)
        );
        assert_eq!(own.max_recipients.unwrap().get(), 7);
        assert_eq!(own.family(), Some("ses"));
        let m365 = gateway(&format!("provider = microsoft365\n{user}")).unwrap();
        assert_eq!(m365.rate.unwrap().to_string(), "30/min");
        assert_eq!(m365.max_connections, 2);
    }

    #[test]
    fn ports_and_tls_follow_each_other() {
        for (lines, port, tls) in [
            ("provider = zoho", 465, Tls::Implicit),
            ("provider = zoho\nport = 587", 587, Tls::StartTls),
            ("provider = zoho\ntls = starttls", 587, Tls::StartTls),
            ("provider = gmail\ntls = implicit", 465, Tls::Implicit),
            ("provider = gmail\nport = 465", 465, Tls::Implicit),
            (
                "provider = gmail\ntls = starttls\nport = 25",
                25,
                Tls::StartTls,
            ),
        ] {
            let gateway = gateway(lines).unwrap();
            assert_eq!((gateway.port, gateway.tls), (port, tls), "{lines}");
        }
    }

    #[test]
    fn a_provider_may_set_the_user_but_not_the_password() {
        let sendgrid = gateway("provider = sendgrid\npassword_file = p").unwrap();
        assert_eq!(sendgrid.user.as_deref(), Some("apikey"));
        let problems = gateway("provider = sendgrid").unwrap_err();
        assert!(
            problems.starts_with("f:2: user is given, but no password"),
            "{problems}"
        );
        assert!(gateway("provider = sendgrid\ndeliver = capture:/x").is_ok());
        assert!(gateway("provider = google-relay").is_ok());
    }

    #[test]
    fn mistakes_are_named() {
        for (lines, words) in [
            (
                "provider = sendgird",
                "f:2: provider: there is no provider \"sendgird\". perhaps sendgrid",
            ),
            (
                "provider = ses",
                "needs a region. write it after a colon, such as ses:eu-west-1",
            ),
            (
                "provider = mailgun:us",
                "\"us\" is not known with mailgun. write mailgun or one of eu",
            ),
            (
                "provider = ses:EU",
                "\"EU\" is not known with ses. write ses:REGION",
            ),
        ] {
            let problems = gateway(lines).unwrap_err();
            assert!(problems.contains(words), "{problems}");
            assert_eq!(problems.matches("f:").count(), 1, "{problems}");
        }
    }

    /// What the table of providers sets can be read.
    #[test]
    fn every_provider_is_good() {
        for provider in crate::providers::Provider::all() {
            let name = match &provider.argument {
                crate::providers::Argument::Required(word) => format!("{}:{word}", provider.name),
                _ => provider.name.to_owned(),
            };
            let gateway =
                gateway(&format!("provider = {name}\npassword_file = p\nuser = u")).unwrap();
            assert_ne!(gateway.tls, Tls::None, "{name}");
            assert_eq!(gateway.family(), Some(provider.family), "{name}");
            let by_host = crate::providers::family_of_host(&gateway.host);
            assert_eq!(by_host, Some(provider.family), "{name}");
        }
    }
}
