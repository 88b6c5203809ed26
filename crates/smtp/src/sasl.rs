//! SASL as SMTP uses it (RFC 4954): PLAIN (RFC 4616), LOGIN and CRAM-MD5 (RFC 2195) on the client's
//! side, PLAIN and LOGIN on the server's.

use std::fmt;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hmac::{Hmac, Mac};
use md5::Md5;
use zeroize::{Zeroize, Zeroizing};

/// Some servers leave the padding away in challenges.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A password. It has no `Debug` and no `Display`, and its memory is wiped when it goes.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Takes a password over.
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The password itself, to be used and not kept.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// A user and the password that proves it. `Debug` shows the user only.
#[derive(Clone)]
pub struct Credentials {
    /// The authentication identity.
    pub user: String,
    /// Its password.
    pub password: Secret,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// A mechanism that the client can speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// RFC 4616: one message.
    Plain,
    /// The old exchange of Outlook and Microsoft 365: two prompts.
    Login,
    /// RFC 2195: the password does not cross the wire, but the server must store it readable.
    CramMd5,
}

impl Mechanism {
    /// All of them, in the order to prefer inside TLS.
    pub const PREFERENCE: [Self; 3] = [Self::Plain, Self::Login, Self::CramMd5];

    /// The name in `AUTH` and in the EHLO reply, upper case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
            Self::CramMd5 => "CRAM-MD5",
        }
    }

    /// The mechanism of that name, in any case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::PREFERENCE
            .into_iter()
            .find(|mechanism| name.eq_ignore_ascii_case(mechanism.name()))
    }
}

/// The client's side of one exchange.
pub(crate) struct Exchange {
    mechanism: Mechanism,
    /// Answers given so far.
    answered: u8,
}

/// The server's challenge cannot be answered; the exchange is to be given up with `*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChallengeError {
    /// Not Base64.
    NotBase64,
    /// One more challenge than the mechanism has.
    Unexpected,
}

impl Exchange {
    pub(crate) const fn new(mechanism: Mechanism) -> Self {
        Self {
            mechanism,
            answered: 0,
        }
    }

    /// The response to send with the AUTH command, in Base64; only PLAIN has one. When the server
    /// asks for it all the same, [`Exchange::answer`] gives it.
    pub(crate) fn initial(&self, credentials: &Credentials) -> Option<Zeroizing<String>> {
        (self.mechanism == Mechanism::Plain).then(|| plain(credentials))
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
        match step {
            (Mechanism::Plain, 0) => Ok(plain(credentials)),
            // What the prompts of LOGIN say differs between servers; only their order counts.
            (Mechanism::Login, 0) => Ok(encode(credentials.user.as_bytes())),
            (Mechanism::Login, 1) => Ok(encode(credentials.password.expose().as_bytes())),
            (Mechanism::CramMd5, 0) => {
                let challenge = decode(challenge).ok_or(ChallengeError::NotBase64)?;
                Ok(cram_md5(&challenge, credentials))
            }
            _ => Err(ChallengeError::Unexpected),
        }
    }
}

fn plain(credentials: &Credentials) -> Zeroizing<String> {
    let clear = format!("\0{}\0{}", credentials.user, credentials.password.expose());
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

fn encode(bytes: &[u8]) -> Zeroizing<String> {
    Zeroizing::new(BASE64.encode(bytes))
}

fn decode(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    BASE64.decode(text.trim_ascii()).ok().map(Zeroizing::new)
}

/// Reads the one message of PLAIN. `None` if it is not Base64 of `[authzid] NUL user NUL password`,
/// or asks to act as another user, which nobody may here.
pub(crate) fn read_plain(response: &str) -> Option<Credentials> {
    let message = decode(response)?;
    let mut parts = message.split(|&b| b == 0).map(std::str::from_utf8);
    let (identity, user, password) = (
        parts.next()?.ok()?,
        parts.next()?.ok()?,
        parts.next()?.ok()?,
    );
    if parts.next().is_some() || user.is_empty() || !(identity.is_empty() || identity == user) {
        return None;
    }
    is_name(user).then(|| Credentials {
        user: user.to_owned(),
        password: Secret::new(password.to_owned()),
    })
}

/// Reads the user of LOGIN.
pub(crate) fn read_login_user(response: &str) -> Option<String> {
    let user = decode(response)?;
    std::str::from_utf8(&user)
        .ok()
        .filter(|user| is_name(user))
        .map(str::to_owned)
}

/// Reads the password of LOGIN.
pub(crate) fn read_login_password(response: &str) -> Option<Secret> {
    let password = decode(response)?;
    std::str::from_utf8(&password)
        .ok()
        .map(|password| Secret::new(password.to_owned()))
}

/// User names go into logs and `Received` lines, so they hold no control character.
fn is_name(user: &str) -> bool {
    !user.is_empty() && user.len() <= 255 && !user.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(user: &str, password: &str) -> Credentials {
        Credentials {
            user: user.to_owned(),
            password: Secret::new(password.to_owned()),
        }
    }

    #[test]
    fn cram_md5_as_in_rfc_2195() {
        let tim = credentials("tim", "tanstaaftanstaaf");
        let challenge = "PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+";
        let answer = Exchange::new(Mechanism::CramMd5)
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

    #[test]
    fn plain_that_is_not_plain_is_refused() {
        for message in [
            "",
            "\0",
            "\0joe",
            "\0\0secret",
            "\0joe\0secret\0x",
            "root\0joe\0secret",
            "\0j\no\0x",
        ] {
            assert!(
                read_plain(&encode(message.as_bytes())).is_none(),
                "{message:?}"
            );
        }
        assert!(read_plain("!").is_none());
        assert!(read_plain(&encode(b"joe\0joe\0secret")).is_some());
    }

    #[test]
    fn debug_shows_no_password() {
        assert_eq!(
            format!("{:?}", credentials("joe", "secret")),
            "Credentials { user: \"joe\", .. }"
        );
    }
}
