//! What `sendmail`, `mailq` and `postqueue` are made of.
//!
//! The programs run once per message, often from a web request: nothing here starts a thread, reads
//! the settings or asks the account database unless it must, and nothing waits forever.
#![forbid(unsafe_code)]

pub mod failure;
pub mod options;
pub mod postqueue;
pub mod program;
pub mod sendmail;

mod addresses;
mod author;
mod installation;
mod message;
mod newaliases;
mod queue;
mod session;
mod submit;
