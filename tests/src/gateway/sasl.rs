//! The server's side of AUTH PLAIN (RFC 4616), LOGIN (draft-murchison) and CRAM-MD5 (RFC 2195).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use md5::Md5;

/// A dialogue in progress: give it what the client sends.
pub(super) enum Dialogue {
    Plain,
    LoginUser,
    LoginPassword(Vec<u8>),
    CramMd5(String),
}

/// What to do next.
pub(super) enum Turn {
    /// Send `334 ` and this, already in base64.
    Challenge(String, Dialogue),
    /// The client has said who it is; `proof` holds for `password`?
    Claim { user: String, right: bool },
    /// Not base64, or not in the mechanism's form.
    Malformed,
}

/// The first challenge of `mechanism`, or none if it is unknown. `token` makes the CRAM-MD5 challenge unique.
pub(super) fn open(mechanism: &str, token: u64) -> Option<(String, Dialogue)> {
    match mechanism {
        "PLAIN" => Some((String::new(), Dialogue::Plain)),
        "LOGIN" => Some((STANDARD.encode("Username:"), Dialogue::LoginUser)),
        "CRAM-MD5" => {
            let challenge = format!("<{token}.{}@gateway.test>", std::process::id());
            Some((STANDARD.encode(&challenge), Dialogue::CramMd5(challenge)))
        }
        _ => None,
    }
}

impl Dialogue {
    /// The client's line (base64) against the one user and password.
    pub(super) fn answer(self, line: &str, user: &str, password: &str) -> Turn {
        let Ok(said) = STANDARD.decode(line) else {
            return Turn::Malformed;
        };
        match self {
            Self::Plain => {
                let parts: Vec<&[u8]> = said.split(|&b| b == 0).collect();
                let [_authorization, name, secret] = parts[..] else {
                    return Turn::Malformed;
                };
                claim(
                    name,
                    name == user.as_bytes() && secret == password.as_bytes(),
                )
            }
            Self::LoginUser => {
                Turn::Challenge(STANDARD.encode("Password:"), Self::LoginPassword(said))
            }
            Self::LoginPassword(name) => {
                let right = name == user.as_bytes() && said == password.as_bytes();
                claim(&name, right)
            }
            Self::CramMd5(challenge) => {
                let Some(space) = said.iter().rposition(|&b| b == b' ') else {
                    return Turn::Malformed;
                };
                let (name, digest) = (&said[..space], &said[space + 1..]);
                let right = name == user.as_bytes()
                    && digest == keyed_digest(password, &challenge).as_bytes();
                claim(name, right)
            }
        }
    }
}

fn claim(name: &[u8], right: bool) -> Turn {
    Turn::Claim {
        user: String::from_utf8_lossy(name).into_owned(),
        right,
    }
}

fn keyed_digest(password: &str, challenge: &str) -> String {
    let mut mac =
        Hmac::<Md5>::new_from_slice(password.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(challenge.as_bytes());
    mac.finalize()
        .into_bytes()
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cram_md5_gives_the_digest_of_rfc_2195() {
        let digest = keyed_digest(
            "tanstaaftanstaaf",
            "<1896.697170952@postoffice.reston.mci.net>",
        );
        assert_eq!(digest, "b913a602c7eda7a495b4e6e7334d3890");
    }
}
