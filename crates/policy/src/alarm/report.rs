//! What `relayctl check` prints: for people, for programs, and for Nagios and its kin.

use super::facts::{Disk, Facts};
use super::findings::{Finding, Grade, Picture};
use super::words::span;
use crate::listing::json_string;
use crate::log::printable;
use crate::settings::alarm::Watch;
use std::fmt::Write as _;
use std::time::Duration;

/// What was looked at, and what was found.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// The facts.
    pub facts: &'a Facts,
    /// What [`super::examine`] made of them.
    pub picture: &'a Picture,
    /// By these thresholds.
    pub watch: &'a Watch,
}

/// For whom a report is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// A person.
    Human,
    /// A program: one JSON object.
    Json,
    /// Nagios, Icinga and others that run its plugins: one line with perfdata, then the findings.
    Nagios,
}

impl Report<'_> {
    /// How the program ends, by the Monitoring Plugins' guidelines: 0 all is well, 1 warning, 2
    /// critical.
    #[must_use]
    pub fn status(&self) -> u8 {
        let grades = self.picture.findings.iter().map(|finding| finding.grade);
        match grades.max() {
            None => 0,
            Some(Grade::Warning) => 1,
            Some(Grade::Critical) => 2,
        }
    }

    /// The report, with its last line end.
    #[must_use]
    pub fn text(&self, style: Style) -> String {
        match style {
            Style::Human => self.human(),
            Style::Json => self.json(),
            Style::Nagios => self.nagios(),
        }
    }

    const fn word(status: u8) -> &'static str {
        match status {
            0 => "OK",
            1 => "WARNING",
            _ => "CRITICAL",
        }
    }

    fn human(&self) -> String {
        let mut text = String::new();
        for finding in &self.picture.findings {
            let _ = writeln!(text, "{}\n  {}", finding.line(), finding.remedy);
        }
        if self.picture.findings.is_empty() {
            text.push_str("OK: nothing is wrong\n");
        }
        let facts = self.facts;
        let relayd = if facts.running {
            "runs"
        } else {
            "does not run"
        };
        let _ = writeln!(
            text,
            "relayd {relayd}. {} in the queue: {} deferred, {} on hold; the oldest for {}.",
            facts.waiting + facts.held,
            facts.deferred,
            facts.held,
            self.oldest().map_or_else(|| "0 s".to_owned(), span),
        );
        for gateway in &facts.gateways {
            let state = match &gateway.down {
                Some(down) => format!(
                    "down for {}: {}",
                    span(down.lasting),
                    printable::text(&down.reason)
                ),
                None => "up".to_owned(),
            };
            let _ = writeln!(text, "gateway {}: {state}", gateway.name);
        }
        if let Some(disk) = &facts.disk {
            let _ = writeln!(
                text,
                "disk of the spool: {}% free",
                percent(disk.free, disk.size)
            );
        }
        text
    }

    fn json(&self) -> String {
        let facts = self.facts;
        let mut text = format!(
            "{{\"status\": \"{}\", \"findings\": [",
            Self::word(self.status())
        );
        for (number, finding) in self.picture.findings.iter().enumerate() {
            text.push_str(if number == 0 { "" } else { ", " });
            finding_json(&mut text, finding);
        }
        let _ = write!(
            text,
            "], \"running\": {}, \"waiting\": {}, \"deferred\": {}, \"held\": {}, \
             \"oldest_seconds\": {}, \"damaged\": {}, \"maildrop\": {}, \"alarms_not_told\": {}",
            facts.running,
            facts.waiting,
            facts.deferred,
            facts.held,
            self.oldest().unwrap_or_default().as_secs(),
            facts.damaged,
            facts.maildrop.map_or(0, |(_, number)| number),
            facts.untold,
        );
        if let Some(disk) = &facts.disk {
            let Disk {
                free,
                size,
                free_files,
                files,
            } = disk;
            let _ = write!(
                text,
                ", \"disk\": {{\"free_bytes\": {free}, \"bytes\": {size}, \
                 \"free_inodes\": {free_files}, \"inodes\": {files}}}"
            );
        }
        text.push_str(", \"gateways\": [");
        for (number, gateway) in facts.gateways.iter().enumerate() {
            text.push_str(if number == 0 {
                "{\"name\": "
            } else {
                ", {\"name\": "
            });
            json_string(&mut text, &gateway.name);
            match &gateway.down {
                Some(down) => {
                    let _ = write!(
                        text,
                        ", \"down_seconds\": {}, \"reason\": ",
                        down.lasting.as_secs()
                    );
                    json_string(&mut text, &printable::text(&down.reason));
                }
                None => text.push_str(", \"down_seconds\": null"),
            }
            text.push('}');
        }
        text.push_str("]}\n");
        text
    }

    /// The Monitoring Plugins' form: `label=value[unit];warn;crit;min;max`. A `|` would end the
    /// text, so it is replaced.
    fn nagios(&self) -> String {
        let (facts, watch) = (self.facts, self.watch);
        let safe = |text: &str| text.replace('|', "/");
        let status = Self::word(self.status());
        let summary = match self.picture.findings.first() {
            Some(first) => safe(&first.what),
            None => format!("{} in the queue", facts.waiting + facts.held),
        };
        let mut text = format!(
            "RELAYD {status} - {summary} | queue={};;;0 deferred={};;;0 held={};;;0 oldest={}s;{};;0 \
             damaged={};0;;0 maildrop={};;;0 alarms_not_told={};;0;0",
            facts.waiting,
            facts.deferred,
            facts.held,
            self.oldest().unwrap_or_default().as_secs(),
            watch.stuck_after.as_secs(),
            facts.damaged,
            facts.maildrop.map_or(0, |(_, number)| number),
            facts.untold,
        );
        if let Some(disk) = &facts.disk {
            let (warn, critical) = (watch.disk_free, f32::from(watch.disk_free) / 2.0);
            let _ = write!(
                text,
                " disk_free={}%;{warn}:;{critical}:;0;100",
                percent(disk.free, disk.size)
            );
            if disk.files > 0 {
                let free = percent(disk.free_files, disk.files);
                let _ = write!(text, " inodes_free={free}%;{warn}:;{critical}:;0;100");
            }
        }
        for quota in &facts.quotas {
            let _ = write!(
                text,
                " 'quota {} {}'={};{};{};0;{}",
                quota.gateway.replace(['\'', '='], "_"),
                quota.limit.replace(['\'', '='], "_"),
                quota.used,
                quota.of.saturating_mul(u64::from(watch.quota_warn)) / 100,
                quota.of.saturating_mul(95) / 100,
                quota.of,
            );
        }
        text.push('\n');
        for finding in &self.picture.findings {
            let _ = writeln!(
                text,
                "{}",
                safe(&format!("{}. {}", finding.line(), finding.remedy))
            );
        }
        text
    }

    fn oldest(&self) -> Option<Duration> {
        self.facts.oldest.as_ref().map(|oldest| oldest.age)
    }
}

fn finding_json(text: &mut String, finding: &Finding) {
    let grade = match finding.grade {
        Grade::Warning => "WARNING",
        Grade::Critical => "CRITICAL",
    };
    let members = [
        ("cause", finding.cause.as_str()),
        ("kind", finding.kind),
        ("grade", grade),
        ("what", &finding.what),
        ("remedy", &finding.remedy),
    ];
    for (number, (name, value)) in members.into_iter().enumerate() {
        let _ = write!(text, "{}\"{name}\": ", if number == 0 { "{" } else { ", " });
        json_string(text, value);
    }
    text.push('}');
}

fn percent(free: u64, size: u64) -> u128 {
    if size == 0 {
        return 100;
    }
    u128::from(free) * 100 / u128::from(size)
}
