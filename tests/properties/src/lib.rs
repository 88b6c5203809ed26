//! What must hold for whatever comes in: one function for each way into the suite, which takes any bytes and panics
//! where a property does not hold.
//!
//! The fuzzer in `fuzz/` searches for bytes that break them. The test `corpora` runs them over what the fuzzer kept,
//! so that the normal suite needs no fuzzer.

#![forbid(unsafe_code)]

pub mod addresses;
pub mod aliases;
pub mod argv;
mod canonical;
pub mod client;
pub mod control;
pub mod corpus;
mod cuts;
pub mod entry;
pub mod header;
pub mod mime;
pub mod outgoing;
pub mod server;
pub mod settings;
mod storable;

/// One target: its name, which is that of the fuzzer's program and of its corpus, and its property.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// Panics where the property does not hold for these bytes.
    pub check: fn(&[u8]),
}

/// Every target.
pub const TARGETS: &[Target] = &[
    Target {
        name: "addresses",
        check: addresses::check,
    },
    Target {
        name: "aliases",
        check: aliases::check,
    },
    Target {
        name: "argv",
        check: argv::check,
    },
    Target {
        name: "client",
        check: client::check,
    },
    Target {
        name: "control",
        check: control::check,
    },
    Target {
        name: "entry",
        check: entry::check,
    },
    Target {
        name: "header",
        check: header::check,
    },
    Target {
        name: "mime",
        check: mime::check,
    },
    Target {
        name: "outgoing",
        check: outgoing::check,
    },
    Target {
        name: "server",
        check: server::check,
    },
    Target {
        name: "settings",
        check: settings::check,
    },
];
