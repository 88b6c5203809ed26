//! Every decision of the suite, as functions of values: the settings table, what a reply means,
//! which message goes when, how a line of the log or of `mailq` is worded, which status a program
//! exits with.
//!
//! Nothing here reads a clock, a file, the environment or the network.
#![forbid(unsafe_code)]

pub mod addresses;
pub mod alarm;
pub mod aliases;
pub mod budget;
pub mod bulk;
pub mod control;
pub mod durability;
pub mod from;
pub mod listing;
pub mod log;
pub mod outgoing;
pub mod providers;
pub mod quota;
pub mod rewrite;
pub mod route;
pub mod schedule;
pub mod settings;
pub mod sysexits;
pub mod users;
pub mod verdict;
