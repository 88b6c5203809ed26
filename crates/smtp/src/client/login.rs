//! The way from the connection to a session that is ready for mail: greeting, EHLO, STARTTLS, EHLO
//! again, AUTH. A refusal anywhere here is about us, never about a message.

use super::{Client, Fault, FaultKind, State, TlsMode};
use crate::capabilities::Capabilities;
use crate::reply::Reply;
use crate::sasl::{Exchange, Mechanism};

/// Longest command line with its line end (RFC 5321 section 4.5.3.1.4).
const MAX_COMMAND: usize = 512;

impl Client {
    pub(super) fn greeting_reply(&mut self, reply: Reply) {
        if reply.is_positive() {
            self.send_ehlo();
        } else {
            self.farewell(reply);
        }
    }

    pub(super) fn send_ehlo(&mut self) {
        self.send_hello("EHLO");
        self.state = State::Ehlo;
    }

    fn send_hello(&mut self, verb: &str) {
        let allowed = self.config.hello.chars().filter(char::is_ascii_graphic);
        let name: String = allowed.take(255).collect();
        let name = if name.is_empty() { "localhost" } else { &name };
        self.out
            .extend_from_slice(format!("{verb} {name}\r\n").as_bytes());
    }

    pub(super) fn ehlo_reply(&mut self, reply: Reply) {
        // HELO offers neither STARTTLS nor AUTH, so it will do only where none is wanted.
        let helo_will_do = self.config.tls == TlsMode::None && self.config.auth.is_none();
        if reply.is_positive() {
            self.capabilities = Capabilities::from_reply(&reply);
            self.after_ehlo();
        } else if reply.is_permanent() && helo_will_do {
            self.send_hello("HELO");
            self.state = State::Helo;
        } else {
            self.farewell(reply);
        }
    }

    pub(super) fn helo_reply(&mut self, reply: Reply) {
        if reply.is_positive() {
            self.become_idle();
        } else {
            self.farewell(reply);
        }
    }

    fn after_ehlo(&mut self) {
        if self.config.tls == TlsMode::StartTls && !self.secure {
            if !self.capabilities.starttls {
                return self.refuse_session(FaultKind::NoStartTls);
            }
            self.out.extend_from_slice(b"STARTTLS\r\n");
            self.state = State::StartTls;
        } else if self.config.auth.is_some() {
            self.start_auth();
        } else {
            self.become_idle();
        }
    }

    pub(super) fn starttls_reply(&mut self, reply: Reply) {
        if reply.is_positive() {
            // From here on every byte in the clear is a fault: see check_silence.
            self.state = State::Handshake { greeted: true };
        } else {
            self.farewell(reply);
        }
    }

    fn start_auth(&mut self) {
        if self.capabilities.auth.is_empty() {
            return self.refuse_session(FaultKind::NoAuth);
        }
        let offered = |mechanism: &Mechanism| self.may_use(*mechanism);
        let Some(mechanism) = self.config.mechanisms.iter().copied().find(offered) else {
            let offered = self.capabilities.auth.clone();
            return self.refuse_session(FaultKind::NoMechanism { offered });
        };
        let binding = self.binding.as_deref();
        let mut exchange = Exchange::new(mechanism, &self.config.nonce, binding);
        let initial = self
            .config
            .auth
            .as_ref()
            .and_then(|auth| exchange.initial(auth));
        let verb = format!("AUTH {}", mechanism.name());
        self.out.extend_from_slice(verb.as_bytes());
        if let Some(initial) = initial
            && verb.len() + 1 + initial.len() + 2 <= MAX_COMMAND
        {
            self.out.push(b' ');
            self.out.extend_from_slice(initial.as_bytes());
            exchange.initial_sent();
        }
        self.out.extend_from_slice(b"\r\n");
        self.state = State::Auth(exchange);
    }

    /// Whether the server offers it and we have what it takes.
    fn may_use(&self, mechanism: Mechanism) -> bool {
        let able = match mechanism {
            Mechanism::ScramSha256Plus => self.binding.is_some() && !self.config.nonce.is_empty(),
            Mechanism::ScramSha256 => !self.config.nonce.is_empty(),
            _ => true,
        };
        able && self.capabilities.offers(mechanism)
    }

    pub(super) fn auth_reply(&mut self, reply: Reply) {
        if reply.is_positive() {
            self.logged_in();
        } else if reply.is_intermediate() {
            self.answer_challenge(&reply);
        } else {
            self.farewell(reply);
        }
    }

    /// The server says that we are in; it may have had to prove something itself.
    fn logged_in(&mut self) {
        if matches!(&self.state, State::Auth(exchange) if !exchange.is_proved()) {
            let what = "the server did not prove that it knows the password".to_owned();
            return self.refuse_session(FaultKind::Protocol(what));
        }
        self.become_idle();
    }

    fn answer_challenge(&mut self, reply: &Reply) {
        let (State::Auth(exchange), Some(auth)) = (&mut self.state, &self.config.auth) else {
            return;
        };
        match exchange.answer(&reply.text(), auth) {
            Ok(line) => self.out.extend_from_slice(line.as_bytes()),
            Err(error) => {
                self.out.push(b'*');
                self.state = State::AuthGivenUp(error.to_string());
            }
        }
        self.out.extend_from_slice(b"\r\n");
    }

    fn refuse_session(&mut self, kind: FaultKind) {
        let stage = match kind {
            FaultKind::NoStartTls => crate::Stage::StartTls,
            _ => crate::Stage::Auth,
        };
        self.close(Some(Fault { stage, kind }));
    }
}
