//! What the server tells its driver.

use mail::{Address, Body, Envelope, Recipient, Ret};

use crate::sasl::{Credentials, Mechanism};

/// A MAIL command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailCommand {
    /// The reverse-path; `None` is the null sender.
    pub sender: Option<Address>,
    /// `SIZE=` (RFC 1870), in bytes, already within the limit.
    pub size: Option<u64>,
    /// `BODY=`.
    pub body: Body,
    /// `SMTPUTF8`, or the address is outside ASCII.
    pub smtputf8: bool,
    /// `RET=`.
    pub ret: Option<Ret>,
    /// `ENVID=`, decoded.
    pub envid: Option<String>,
    /// `XASIS`, see [`ServerConfig::as_is`](super::ServerConfig::as_is).
    pub as_is: bool,
}

impl MailCommand {
    /// A command without parameters.
    #[must_use]
    pub fn new(sender: Option<Address>) -> Self {
        let smtputf8 = sender.as_ref().is_some_and(|address| !address.is_ascii());
        Self {
            sender,
            size: None,
            body: Body::SevenBit,
            smtputf8,
            ret: None,
            envid: None,
            as_is: false,
        }
    }
}

/// What happened, and what the driver is to do about it.
#[derive(Clone, Debug)]
pub enum Event {
    /// Read, and call [`Server::received`](super::Server::received).
    NeedInput,
    /// Write these bytes.
    Reply(Vec<u8>),
    /// Do the TLS handshake, then [`Server::tls_established`](super::Server::tls_established); if it fails, drop the connection.
    StartTls,
    /// Somebody says who they are, and by which mechanism: [`Server::auth_result`](super::Server::auth_result), or [`Server::refuse`](super::Server::refuse) with a reply of
    /// your own, such as a 454.
    Auth(Mechanism, Credentials),
    /// MAIL: [`Server::accept`](super::Server::accept) or [`Server::refuse`](super::Server::refuse).
    Mail(MailCommand),
    /// RCPT: [`Server::accept`](super::Server::accept) or [`Server::refuse`](super::Server::refuse).
    Rcpt(Recipient),
    /// The envelope is complete and content is to come: [`Server::accept`](super::Server::accept) or [`Server::refuse`](super::Server::refuse).
    ContentBegins(Envelope),
    /// The next piece of content, its line ends CRLF, its dots unstuffed. No answer is needed;
    /// [`Server::refuse`](super::Server::refuse) refuses the message: its remainder is read and thrown away, and neither
    /// [`Event::ContentEnds`] nor [`Event::Aborted`] comes for it.
    Content(Vec<u8>),
    /// The content is complete: [`Server::finish`](super::Server::finish).
    ContentEnds,
    /// The content that was begun will not be completed: forget it. Also comes between
    /// [`Event::ContentBegins`] and the first [`Event::Content`].
    Aborted(Abort),
    /// Drop the connection. Given again however often it is asked for.
    Close,
}

/// Why content that was begun was broken off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abort {
    /// The client gave it up: RSET, EHLO or QUIT between two BDATs.
    Reset,
    /// It grew beyond the limit. The client is told once all of it was read.
    TooBig,
    /// The session ended in the middle: end of input, too much, or [`Server::close_with`](super::Server::close_with).
    SessionEnded,
}
