//! SCRAM-SHA-256 (RFC 5802, RFC 7677), the client's side, with the TLS connection bound in where
//! that is wanted (`tls-exporter`, RFC 9266).
//!
//! A password is used as it is: the preparation of RFC 4013 changes nothing in ASCII, and servers
//! differ on the rest.

use std::fmt;

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{BASE64, Credentials};
use base64::Engine;

/// The most rounds of hashing that a server may ask for, so that it cannot keep us busy. RFC 7677
/// asks for 4096 at least; common servers have 4096 to 15,000.
const ROUNDS_MAX: u32 = 200_000;
/// The least: with fewer, who records the exchange finds the password sooner.
const ROUNDS_MIN: u32 = 4_096;

/// The longest message of a server that is read.
const MESSAGE_MAX: usize = 4_096;

type Key = Zeroizing<[u8; 32]>;

/// One exchange.
pub(super) struct Scram {
    nonce: String,
    binding: Option<Vec<u8>>,
    /// What the server has to send at the end.
    expected: Option<[u8; 32]>,
    verified: bool,
}

/// Why an exchange is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScramError {
    /// The server's message is not one of SCRAM.
    Malformed,
    /// The server does not answer to our message.
    Nonce,
    /// Fewer or more rounds than are allowed.
    Rounds,
    /// The server does not know the password.
    ServerSignature,
}

impl Scram {
    pub(super) fn new(nonce: &str, binding: Option<&[u8]>) -> Self {
        Self {
            nonce: nonce.to_owned(),
            binding: binding.map(<[u8]>::to_vec),
            expected: None,
            verified: false,
        }
    }

    /// The first message: who we are.
    pub(super) fn first(&self, user: &str) -> String {
        format!("{}{}", self.header(), self.first_bare(user))
    }

    /// The second message, which proves that we know the password without telling it.
    pub(super) fn last(
        &mut self,
        challenge: &[u8],
        credentials: &Credentials,
    ) -> Result<String, ScramError> {
        let server_first = text(challenge)?;
        let offer = Offer::read(server_first)?;
        if !offer.nonce.starts_with(&self.nonce) || offer.nonce.len() == self.nonce.len() {
            return Err(ScramError::Nonce);
        }
        let binding = [
            self.header().as_bytes(),
            self.binding.as_deref().unwrap_or_default(),
        ];
        let without_proof = format!("c={},r={}", BASE64.encode(binding.concat()), offer.nonce);
        let first = self.first_bare(&credentials.user);
        let signed = format!("{first},{server_first},{without_proof}");
        let salted = salted(credentials.password.expose(), &offer.salt, offer.rounds);
        let client_key = Key::new(hmac(&*salted, b"Client Key"));
        let stored_key: [u8; 32] = Sha256::digest(*client_key).into();
        let mut proof = hmac(&stored_key, signed.as_bytes());
        proof
            .iter_mut()
            .zip(client_key.iter())
            .for_each(|(byte, key)| *byte ^= key);
        let server_key = Key::new(hmac(&*salted, b"Server Key"));
        self.expected = Some(hmac(&*server_key, signed.as_bytes()));
        Ok(format!("{without_proof},p={}", BASE64.encode(proof)))
    }

    /// Reads the server's last message, which proves that it knows the password.
    pub(super) fn verify(&mut self, challenge: &[u8]) -> Result<(), ScramError> {
        let message = text(challenge)?;
        let signature = message.strip_prefix("v=").ok_or(ScramError::Malformed)?;
        let signature = signature.split(',').next().unwrap_or_default();
        let signature = BASE64
            .decode(signature)
            .map_err(|_| ScramError::Malformed)?;
        self.verified = self
            .expected
            .is_some_and(|expected| expected[..] == signature[..]);
        if self.verified {
            Ok(())
        } else {
            Err(ScramError::ServerSignature)
        }
    }

    pub(super) const fn is_verified(&self) -> bool {
        self.verified
    }

    /// Whether the connection is bound in (RFC 5802 section 7, `gs2-header`).
    const fn header(&self) -> &'static str {
        if self.binding.is_some() {
            "p=tls-exporter,,"
        } else {
            "n,,"
        }
    }

    fn first_bare(&self, user: &str) -> String {
        format!("n={},r={}", name(user), self.nonce)
    }
}

/// The server's first message.
struct Offer<'a> {
    nonce: &'a str,
    salt: Vec<u8>,
    rounds: u32,
}

