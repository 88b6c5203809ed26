//! Who may submit over the submission port: a list of `login:hash` lines. A hash is Argon2id in PHC
//! form, as `relayctl user add` writes it, or SHA-512 crypt (`$6$…`, `openssl passwd -6`).

use std::collections::BTreeMap;
use std::fmt;

use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};

/// Random bytes that [`hashed`] wants.
pub const SALT_LEN: usize = 16;
/// The longest login, in bytes.
pub const LOGIN_MAX: usize = 255;
/// The most memory that one check may take, in KiB, so that a line in the file cannot fill the
/// machine.
const MEMORY_MAX: u32 = 256 * 1024;
/// The most passes over that memory.
const PASSES_MAX: u32 = 16;
/// The most rounds of SHA-512 crypt; `openssl` and `mkpasswd` make 5000.
const ROUNDS_MAX: usize = 1_000_000;
/// The length of its hash, in characters.
const CRYPT_LEN: usize = 86;
/// Checked for logins that do not exist, so that the time taken does not tell which ones do.
const NOBODYS_CRYPT: &str = "$6$relayd$Bj9wMx7m20v0805KB48ZzYSh.lWuB1CB/rglQneH5bTYVOrXvnu1MTuicebpei.aTUSb5nBXCBv/S1MVkawpm.";

/// Logins and the hashes of their passwords.
#[derive(Default)]
pub struct Users {
    hashes: BTreeMap<String, String>,
    /// For logins that do not exist: of the kind that most in the list have.
    nobodys: String,
}

/// What is wrong with a list of users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsersError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it, and what to do.
    pub what: String,
}

impl fmt::Display for UsersError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl std::error::Error for UsersError {}

impl Users {
    /// Reads a list. Empty lines and lines that begin with `#` do not count.
    ///
    /// # Errors
    /// The first line that is not a login and a hash, or has a login that was there before.
    pub fn parse(text: &str) -> Result<Self, UsersError> {
        let mut hashes = BTreeMap::new();
        for (line, entry) in entries(text) {
            let fault = |what: &str| UsersError {
                line,
                what: what.to_owned(),
            };
            let (login, hash) = entry
                .split_once(':')
                .ok_or_else(|| fault("expected login:hash"))?;
            check_login(login).map_err(|what| fault(&what))?;
            check_hash(hash).map_err(fault)?;
            if hashes.insert(login.to_owned(), hash.to_owned()).is_some() {
                return Err(fault(&format!("login {login} is here twice")));
            }
        }
        let argon2 = hashes.values().filter(|hash| !is_crypt(hash)).count();
        let nobodys = if argon2 * 2 > hashes.len() {
            hashed("", [0; SALT_LEN])
        } else {
            NOBODYS_CRYPT.to_owned()
        };
        Ok(Self { hashes, nobodys })
    }

    /// Whether the password is the login's. Takes as long for a login that does not exist, if all
    /// hashes are of one kind. It burns some milliseconds of processor time and, with Argon2id, 19
    /// MiB of memory: call it off the asynchronous threads, and few at a time.
    #[must_use]
    pub fn verify(&self, login: &str, password: &str) -> bool {
        let known = self.hashes.get(login);
        let matches = matches(password, known.unwrap_or(&self.nobodys));
        matches && known.is_some()
    }

    /// The logins, in order.
    pub fn logins(&self) -> impl Iterator<Item = &str> {
        self.hashes.keys().map(String::as_str)
    }
}

/// The list with this login's hash set: in its own line if it has one, else at the end. Everything
/// else stays as it is, comments too.
#[must_use]
pub fn with(text: &str, login: &str, hash: &str) -> String {
    let new = format!("{login}:{hash}\n");
    let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
    if let Some(line) = lines.iter_mut().find(|line| is_of(line, login)) {
        *line = &new;
        return lines.concat();
    }
    let gap = if text.is_empty() || text.ends_with('\n') {
        ""
    } else {
        "\n"
    };
    format!("{text}{gap}{new}")
}

