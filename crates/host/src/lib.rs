//! Everything that touches the process and the machine it runs on: clock, identity, standard
//! descriptors and the terminal, configuration and secret files, log sinks, the control socket's client side,
//! systemd's protocols, and giving up privilege.
//!
//! Nothing is decided here. What a setting means, how a log line is worded and who may do what is
//! `policy`'s business; this crate fetches the facts and carries out the calls. It is the only
//! crate that may hold `unsafe` code, and each block says why it is sound.

pub mod aliases;
pub mod clock;
pub mod command;
pub mod config;
pub mod control;
pub mod filesystem;
pub mod identity;
pub mod logger;
pub mod privileges;
pub mod prompt;
pub mod random;
pub mod replies;
pub mod scratch;
pub mod secret;
pub mod sockets;
pub mod stdio;
pub mod systemd;
mod trusted;
pub mod users;
