//! Who may submit over the submission port: a file of `login:hash` lines, the hash in SHA-512 crypt
//! form (`$6$…`, as `openssl passwd -6` or `mkpasswd` print it).

use std::collections::HashMap;
use std::fs;
use std::path::Path;

/// A file longer than this is not a list of users.
const LARGEST_FILE: u64 = 1 << 20;
/// Checked for logins that do not exist, so that the time taken does not tell which ones do.
const NOBODYS_HASH: &str = "$6$relayd$Bj9wMx7m20v0805KB48ZzYSh.lWuB1CB/rglQneH5bTYVOrXvnu1MTuicebpei.aTUSb5nBXCBv/S1MVkawpm.";

/// Logins and password hashes.
pub(crate) struct Users(HashMap<String, String>);

impl Users {
    /// Reads the file.
    ///
    /// # Errors
    /// A text that names the file and, where one is at fault, the line.
    pub(crate) fn read(file: &Path) -> Result<Self, String> {
        let named = |what: String| format!("{}: {what}", file.display());
        let size = fs::metadata(file)
            .map_err(|error| named(error.to_string()))?
            .len();
        if size > LARGEST_FILE {
            return Err(named(format!("larger than {LARGEST_FILE} bytes")));
        }
        let text = fs::read_to_string(file).map_err(|error| named(error.to_string()))?;
        Self::parse(&text).map_err(|(line, what)| format!("{}:{line}: {what}", file.display()))
    }

    fn parse(text: &str) -> Result<Self, (usize, String)> {
        let mut users = HashMap::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (login, hash) = line
                .split_once(':')
                .ok_or_else(|| (number, "expected login:hash".to_owned()))?;
            if !hash.starts_with("$6$") {
                return Err((
                    number,
                    "the hash must be SHA-512 crypt ($6$...); make one with: openssl passwd -6"
                        .to_owned(),
                ));
            }
            if users.insert(login.to_owned(), hash.to_owned()).is_some() {
                return Err((number, format!("login {login} is here twice")));
            }
        }
        Ok(Self(users))
    }

    /// Whether the password is the login's. Takes as long for a login that does not exist. It burns
    /// a few milliseconds of processor time: call it off the asynchronous threads.
    pub(crate) fn verify(&self, login: &str, password: &str) -> bool {
        let known = self.0.get(login);
        let hash = known.map_or(NOBODYS_HASH, String::as_str);
        let matches = sha_crypt::sha512_check(password, hash).is_ok();
        matches && known.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Printed by `openssl passwd -6 -salt abcdefgh 'open sesame'`.
    const HASH: &str = "$6$abcdefgh$CkjGkP7IIgZVUCNlt.Vi53LOYJLXZ5KzdpzEYCj01XGruA1hxZYJqccTU2zz68oJwAGsd1iPty5F7dHIatUTy/";

    #[test]
    fn only_the_right_password_of_a_known_login_passes() {
        let users = Users::parse(&format!("# relay hosts\n\nweb1:{HASH}\n"))
            .ok()
            .unwrap();
        assert!(users.verify("web1", "open sesame"));
        assert!(!users.verify("web1", "open sesam"));
        assert!(!users.verify("web2", "open sesame"));
    }

    #[test]
    fn a_bad_line_is_named() {
        for (text, line) in [
            ("a", 1),
            ("\na:plain", 2),
            (&*format!("a:{HASH}\na:{HASH}"), 2),
        ] {
            assert_eq!(Users::parse(text).err().unwrap().0, line, "{text}");
        }
    }
}
