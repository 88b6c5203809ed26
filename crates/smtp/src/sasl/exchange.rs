//! The client's side of one exchange: PLAIN (RFC 4616), LOGIN, CRAM-MD5 (RFC 2195), SCRAM-SHA-256
//! (RFC 7677), OAUTHBEARER (RFC 7628) and XOAUTH2.

use std::fmt;

use hmac::{Hmac, Mac};
use md5::Md5;
use zeroize::Zeroizing;

use super::scram::{Scram, ScramError};
use super::{Credentials, Mechanism, decode, encode};

/// One exchange.
pub(crate) struct Exchange {
    mechanism: Mechanism,
    /// Answers given so far.
    answered: u8,
    /// The state of the SCRAM mechanisms.
    scram: Option<Scram>,
}

/// The server's challenge cannot be answered; the exchange is to be given up with `*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChallengeError {
    /// Not Base64.
    NotBase64,
    /// One more challenge than the mechanism has.
    Unexpected,
    /// What SCRAM does not allow.
    Scram(ScramError),
}

impl Exchange {
    /// `nonce` is printable, has no comma, and was never used before. `binding` is what ties the
    /// exchange to its TLS connection. Both concern SCRAM only.
    pub(crate) fn new(mechanism: Mechanism, nonce: &str, binding: Option<&[u8]>) -> Self {
        let scram = match mechanism {
            Mechanism::ScramSha256Plus => Some(Scram::new(nonce, binding)),
            Mechanism::ScramSha256 => Some(Scram::new(nonce, None)),
            _ => None,
        };
        Self {
            mechanism,
            answered: 0,
            scram,
        }
    }

    /// The response to send with the AUTH command, in Base64, if the mechanism has one. Where it
    /// does not fit in, the server asks for it, and [`Exchange::answer`] gives it.
    pub(crate) fn initial(&self, credentials: &Credentials) -> Option<Zeroizing<String>> {
        match self.mechanism {
            Mechanism::Plain => Some(plain(credentials)),
            Mechanism::OAuthBearer => Some(oauthbearer(credentials)),
            Mechanism::XOAuth2 => Some(xoauth2(credentials)),
            Mechanism::ScramSha256Plus | Mechanism::ScramSha256 => {
                let scram = self.scram.as_ref()?;
                Some(encode(scram.first(&credentials.user).as_bytes()))
            }
            Mechanism::Login | Mechanism::CramMd5 => None,
        }
    }

    /// Notes that the initial response went out with the command.
    pub(crate) const fn initial_sent(&mut self) {
        self.answered = 1;
    }

    /// The line that answers a 334 with this text, without its line end.
    pub(crate) fn answer(
        &mut self,
        challenge: &str,
        credentials: &Credentials,
    ) -> Result<Zeroizing<String>, ChallengeError> {
        let step = (self.mechanism, self.answered);
        self.answered = self.answered.saturating_add(1);
        if let (0, Some(initial)) = (step.1, self.initial(credentials)) {
            return Ok(initial);
        }
        match step {
            // What the prompts of LOGIN say differs between servers; only their order counts.
            (Mechanism::Login, 0) => Ok(encode(credentials.user.as_bytes())),
            (Mechanism::Login, 1) => Ok(encode(credentials.password.expose().as_bytes())),
            (Mechanism::CramMd5, 0) => {
                let challenge = decode(challenge).ok_or(ChallengeError::NotBase64)?;
                Ok(cram_md5(&challenge, credentials))
            }
            // The token was refused and the challenge says why; this asks for the reply itself
            // (RFC 7628 section 3.2.3; Google's and Microsoft's documents).
            (Mechanism::OAuthBearer, 1) => Ok(encode(b"\x01")),
            (Mechanism::XOAuth2, 1) => Ok(Zeroizing::default()),
            (Mechanism::ScramSha256 | Mechanism::ScramSha256Plus, 1 | 2) => {
                let challenge = decode(challenge).ok_or(ChallengeError::NotBase64)?;
                self.answer_scram(step.1, &challenge, credentials)
            }
            _ => Err(ChallengeError::Unexpected),
        }
    }

    fn answer_scram(
        &mut self,
        answered: u8,
        challenge: &[u8],
        credentials: &Credentials,
    ) -> Result<Zeroizing<String>, ChallengeError> {
        let scram = self.scram.as_mut().ok_or(ChallengeError::Unexpected)?;
        let done = if answered == 1 {
            let last = scram.last(challenge, credentials);
            last.map(|message| encode(message.as_bytes()))
        } else {
            scram.verify(challenge).map(|()| Zeroizing::default())
        };
        done.map_err(ChallengeError::Scram)
    }

