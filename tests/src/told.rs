//! The person whom alarms reach: a mail server of its own, with the sections of settings that lead to it.

use std::time::Duration;

use crate::certificate::{Authority, Validity};
use crate::gateway::{Delivery, Gateway, Setup};
use crate::patience;
use crate::rig::Rig;

/// The account that alarms are sent by.
pub const USER: &str = "alarms@elsewhere.test";
/// Its password.
pub const PASSWORD: &str = "an alarm's own Passw0rd";

/// A server for alarms.
pub struct Told {
    /// The server; its certificate is for `alarms.test`.
    pub gateway: Gateway,
    /// Whom its certificate is from.
    pub authority: Authority,
}

impl Told {
    /// Starts one after `change` of its set-up.
    pub fn new(change: impl FnOnce(&mut Setup)) -> Self {
        let authority = Authority::new();
        let mut setup = Setup::provider(authority.issue("alarms.test", Validity::Current));
        (setup.user, setup.password) = (USER.to_owned(), PASSWORD.to_owned());
        change(&mut setup);
        let gateway = Gateway::start(setup);
        Self { gateway, authority }
    }

    /// The lines of a section that uses it; its files are put beside the settings of `rig`.
    pub fn section(&self, rig: &Rig, heading: &str) -> String {
        let name = heading.replace(' ', "-");
        rig.write(&format!("{name}.pem"), &self.authority.pem, 0o644);
        rig.write(&format!("{name}.secret"), &format!("{PASSWORD}\n"), 0o600);
        format!(
            "[{heading}]\nto = a@person.test, b@person.test\nhost = localhost\nport = {}\ntls_name = alarms.test\n\
             ca_file = {name}.pem\nuser = {USER}\npassword_file = {name}.secret\n",
            self.gateway.port()
        )
    }

    /// What arrived.
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.gateway.record().deliveries
    }

    /// The subjects of what arrived, without the name of the rig's host.
    pub fn subjects(&self) -> Vec<String> {
        let all = self.deliveries();
        let subjects = all.iter().flat_map(|delivery| delivery.fields("Subject"));
        subjects
            .map(|subject| {
                subject
                    .split_once(": ")
                    .map_or(subject.clone(), |(_, rest)| rest.to_owned())
            })
            .collect()
    }

    /// Waits until the last of what arrived has this in its subject, and gives all subjects.
    #[track_caller]
    pub fn expect(&self, words: &str, limit: Duration) -> Vec<String> {
        let mut subjects = Vec::new();
        let arrived = patience::until(limit, || {
            subjects = self.subjects();
            subjects
                .last()
                .is_some_and(|last| last.contains(words))
                .then_some(())
        });
        assert!(
            arrived.is_some(),
            "no {words:?} after {limit:?} in {subjects:#?}"
        );
        subjects
    }
}