impl<'a> Offer<'a> {
    fn read(message: &'a str) -> Result<Self, ScramError> {
        let mut parts = message.split(',');
        let mut part = |key: &str| {
            let part = parts.next().and_then(|part| part.strip_prefix(key));
            part.ok_or(ScramError::Malformed)
        };
        let (nonce, salt, rounds) = (part("r=")?, part("s=")?, part("i=")?);
        let salt = BASE64.decode(salt).map_err(|_| ScramError::Malformed)?;
        let rounds = rounds.parse().map_err(|_| ScramError::Malformed)?;
        if !(ROUNDS_MIN..=ROUNDS_MAX).contains(&rounds) {
            return Err(ScramError::Rounds);
        }
        Ok(Self {
            nonce,
            salt,
            rounds,
        })
    }
}

/// A user's name, with the two characters that mean something replaced (`saslname`).
pub(super) fn name(user: &str) -> String {
    user.replace('=', "=3D").replace(',', "=2C")
}

fn text(challenge: &[u8]) -> Result<&str, ScramError> {
    let text = std::str::from_utf8(challenge).ok();
    text.filter(|text| text.len() <= MESSAGE_MAX)
        .ok_or(ScramError::Malformed)
}

/// `Hi` of RFC 5802 section 2.2: PBKDF2 with one block of output.
fn salted(password: &str, salt: &[u8], rounds: u32) -> Key {
    let keyed = keyed(password.as_bytes());
    let mut first = keyed.clone();
    first.update(salt);
    first.update(&1_u32.to_be_bytes());
    let mut block: [u8; 32] = first.finalize().into_bytes().into();
    let mut sum = Key::new(block);
    for _ in 1..rounds {
        let mut next = keyed.clone();
        next.update(&block);
        block = next.finalize().into_bytes().into();
        sum.iter_mut()
            .zip(block)
            .for_each(|(byte, other)| *byte ^= other);
    }
    sum
}

fn hmac(key: &[u8], data: &[u8]) -> [u8; 32] {
    let mut mac = keyed(key);
    mac.update(data);
    mac.finalize().into_bytes().into()
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes a key of any length")
}

impl fmt::Display for ScramError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "the server's SCRAM message is malformed",
            Self::Nonce => "the server's SCRAM message is not an answer to ours",
            Self::Rounds => "the server asks for fewer than 4096 or more than 200000 SCRAM rounds",
            Self::ServerSignature => "the server did not prove that it knows the password",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Secret;
    use super::*;

    const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
    const SERVER_FIRST: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                                s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    const SERVER_FINAL: &[u8] = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

    fn user() -> Credentials {
        Credentials {
            user: "user".to_owned(),
            password: Secret::new("pencil".to_owned()),
        }
    }

    /// The example of RFC 7677 section 3.
    #[test]
    fn as_in_rfc_7677() {
        let mut scram = Scram::new(NONCE, None);
        assert_eq!(scram.first("user"), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let last = scram.last(SERVER_FIRST.as_bytes(), &user()).unwrap();
        assert_eq!(
            last,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        assert!(!scram.is_verified());
        scram.verify(SERVER_FINAL).unwrap();
        assert!(scram.is_verified());
    }

    #[test]
    fn a_bound_connection_is_in_the_message() {
        let mut scram = Scram::new(NONCE, Some(b"bound"));
        assert!(
            scram
                .first("a=b,c")
                .starts_with("p=tls-exporter,,n=a=3Db=2Cc,r=")
        );
        let last = scram.last(SERVER_FIRST.as_bytes(), &user()).unwrap();
        let bound = BASE64.encode(b"p=tls-exporter,,bound");
        assert!(last.starts_with(&format!("c={bound},")), "{last}");
        let other = scram.verify(SERVER_FINAL);
        assert_eq!(other, Err(ScramError::ServerSignature));
    }

    #[test]
    fn a_server_that_cheats_is_left() {
        let last = |message: &str| Scram::new(NONCE, None).last(message.as_bytes(), &user());
        for (message, error) in [
            ("r=other,s=W22Z,i=4096", ScramError::Nonce),
            ("r=rOprNGfwEbeRWgbNEkqO,s=W22Z,i=4096", ScramError::Nonce),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=W22Z,i=1", ScramError::Rounds),
            (
                "r=rOprNGfwEbeRWgbNEkqOx,s=W22Z,i=4000000000",
                ScramError::Rounds,
            ),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=!,i=4096", ScramError::Malformed),
            (
                "m=x,r=rOprNGfwEbeRWgbNEkqOx,s=W22Z,i=4096",
                ScramError::Malformed,
            ),
            ("", ScramError::Malformed),
        ] {
            assert_eq!(last(message).unwrap_err(), error, "{message}");
        }
        let mut early = Scram::new(NONCE, None);
        assert_eq!(early.verify(SERVER_FINAL), Err(ScramError::ServerSignature));
        assert_eq!(early.verify(b"e=other-error"), Err(ScramError::Malformed));
    }
}
