//! Facts as lines `name: value`, as relayd answers `FACTS` at its control socket.

use super::facts::{Disk, Down, Expiry, Facts, GatewayFacts, Oldest, QuotaFacts};
use crate::control::StatusLine;
use crate::schedule::TroubleKind;
use mail::Timestamp;
use std::str::FromStr;
use std::time::Duration;

const KINDS: [(&str, TroubleKind); 6] = [
    ("unreachable", TroubleKind::Unreachable),
    ("refused-for-now", TroubleKind::Refused4xx),
    ("refused", TroubleKind::Refused5xx),
    ("tls", TroubleKind::Tls),
    ("no-auth", TroubleKind::NoAuth),
    ("auth", TroubleKind::Auth),
];

impl Facts {
    /// The facts of a relayd that runs, for [`Facts::take`].
    #[must_use]
    pub fn lines(&self) -> Vec<StatusLine> {
        let mut lines = Vec::new();
        let mut add = |name: &str, value: String| {
            lines.push(StatusLine {
                name: name.to_owned(),
                value,
            });
        };
        for gateway in &self.gateways {
            let GatewayFacts { name, down, proven } = gateway;
            let state = match down {
                None if *proven => "up".to_owned(),
                None => "unproven".to_owned(),
                Some(Down {
                    kind,
                    lasting,
                    reason,
                }) => {
                    let kind = KINDS.iter().find(|(_, known)| known == kind);
                    let kind = kind.map_or("", |(word, _)| word);
                    format!("down {kind} {} {reason}", lasting.as_secs())
                }
            };
            add("gateway", format!("{name} {state}"));
        }
        for quota in &self.quotas {
            let QuotaFacts {
                gateway,
                limit,
                used,
                of,
            } = quota;
            add("quota", format!("{gateway} {used} {of} {limit}"));
        }
        add("waiting", self.waiting.to_string());
        add("deferred", self.deferred.to_string());
        add("held", self.held.to_string());
        if let Some(Oldest { id, age, reason }) = &self.oldest {
            let reason = reason.as_deref().unwrap_or_default();
            add("oldest", format!("{id} {} {reason}", age.as_secs()));
        }
        if let Some((number, sender, words)) = &self.refused_senders {
            add("refused senders", format!("{number} {sender} {words}"));
        }
        add("damaged", self.damaged.to_string());
        if let Some((age, number)) = self.maildrop {
            add("maildrop", format!("{} {number}", age.as_secs()));
        }
        if let Some(Disk {
            free,
            size,
            free_files,
            files,
        }) = self.disk
        {
            add("disk", format!("{free} {size} {free_files} {files}"));
        }
        for Expiry { what, at } in &self.expiring {
            add("expiry", format!("{} {what}", at.as_secs()));
        }
        add("untold", self.untold.to_string());
        lines
    }

    /// Takes in one line; one that is not known is from a newer relayd and is left out.
    pub fn take(&mut self, line: &StatusLine) {
        let StatusLine { name, value } = line;
        // A line that cannot be read says nothing.
        let _ = self.read(name, value);
    }

    fn read(&mut self, name: &str, value: &str) -> Option<()> {
        let mut words = value.splitn(4, ' ');
        match name {
            "gateway" => self.gateways.push(gateway(value)?),
            "quota" => self.quotas.push(QuotaFacts {
                gateway: words.next()?.to_owned(),
                used: number(words.next())?,
                of: number(words.next())?,
                limit: words.next()?.to_owned(),
            }),
            "waiting" => self.waiting = number(words.next())?,
            "deferred" => self.deferred = number(words.next())?,
            "held" => self.held = number(words.next())?,
            "damaged" => self.damaged = number(words.next())?,
            "untold" => self.untold = number(words.next())?,
            "oldest" => {
                let (id, rest) = value.split_once(' ')?;
                let (age, reason) = rest.split_once(' ')?;
                self.oldest = Some(Oldest {
                    id: id.to_owned(),
                    age: Duration::from_secs(age.parse().ok()?),
                    reason: (!reason.is_empty()).then(|| reason.to_owned()),
                });
            }
            "refused senders" => {
                let (count, rest) = value.split_once(' ')?;
                let (sender, text) = rest.split_once(' ')?;
                self.refused_senders =
                    Some((count.parse().ok()?, sender.to_owned(), text.to_owned()));
            }
            "maildrop" => {
                let age = Duration::from_secs(number(words.next())?);
                self.maildrop = Some((age, number(words.next())?));
            }
            "disk" => {
                self.disk = Some(Disk {
                    free: number(words.next())?,
                    size: number(words.next())?,
                    free_files: number(words.next())?,
                    files: number(words.next())?,
                });
            }
            "expiry" => {
                let (at, what) = value.split_once(' ')?;
                self.expiring.push(Expiry {
                    what: what.to_owned(),
                    at: Timestamp::from_secs(at.parse().ok()?),
                });
            }
            _ => return None,
        }
        Some(())
    }
}

fn gateway(value: &str) -> Option<GatewayFacts> {
    let mut words = value.splitn(5, ' ');
    let name = words.next()?.to_owned();
    let state = words.next()?;
    let down = match state {
        "down" => {
            let kind = words.next()?;
            let (_, kind) = KINDS.iter().find(|(word, _)| *word == kind)?;
            Some(Down {
                kind: *kind,
                lasting: Duration::from_secs(number(words.next())?),
                reason: words.next().unwrap_or_default().to_owned(),
            })
        }
        "up" | "unproven" => None,
        _ => return None,
    };
    Some(GatewayFacts {
        name,
        down,
        proven: state == "up",
    })
}

fn number<T: FromStr>(word: Option<&str>) -> Option<T> {
    word?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_read_as_they_were_told() {
        let gateways = KINDS.map(|(word, kind)| GatewayFacts {
            name: format!("to-{word}"),
            down: Some(Down {
                kind,
                lasting: Duration::from_secs(5),
                reason: "454 4.7.0 it: says -- why".to_owned(),
            }),
            proven: false,
        });
        let up = |proven| GatewayFacts {
            name: "main".to_owned(),
            down: None,
            proven,
        };
        let facts = Facts {
            running: true,
            gateways: gateways.into_iter().chain([up(true), up(false)]).collect(),
            quotas: vec![QuotaFacts {
                gateway: "main".to_owned(),
                limit: "200 recipients/day".to_owned(),
                used: 3,
                of: 200,
            }],
            waiting: 1,
            deferred: 2,
            held: 3,
            oldest: Some(Oldest {
                id: "0123456789AB".to_owned(),
                age: Duration::from_secs(9),
                reason: None,
            }),
            refused_senders: Some((4, "a@b.example".to_owned(), "554 no -- x; y".to_owned())),
            damaged: 5,
            maildrop: Some((Duration::from_secs(6), 7)),
            disk: Some(Disk {
                free: 1,
                size: 2,
                free_files: 3,
                files: 4,
            }),
            expiring: vec![Expiry {
                what: "the certificate c".to_owned(),
                at: Timestamp::from_secs(8),
            }],
            untold: 9,
        };
        let mut read = Facts {
            running: true,
            ..Facts::default()
        };
        for line in facts.lines() {
            read.take(&StatusLine::parse(&line.to_string()).unwrap());
        }
        assert_eq!(read, facts);
        for (name, value) in [("gateway", "x"), ("disk", "1 2"), ("from the future", "1")] {
            read.take(&StatusLine {
                name: name.to_owned(),
                value: value.to_owned(),
            });
        }
        assert_eq!(read, facts);
    }
}
