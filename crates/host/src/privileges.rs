//! Giving up root for good, and keeping secrets out of core dumps.

use std::io;

use nix::sys::prctl::set_dumpable;
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::{
    Gid, Uid, getresgid, getresuid, setegid, seteuid, setgroups, setresgid, setresuid,
};

use crate::identity::Account;

/// Turns a process of root's into one of `account`, with that account's login group as its only
/// group, and makes sure that there is no way back.
///
/// Call it before any thread is started: the calls change the whole process, but what other threads
/// were doing meanwhile is anyone's guess.
///
/// # Errors
/// A call was refused, or root could be had back afterwards. The process must then end: it may be in
/// a state between the two.
pub fn become_for_good(account: &Account) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(account.uid), Gid::from_raw(account.gid));
    if uid.is_root() {
        return Err(io::Error::other("the account to run as is root"));
    }
    setgroups(&[gid])?;
    setresgid(gid, gid, gid)?;
    setresuid(uid, uid, uid)?;
    verify_dropped(uid, gid)
}

fn verify_dropped(uid: Uid, gid: Gid) -> io::Result<()> {
    let (uids, gids) = (getresuid()?, getresgid()?);
    let settled = [uids.real, uids.effective, uids.saved]
        .iter()
        .all(|one| *one == uid)
        && [gids.real, gids.effective, gids.saved]
            .iter()
            .all(|one| *one == gid);
    let regained = seteuid(Uid::from_raw(0)).is_ok() || setegid(Gid::from_raw(0)).is_ok();
    // A login group of 0 makes the second call succeed without anything being regained.
    if !settled || (regained && gid.as_raw() != 0) {
        return Err(io::Error::other("root privilege could still be had back"));
    }
    Ok(())
}

/// No core file, and no reading of this process's memory by others of the same user
/// (`PR_SET_DUMPABLE`). A change of uid resets the second, so call this after
/// [`become_for_good`].
///
/// # Errors
/// The kernel refused; not expected.
pub fn forbid_core_dumps() -> io::Result<()> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    set_dumpable(false)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::prctl::get_dumpable;
    use nix::sys::resource::getrlimit;

    // Each test is a process of its own under nextest, so these may change it for good.

    #[test]
    fn core_dumps_are_off() {
        forbid_core_dumps().unwrap();
        assert_eq!(getrlimit(Resource::RLIMIT_CORE).unwrap(), (0, 0));
        assert!(!get_dumpable().unwrap());
    }

    #[test]
    fn root_is_never_the_account_to_run_as() {
        let root = crate::identity::account_of(0).unwrap();
        assert!(become_for_good(&root).is_err());
    }
}