    /// Whether the server has proved what its mechanism says it proves, so that its 235 counts.
    pub(crate) fn is_proved(&self) -> bool {
        self.scram.as_ref().is_none_or(Scram::is_verified)
    }
}

fn plain(credentials: &Credentials) -> Zeroizing<String> {
    let clear = format!("\0{}\0{}", credentials.user, credentials.password.expose());
    encode(Zeroizing::new(clear).as_bytes())
}

fn oauthbearer(credentials: &Credentials) -> Zeroizing<String> {
    // In the GS2 header a comma and an equals sign are written as in SCRAM (RFC 5801 section 4).
    let user = super::scram::name(&credentials.user);
    let token = credentials.password.expose();
    let clear = format!("n,a={user},\x01auth=Bearer {token}\x01\x01");
    encode(Zeroizing::new(clear).as_bytes())
}

fn xoauth2(credentials: &Credentials) -> Zeroizing<String> {
    let (user, token) = (&credentials.user, credentials.password.expose());
    let clear = format!("user={user}\x01auth=Bearer {token}\x01\x01");
    encode(Zeroizing::new(clear).as_bytes())
}

fn cram_md5(challenge: &[u8], credentials: &Credentials) -> Zeroizing<String> {
    let mut mac = Hmac::<Md5>::new_from_slice(credentials.password.expose().as_bytes())
        .expect("HMAC takes a key of any length");
    mac.update(challenge);
    let mut answer = format!("{} ", credentials.user);
    for byte in mac.finalize().into_bytes() {
        answer.push_str(&format!("{byte:02x}"));
    }
    encode(answer.as_bytes())
}

impl fmt::Display for ChallengeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotBase64 => "the server's AUTH challenge is not Base64",
            Self::Unexpected => "the server asked for more than the AUTH mechanism has",
            Self::Scram(error) => return error.fmt(f),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Secret, read_plain};
    use super::*;

    fn credentials(user: &str, password: &str) -> Credentials {
        Credentials {
            user: user.to_owned(),
            password: Secret::new(password.to_owned()),
        }
    }

    fn exchange(mechanism: Mechanism) -> Exchange {
        Exchange::new(mechanism, "", None)
    }

    fn clear(line: &str) -> String {
        String::from_utf8(decode(line).unwrap().to_vec()).unwrap()
    }

    #[test]
    fn tokens_as_in_rfc_7628_and_at_google() {
        let user = credentials("user@example.com", "vF9dft4qmT");
        let bearer = exchange(Mechanism::OAuthBearer).initial(&user).unwrap();
        assert_eq!(
            clear(&bearer),
            "n,a=user@example.com,\x01auth=Bearer vF9dft4qmT\x01\x01"
        );
        let google = exchange(Mechanism::XOAuth2).initial(&user).unwrap();
        assert_eq!(
            clear(&google),
            "user=user@example.com\x01auth=Bearer vF9dft4qmT\x01\x01"
        );
    }

    #[test]
    fn a_refused_token_asks_for_the_reply() {
        for (mechanism, answer) in [(Mechanism::OAuthBearer, "AQ=="), (Mechanism::XOAuth2, "")] {
            let user = credentials("joe", "token");
            let mut exchange = exchange(mechanism);
            exchange.initial_sent();
            let challenge = encode(b"{\"status\":\"401\"}");
            assert_eq!(*exchange.answer(&challenge, &user).unwrap(), answer);
            let again = exchange.answer(&challenge, &user);
            assert_eq!(again.unwrap_err(), ChallengeError::Unexpected);
        }
    }

    #[test]
    fn cram_md5_as_in_rfc_2195() {
        let tim = credentials("tim", "tanstaaftanstaaf");
        let challenge = "PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+";
        let answer = exchange(Mechanism::CramMd5)
            .answer(challenge, &tim)
            .unwrap();
        assert_eq!(*answer, "dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw");
    }

    #[test]
    fn plain_is_read_as_it_is_written() {
        let written = plain(&credentials("jo\u{eb}", "s\u{e9}cret"));
        let read = read_plain(&written).unwrap();
        assert_eq!(
            (read.user.as_str(), read.password.expose()),
            ("jo\u{eb}", "s\u{e9}cret")
        );
    }
}
