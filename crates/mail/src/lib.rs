//! What a message is: envelope, address, header block, recipients found by `-t`, completion of
//! headers, dates and identifiers.
//!
//! Everything here is a function of values. Nothing reads a clock, a file, the environment or the
//! network; whoever calls passes in what was found there.
#![forbid(unsafe_code)]

mod address;
pub mod authors;
pub mod completion;
pub mod date;
mod envelope;
pub mod header;
mod identity;
mod lexer;
pub mod line_ends;
mod mailboxes;
mod phrase;
pub mod recipients;
pub mod repair;
mod status;
mod time;

pub use address::{Address, AddressError};
pub use envelope::{Body, Envelope, Notify, Recipient, Ret};
pub use identity::{Origin, QueueId, QueueIdError, Submitter};
pub use status::StatusCode;
pub use time::Timestamp;
