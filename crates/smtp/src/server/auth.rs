//! AUTH PLAIN and LOGIN on the server's side (RFC 4954).

use super::{AuthOffer, Event, Progress, Question, Server, State};
use crate::sasl::{self, Credentials, Mechanism};

/// What the client's next line is.
#[derive(Clone)]
pub(super) enum AuthStep {
    Plain,
    LoginUser,
    LoginPassword { user: String },
}

impl AuthStep {
    const fn mechanism(&self) -> Mechanism {
        match self {
            Self::Plain => Mechanism::Plain,
            Self::LoginUser | Self::LoginPassword { .. } => Mechanism::Login,
        }
    }
}

impl Server {
    /// Whether AUTH may be used now, so that it may be shown in EHLO.
    pub(super) const fn offers_auth(&self) -> bool {
        match self.config.auth {
            AuthOffer::Never => false,
            AuthOffer::AfterTls => self.secure,
            AuthOffer::Always => true,
        }
    }

    pub(super) fn auth(&mut self, arguments: &str) -> Progress {
        if self.config.auth == AuthOffer::Never {
            return self.refuse_with(503, (5, 5, 1), "authentication is not offered here");
        }
        if !self.offers_auth() {
            return self.refuse_with(538, (5, 7, 11), "say STARTTLS first");
        }
        if self.hello.is_none() || self.user.is_some() || self.transaction.is_some() {
            return self.refuse_with(
                503,
                (5, 5, 1),
                "AUTH comes once, after EHLO and before MAIL",
            );
        }
        let mut words = arguments.split_ascii_whitespace();
        let (name, initial) = (words.next().unwrap_or_default(), words.next());
        if words.next().is_some() || name.is_empty() {
            return self.refuse_with(501, (5, 5, 4), "syntax: AUTH mechanism [response]");
        }
        let (step, prompt) = match Mechanism::from_name(name) {
            Some(Mechanism::Plain) => (AuthStep::Plain, ""),
            // "Username:" and "Password:", as clients know them.
            Some(Mechanism::Login) => (AuthStep::LoginUser, "VXNlcm5hbWU6"),
            _ => return self.refuse_with(504, (5, 5, 4), "this mechanism is not known"),
        };
        match initial {
            // "=" is an empty response (RFC 4954 section 4).
            Some("=") => self.auth_line(step, ""),
            Some(response) => self.auth_line(step, response),
            None => self.prompt(step, prompt),
        }
    }

    fn prompt(&mut self, step: AuthStep, prompt: &str) -> Progress {
        self.reply(334, None, prompt);
        self.state = State::Auth(step);
        Progress::Again
    }

    /// The client's answer to a prompt.
    pub(super) fn auth_line(&mut self, step: AuthStep, line: &str) -> Progress {
        self.state = State::Command;
        if line == "*" {
            return self.refuse_with(501, (5, 7, 0), "authentication given up");
        }
        let mechanism = step.mechanism();
        let credentials = match step {
            AuthStep::Plain => sasl::read_plain(line),
            AuthStep::LoginUser => match sasl::read_login_user(line) {
                Some(user) => {
                    return self.prompt(AuthStep::LoginPassword { user }, "UGFzc3dvcmQ6");
                }
                None => None,
            },
            AuthStep::LoginPassword { user } => {
                sasl::read_login_password(line).map(|password| Credentials { user, password })
            }
        };
        let Some(credentials) = credentials else {
            return self.refuse_with(501, (5, 5, 2), "not a response of this mechanism");
        };
        self.state = State::Asking(Question::Auth {
            user: credentials.user.clone(),
        });
        Progress::Tell(Event::Auth(mechanism, credentials))
    }
}
