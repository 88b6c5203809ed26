//! SASL as SMTP uses it (RFC 4954): what both sides know. The client's exchanges are in
//! `exchange`; the server reads PLAIN and LOGIN.

mod exchange;
mod scram;

use std::fmt;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::{Zeroize, Zeroizing};

pub(crate) use exchange::Exchange;

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

/// A user and the password or access token that proves it. `Debug` shows the user only.
#[derive(Clone)]
pub struct Credentials {
    /// The authentication identity.
    pub user: String,
    /// Its password; for [`Mechanism::TOKEN`], its access token.
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
    /// RFC 7677 with the TLS connection bound in (RFC 9266): a relay in between is noticed.
    ScramSha256Plus,
    /// RFC 7677: the password does not cross the wire, and the server proves that it knows it.
    ScramSha256,
    /// RFC 2195: the password does not cross the wire, but the server must store it readable.
    CramMd5,
    /// RFC 7628: the password is an OAuth 2 access token.
    OAuthBearer,
    /// The same in Google's and Microsoft's own form.
    XOAuth2,
}

impl Mechanism {
    /// Those for a password, in the order to prefer inside TLS. What takes one round trip and works
    /// with every way of storing passwords comes first: the server has proved who it is by then.
    pub const PREFERENCE: [Self; 5] = [
        Self::Plain,
        Self::Login,
        Self::ScramSha256Plus,
        Self::ScramSha256,
        Self::CramMd5,
    ];

    /// Those for an access token.
    pub const TOKEN: [Self; 2] = [Self::XOAuth2, Self::OAuthBearer];

    /// The name in `AUTH` and in the EHLO reply, upper case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
            Self::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::CramMd5 => "CRAM-MD5",
            Self::OAuthBearer => "OAUTHBEARER",
            Self::XOAuth2 => "XOAUTH2",
        }
    }

    /// The mechanism of that name, in any case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::PREFERENCE
            .into_iter()
            .chain(Self::TOKEN)
            .find(|mechanism| name.eq_ignore_ascii_case(mechanism.name()))
    }
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
