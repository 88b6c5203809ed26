//! Counts what each origin hands in against `[limits] rate`, and says aloud when one goes over it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use mail::Origin;
use policy::budget::{self, Finding, Usage};
use policy::log::Line;
use policy::settings::{Doors, OverRate};

use crate::log::Log;

/// What all origins handed in lately.
#[derive(Default)]
pub(crate) struct Budgets(Mutex<Usage>);

/// What becomes of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    /// It is taken in.
    Given,
    /// It is refused for now; there is room after this time.
    PutOff(Duration),
    /// It is taken in and held.
    Held,
}

impl Budgets {
    /// Counts a message of this origin.
    pub(crate) fn count(&self, log: &Log, doors: &Doors, origin: &Origin) -> Leave {
        let Some(budget) = &doors.budget else {
            return Leave::Given;
        };
        let name = budget::account(&origin.submitter);
        let finding = {
            let mut usage = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            usage.take(host::clock::monotonic(), &name, budget)
        };
        match finding {
            Finding::Within { again } => {
                if again {
                    log.write(&Line::WithinRate { origin: &name });
                }
                Leave::Given
            }
            Finding::Over { wait, first } => {
                if first {
                    log.write(&Line::OverRate {
                        origin: &name,
                        login: budget::login(&origin.submitter),
                        script: origin.script.as_deref(),
                        rate: &budget.to_string(),
                        held: doors.over_rate == OverRate::Hold,
                    });
                }
                match doors.over_rate {
                    OverRate::Defer => Leave::PutOff(wait),
                    OverRate::Hold => Leave::Held,
                }
            }
        }
    }
}