/// The list without this login; `None` if it was not there.
#[must_use]
pub fn without(text: &str, login: &str) -> Option<String> {
    let lines = text.split_inclusive('\n');
    let left: String = lines.filter(|line| !is_of(line, login)).collect();
    (left.len() < text.len()).then_some(left)
}

/// Whether a login may stand in the list, and in log lines.
///
/// # Errors
/// What is wrong with it.
pub fn check_login(login: &str) -> Result<(), String> {
    let bad = |c: char| c == ':' || c.is_control() || c.is_whitespace();
    if login.is_empty() || login.len() > LOGIN_MAX {
        return Err(format!("a login has 1 to {LOGIN_MAX} bytes"));
    }
    if login.starts_with('#') || login.contains(bad) {
        return Err("a login holds no colon and no space, and does not begin with #".to_owned());
    }
    Ok(())
}

/// The hash of a password: Argon2id with 19 MiB, two passes and one lane, as OWASP's cheat sheet on
/// password storage has it. `salt` is random.
#[must_use]
pub fn hashed(password: &str, salt: [u8; SALT_LEN]) -> String {
    let salt = SaltString::encode_b64(&salt).expect("16 bytes are a salt");
    let hash = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::DEFAULT)
        .hash_password(password.as_bytes(), &salt)
        .expect("the default parameters hash any password");
    hash.to_string()
}

/// The lines that count, with their numbers.
fn entries(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..)
        .zip(text.lines().map(str::trim))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

fn is_of(line: &str, login: &str) -> bool {
    let rest = line.trim_start().strip_prefix(login);
    rest.is_some_and(|rest| rest.starts_with(':'))
}

fn is_crypt(hash: &str) -> bool {
    hash.starts_with("$6$")
}

fn check_hash(hash: &str) -> Result<(), &'static str> {
    if is_crypt(hash) {
        return Crypt::read(hash).map(|_| ()).ok_or(
            "the SHA-512 crypt hash is damaged, or takes more than 1000000 rounds to check",
        );
    }
    let parsed = PasswordHash::new(hash).ok();
    let parsed = parsed.filter(|parsed| parsed.algorithm.as_str() == "argon2id");
    let Some(parsed) = parsed.filter(|parsed| parsed.hash.is_some()) else {
        return Err(
            "the hash must be Argon2id ($argon2id$...) or SHA-512 crypt ($6$...); make \
                    one with: relayctl user add",
        );
    };
    match Params::try_from(&parsed) {
        Ok(params) if params.m_cost() <= MEMORY_MAX && params.t_cost() <= PASSES_MAX => Ok(()),
        Ok(_) => Err("the hash takes more than 256 MiB or 16 passes to check"),
        Err(_) => Err("the parameters of the hash are not those of Argon2id"),
    }
}

fn matches(password: &str, hash: &str) -> bool {
    if is_crypt(hash) {
        return Crypt::read(hash).is_some_and(|crypt| crypt.is_of(password));
    }
    let parsed = PasswordHash::new(hash);
    parsed.is_ok_and(|parsed| {
        Argon2::default()
            .verify_password(password.as_bytes(), &parsed)
            .is_ok()
    })
}

/// A hash as crypt(5) describes it: `$6$[rounds=N$]SALT$HASH`.
struct Crypt<'a> {
    rounds: usize,
    salt: &'a str,
    hash: &'a str,
}

