//! How the lines read that relayd writes in its own name, and those about what it does to a message.

use super::word;
use crate::log::Line;

impl Line<'_> {
    pub(super) fn text_of_daemon(&self) -> String {
        match *self {
            Line::Held { id, held: true } => format!("{id}: placed on hold"),
            Line::Held { id, held: false } => format!("{id}: released from hold"),
            Line::Started { version, settings } => {
                format!("daemon started -- version {version}, configuration {settings}")
            }
            Line::Reloaded { version, settings } => {
                format!("reload -- version {version}, configuration {settings}")
            }
            Line::Stopping { signal } => format!("terminating on signal {signal}"),
            Line::SettingsRefused { problem } => format!("settings not reloaded: {problem}"),
            Line::OverRate {
                origin,
                login,
                script,
                rate,
                held,
            } => {
                let fate = if held { "held" } else { "refused for now" };
                let who = format!("{}{}", word(origin), account(login, script));
                format!("{who} hands in more than {rate}: its mail is {fate}")
            }
            Line::WithinRate { origin } => format!("{} is within its rate again", word(origin)),
            Line::Damaged {
                name,
                queue,
                moved,
                why,
            } => {
                let name = word(name);
                if moved {
                    format!("damaged entry {name} moved from {queue} to corrupt: {why}")
                } else {
                    format!("damaged entry {name} left in {queue}: {why}")
                }
            }
            Line::Uncertain { id, gateway } => format!(
                "{id}: gateway {} may have taken this message, its answer is not known; \
                 it will be sent again",
                word(gateway)
            ),
            Line::Explained {
                id,
                meaning,
                remedy,
            } => format!("{id}: {meaning}; {remedy}"),
            Line::Altered { id, what } => format!("{id}: altered: {what}"),
            Line::Warning { text, .. } | Line::Error { text, .. } | Line::Fatal { text, .. } => {
                text.to_owned()
            }
            _ => self.text_of_gateways(),
        }
    }

    fn text_of_gateways(&self) -> String {
        match *self {
            Line::GatewayDown { gateway, reason } => {
                format!("gateway {} down: {reason}", word(gateway))
            }
            Line::GatewayUp {
                gateway,
                after,
                waiting,
            } => {
                format!(
                    "gateway {} up: down_for={}, waiting={waiting}",
                    word(gateway),
                    after.as_secs()
                )
            }
            Line::TakenOver {
                gateway,
                others,
                spent,
            } => {
                let why = if spent {
                    "its quota is used up"
                } else {
                    "it takes no mail"
                };
                format!(
                    "mail for gateway {} goes through {others}: {why}",
                    word(gateway)
                )
            }
            Line::QuotaUsed {
                gateway,
                quota,
                percent,
            } => format!(
                "gateway {}: {percent} % of its quota of {quota} is used",
                word(gateway)
            ),
            _ => String::new(),
        }
    }
}

/// ` (www-data), script 33:mailer.php`, as far as it is known.
fn account(login: Option<&str>, script: Option<&str>) -> String {
    let login = login.map_or(String::new(), |login| format!(" ({})", word(login)));
    let script = script.map_or(String::new(), |name| format!(", script {}", word(name)));
    login + &script
}
