//! What the end-to-end suites stand on: a scripted SMTP gateway that judges what it is sent, certificates made
//! on the spot, private instances of the real Postfix, and a rig that runs the real programs of the suite.
//!
//! Nothing here uses the product's own SMTP code: a judge shares no mistakes with the judged.

#![forbid(unsafe_code)]

pub mod certificate;
pub mod gateway;
pub mod namespace;
pub mod patience;
pub mod postfix;
pub mod program;
pub mod report;
pub mod rig;
pub mod scene;
pub mod sim;