impl<'a> Crypt<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let rest = text.strip_prefix("$6$")?;
        let (rounds, rest) = match rest.strip_prefix("rounds=") {
            Some(rest) => {
                let (rounds, rest) = rest.split_once('$')?;
                (rounds.parse().ok()?, rest)
            }
            None => (sha_crypt::ROUNDS_DEFAULT, rest),
        };
        let (salt, hash) = rest.split_once('$')?;
        let whole = salt.len() <= 16 && hash.len() == CRYPT_LEN && rounds <= ROUNDS_MAX;
        whole.then_some(Self { rounds, salt, hash })
    }

    fn is_of(&self, password: &str) -> bool {
        let made = sha_crypt::Sha512Params::new(self.rounds).and_then(|params| {
            sha_crypt::sha512_crypt_b64(password.as_bytes(), self.salt.as_bytes(), &params)
        });
        made.is_ok_and(|made| is_same(made.as_bytes(), self.hash.as_bytes()))
    }
}

/// Compares in a time that does not tell where the difference is.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let differences = one.iter().zip(other).fold(0, |sum, (a, b)| sum | (a ^ b));
    one.len() == other.len() && differences == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Printed by `openssl passwd -6 -salt abcdefgh 'open sesame'`.
    const CRYPT: &str = "$6$abcdefgh$CkjGkP7IIgZVUCNlt.Vi53LOYJLXZ5KzdpzEYCj01XGruA1hxZYJqccTU2zz68oJwAGsd1iPty5F7dHIatUTy/";
    /// Printed by `mkpasswd -m sha-512 -R 1000 -S abcdefgh 'open sesame'`.
    const ROUNDS: &str = "$6$rounds=1000$abcdefgh$Xh.7.kL3HzhnviFlsn40n4gUrDaYioIIiDlHiWZorP18.1JsnixO1BkqKbso/o60j4iwJz6yRdVGlrUTIYtXT/";
    /// Made by the reference implementation: `echo -n "open sesame" | argon2 saltsaltsalt -id -t 2 -k 19456 -p 1 -e`.
    const ARGON2: &str = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$+x0YTWh6kbBJuYt15ZQx5mBYEmyI2W9BY+gJOE+w9fY";

    fn problem(text: &str) -> UsersError {
        Users::parse(text).err().expect("it is not a list of users")
    }

    #[test]
    fn only_the_right_password_of_a_known_login_passes() {
        for hash in [CRYPT, ROUNDS, ARGON2, &hashed("open sesame", [7; SALT_LEN])] {
            let users = Users::parse(&format!("# relay hosts\n\nweb1:{hash}\n")).unwrap();
            assert!(users.verify("web1", "open sesame"), "{hash}");
            assert!(!users.verify("web1", "open sesam"));
            assert!(!users.verify("web2", "open sesame"));
            assert!(!users.verify("web2", ""));
        }
        assert!(!Users::default().verify("", ""));
    }

    #[test]
    fn a_bad_line_is_named() {
        let large = ARGON2.replace("m=19456", "m=19456000");
        let bcrypt = "$2b$12$abcdefghijklmnopqrstuv";
        for (text, line) in [
            ("a", 1),
            ("\na:plain", 2),
            (":$6$x", 1),
            ("a b:$6$x", 1),
            ("a:$6$salt$short", 1),
            (
                &*format!("a:{}", CRYPT.replace("$6$", "$6$rounds=2000000$")),
                1,
            ),
            (&*format!("a:{CRYPT}\na:{CRYPT}"), 2),
            (&*format!("a:{large}"), 1),
            (&*format!("a:{bcrypt}"), 1),
        ] {
            assert_eq!(problem(text).line, line, "{text}");
        }
    }

    #[test]
    fn a_login_is_set_and_removed_and_all_else_stays() {
        let text = "# hosts\nweb1:a\nweb10:b";
        let added = with(text, "web", "c");
        assert_eq!(added, "# hosts\nweb1:a\nweb10:b\nweb:c\n");
        let changed = with(&added, "web1", "d");
        assert_eq!(changed, "# hosts\nweb1:d\nweb10:b\nweb:c\n");
        let removed = without(&changed, "web10").unwrap();
        assert_eq!(removed, "# hosts\nweb1:d\nweb:c\n");
        assert_eq!(without(&removed, "web10"), None);
        assert_eq!(with("", "a", "b"), "a:b\n");
    }
}
