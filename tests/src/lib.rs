//! What the end-to-end suites stand on: a scripted SMTP gateway that judges what it is sent, certificates made
//! on the spot, private instances of the real Postfix, and a rig that runs the real programs of the suite.
//!
//! Nothing here uses the product's own SMTP code: a judge shares no mistakes with the judged.

#![forbid(unsafe_code)]

pub mod case;
pub mod certificate;
pub mod cron;
pub mod doors;
pub mod enclosure;
pub mod gateway;
pub mod hook;
pub mod lenient;
pub mod namespace;
pub mod patience;
pub mod peer;
pub mod postfix;
pub mod process;
pub mod program;
pub mod puppet;
pub mod reading;
pub mod report;
pub mod rig;
pub mod scene;
pub mod sim;
pub mod table;
pub mod told;
