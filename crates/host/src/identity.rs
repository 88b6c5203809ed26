//! Who runs this process, who is at the other end of a local socket, and what the host is called.

use std::io;
use std::os::fd::AsFd;

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::{Gid, Uid, User, gethostname};

/// What the system's account database says about one uid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The numeric user id.
    pub uid: u32,
    /// The numeric id of its login group.
    pub gid: u32,
    /// The login name.
    pub login: String,
    /// The GECOS field as it stands; the full name is [`Account::full_name`].
    pub gecos: String,
}

impl Account {
    /// The person's name by the rule of Postfix `fullname.c`: GECOS up to the first comma, each
    /// `&` replaced by the login name with its first letter in upper case. `None` if it is empty.
    #[must_use]
    pub fn full_name(&self) -> Option<String> {
        let field = self.gecos.split(',').next().unwrap_or_default().trim();
        let name = field.replace('&', &capitalised(&self.login));
        (!name.is_empty()).then_some(name)
    }
}

fn capitalised(login: &str) -> String {
    let mut letters = login.chars();
    let first = letters.next().map(|c| c.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

/// The real uid of this process: who called a program that has no set-id bit.
#[must_use]
pub fn real_uid() -> u32 {
    Uid::current().as_raw()
}

/// The effective uid of this process.
#[must_use]
pub fn effective_uid() -> u32 {
    Uid::effective().as_raw()
}

/// The effective gid of this process.
#[must_use]
pub fn effective_gid() -> u32 {
    Gid::effective().as_raw()
}

/// The account of `uid`; `None` where there is no entry (usual in containers) or the database
/// cannot be asked.
#[must_use]
pub fn account_of(uid: u32) -> Option<Account> {
    User::from_uid(Uid::from_raw(uid))
        .ok()
        .flatten()
        .map(Account::from)
}

/// The account named `login`; `Ok(None)` where there is none.
///
/// # Errors
/// The account database could not be asked.
pub fn account_named(login: &str) -> io::Result<Option<Account>> {
    Ok(User::from_name(login)?.map(Account::from))
}

impl From<User> for Account {
    fn from(user: User) -> Self {
        Self {
            uid: user.uid.as_raw(),
            gid: user.gid.as_raw(),
            login: user.name,
            gecos: user.gecos.to_string_lossy().into_owned(),
        }
    }
}

/// The process at the other end of a connected Unix socket, as the kernel noted it at connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its uid.
    pub uid: u32,
    /// Its gid.
    pub gid: u32,
    /// Its process id at that time.
    pub pid: i32,
}

/// Asks the kernel who is at the other end of `socket` (`SO_PEERCRED`).
///
/// # Errors
/// `socket` is not a connected Unix stream socket.
pub fn peer(socket: &impl AsFd) -> io::Result<Peer> {
    let credentials = getsockopt(&socket.as_fd(), PeerCredentials)?;
    Ok(Peer {
        uid: credentials.uid(),
        gid: credentials.gid(),
        pid: credentials.pid(),
    })
}

/// The host's name as `uname -n` shows it; `localhost` where it is unset or not text.
#[must_use]
pub fn hostname() -> String {
    let name = gethostname()
        .ok()
        .and_then(|name| name.into_string().ok())
        .unwrap_or_default();
    if name.is_empty() {
        "localhost".to_owned()
    } else {
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    fn account(login: &str, gecos: &str) -> Account {
        Account {
            uid: 1,
            gid: 1,
            login: login.into(),
            gecos: gecos.into(),
        }
    }

    #[test]
    fn the_full_name_is_the_first_part_of_gecos() {
        let name = |login, gecos| account(login, gecos).full_name();
        assert_eq!(
            name("alice", "Alice Example,,,"),
            Some("Alice Example".into())
        );
        assert_eq!(name("bob", "& Builder"), Some("Bob Builder".into()));
        assert_eq!(name("bob", " , room 3"), None);
        assert_eq!(name("", "&"), None);
    }

    #[test]
    fn a_socket_pair_has_this_process_at_both_ends() {
        let (one, _other) = UnixStream::pair().unwrap();
        let peer = peer(&one).unwrap();
        assert_eq!(peer.uid, effective_uid());
        assert_eq!(peer.pid, i32::try_from(std::process::id()).unwrap());
    }

    #[test]
    fn root_has_an_account_and_a_strange_uid_has_none() {
        assert_eq!(account_of(0).unwrap().login, "root");
        assert_eq!(account_of(3_999_999_999), None);
        assert_eq!(account_named("no-such-login-here").unwrap(), None);
    }
}
