//! Examples of the lines that relayd writes in its own name.

use std::time::Duration;

use super::{ID, SETTINGS};
use crate::log::{Kind, Line};

/// The lines about relayd itself.
pub(super) fn daemon(kind: Kind) -> Option<Line<'static>> {
    let problem = "relayd.conf:3: \"5\" has no unit. write a number and a unit.";
    let full = "writing to the queue failed: No space left on device";
    let denied = "User joe(1000) is not allowed to view the mail queue";
    let why = "checksum does not match";
    Some(match kind {
        Kind::Held => Line::Held { id: ID, held: true },
        Kind::Started => Line::Started {
            version: "0.1.0",
            settings: SETTINGS,
        },
        Kind::Reloaded => Line::Reloaded {
            version: "0.1.0",
            settings: SETTINGS,
        },
        Kind::Stopping => Line::Stopping { signal: 15 },
        Kind::SettingsRefused => Line::SettingsRefused { problem },
        Kind::OverRate => Line::OverRate {
            origin: "uid 33",
            login: Some("www-data"),
            script: Some("33:mailer.php"),
            rate: "500 messages/h, 100 at once",
            held: false,
        },
        Kind::WithinRate => Line::WithinRate { origin: "uid 33" },
        Kind::Damaged => Line::Damaged {
            name: "76CAF9E03A2A",
            queue: "deferred",
            moved: true,
            why,
        },
        Kind::Uncertain => Line::Uncertain {
            id: ID,
            gateway: "main",
        },
        Kind::Explained => Line::Explained {
            id: ID,
            meaning: "the sender address is not verified at SES",
            remedy: "verify it or its domain",
        },
        Kind::Altered => Line::Altered {
            id: ID,
            what: "From <visitor@far.example> became <noreply@site.example>",
        },
        Kind::Warning => Line::Warning {
            service: "relayd",
            text: "the system's clock was set back",
        },
        Kind::Error => Line::Error {
            service: "relayd",
            text: full,
        },
        Kind::Fatal => Line::Fatal {
            service: "postqueue",
            text: denied,
        },
        _ => return None,
    })
}

/// The lines about gateways and their quotas.
pub(super) fn gateways(kind: Kind) -> Option<Line<'static>> {
    let after = Duration::from_secs(95);
    let refused = "SASL authentication failed; server gw.example.net[192.0.2.2] said: 535 5.7.8 bad credentials";
    Some(match kind {
        Kind::GatewayDown => Line::GatewayDown {
            gateway: "main",
            reason: refused,
        },
        Kind::GatewayUp => Line::GatewayUp {
            gateway: "main",
            after,
            waiting: 12,
        },
        Kind::TakenOver => Line::TakenOver {
            gateway: "main",
            others: "spare",
            spent: false,
        },
        Kind::QuotaUsed => Line::QuotaUsed {
            gateway: "main",
            quota: "200/day",
            percent: 80,
        },
        _ => return None,
    })
}
