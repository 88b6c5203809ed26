//! What is wrong, whom to tell and when: from facts about relayd to findings ([`examine`]), and from
//! findings over time to the few notices that a person gets ([`Alarms`]).
//!
//! One alarm for each cause, then reminders that grow rarer, then one all-clear. A retry that
//! succeeds is no cause. `relayctl check` shows the same findings, so that both always agree.

mod episodes;
mod facts;
mod findings;
mod lines;
mod log_lines;
mod report;
mod text;
mod words;

pub use episodes::{Alarms, Notice, NoticeKind};
pub use facts::{Disk, Down, Expiry, Facts, GatewayFacts, Oldest, QuotaFacts};
pub use findings::{Finding, Grade, Picture, examine};
pub use log_lines::is_notable;
pub use report::{Report, Style};
pub use text::TextError;
