//! What is said on the wire, both sides of SMTP, as state machines without I/O: bytes in, steps out.
//!
//! [`client::Client`] runs one session with a gateway, [`server::Server`] one session with whoever
//! hands mail in. A driver, blocking or not, moves the bytes, keeps the time and does TLS; it is
//! told what to do next and reports what happened. Nothing here reads a clock, a file, the
//! environment or the network.
#![forbid(unsafe_code)]

pub mod capabilities;
pub mod client;
mod content;
pub mod dot;
mod line;
mod parameters;
mod path;
pub mod reply;
pub mod sasl;
pub mod server;
mod stage;
pub mod xtext;

pub use stage::Stage;
