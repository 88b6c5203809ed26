//! What relayd listens at: its two sockets in the run folder, and the ports of `[listen]`.
//!
//! Sockets that systemd opened for us are used before any is made here, so that submissions wait
//! in them while relayd is restarted.

use std::fs;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::path::Path;

use host::identity::Account;
use policy::settings::{Listen, Paths, Settings};
use policy::sysexits::ExitStatus;

use crate::Failure;

/// Which rules a TCP listener's clients are under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Port {
    /// Programs of this host and hosts of `allow` may hand mail in; others get no further than RCPT.
    Smtp,
    /// Other hosts: TLS and AUTH first.
    Submission,
}

impl Port {
    /// The port by its setting.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Smtp => "[listen] smtp",
            Self::Submission => "[listen] submission",
        }
    }
}

/// A port that is open.
pub(crate) struct TcpDoor {
    pub(crate) port: Port,
    pub(crate) address: SocketAddr,
    pub(crate) listener: std::net::TcpListener,
}

/// The sockets of the run folder, open.
pub(crate) struct UnixDoors {
    pub(crate) submit: UnixListener,
    pub(crate) control: UnixListener,
}

/// Everything that `[listen]` names, with the rules for it.
pub(crate) fn addresses(listen: &Listen) -> impl Iterator<Item = (Port, SocketAddr)> + '_ {
    let smtp = listen.smtp.iter().map(|address| (Port::Smtp, *address));
    smtp.chain(
        listen
            .submission
            .iter()
            .map(|address| (Port::Submission, *address)),
    )
}

/// Opens the ports of `[listen]`.
///
/// # Errors
/// Status 69 with the address, for one that cannot be had.
pub(crate) fn tcp(settings: &Settings) -> Result<Vec<TcpDoor>, Failure> {
    addresses(&settings.listen)
        .map(|(port, address)| bind(port, address))
        .collect()
}

/// Opens one port.
///
/// # Errors
/// Status 69 with the address.
pub(crate) fn bind(port: Port, address: SocketAddr) -> Result<TcpDoor, Failure> {
    let refused = |error: std::io::Error| {
        let remedy = match error.kind() {
            std::io::ErrorKind::AddrInUse => "; does another mail server use this port?",
            std::io::ErrorKind::PermissionDenied => {
                "; a port below 1024 wants relayd to be started anew, by root"
            }
            _ => "",
        };
        let text = format!("listening at {address}: {error}{remedy}");
        Failure::new(ExitStatus::Unavailable, text)
    };
    let listener = host::sockets::listen_tcp(address).map_err(refused)?;
    listener.set_nonblocking(true).map_err(refused)?;
    Ok(TcpDoor {
        port,
        address,
        listener,
    })
}

/// Makes the spool and run folders and gives them to `account`. Only root calls this.
///
/// # Errors
/// Status 73 with the folder. One that is another's, or root's and in use, is not given away: a slip
/// such as `spool = /etc` must not cost more than a start.
pub(crate) fn prepare_folders(paths: &Paths, account: &Account) -> Result<(), Failure> {
    // systemd makes the run folder as root, and its sockets in it.
    let sockets = ["submit.sock", "control.sock"];
    for (folder, mode, ours) in [
        (&paths.spool, 0o711, &[][..]),
        (&paths.run, 0o755, &sockets[..]),
    ] {
        own_folder(folder, mode, ours, account).map_err(|error| {
            Failure::new(
                ExitStatus::CannotCreate,
                format!("making {}: {error}", folder.display()),
            )
        })?;
    }
    Ok(())
}

/// Gives a folder to `account`; one of root's may hold what is named in `ours`, and nothing else.
fn own_folder(folder: &Path, mode: u32, ours: &[&str], account: &Account) -> std::io::Result<()> {
    if let Ok(status) = fs::symlink_metadata(folder) {
        if !status.is_dir() {
            return Err(std::io::Error::other("it is not a folder"));
        }
        let owner = status.uid();
        let is_free = owner == 0 && holds_only(folder, ours)?;
        if owner != account.uid && !is_free {
            let login = &account.login;
            return Err(std::io::Error::other(format!(
                "it belongs to uid {owner} and is in use; name a folder of {login}'s own, or chown {login} it"
            )));
        }
    } else {
        fs::create_dir_all(folder)?;
        fs::set_permissions(folder, fs::Permissions::from_mode(mode))?;
    }
    chown(folder, Some(account.uid), Some(account.gid))
}

fn holds_only(folder: &Path, names: &[&str]) -> std::io::Result<bool> {
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        if !names.iter().any(|known| name == *known) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The submit and control sockets: systemd's where it passed them, else made in the run folder.
/// The caller holds the spool's lock, so sockets found there are left over from a killed relayd.
///
/// # Errors
/// Status 73 with the socket's path.
pub(crate) fn unix(paths: &Paths) -> Result<UnixDoors, Failure> {
    let (mut submit, mut control) = (None, None);
    for (name, socket) in host::systemd::listen_fds() {
        match name.as_str() {
            "submit" => submit = Some(adopt(socket)?),
            "control" => control = Some(adopt(socket)?),
            other => {
                let text = format!(
                    "systemd passed a socket named \"{other}\"; relayd knows submit and control"
                );
                return Err(Failure::new(ExitStatus::Config, text));
            }
        }
    }
    let submit = submit.map_or_else(|| make(&paths.run, "submit.sock"), Ok)?;
    let control = control.map_or_else(|| make(&paths.run, "control.sock"), Ok)?;
    Ok(UnixDoors { submit, control })
}

fn adopt(socket: OwnedFd) -> Result<UnixListener, Failure> {
    let listener = UnixListener::from(socket);
    listener.set_nonblocking(true).map_err(|error| {
        Failure::new(
            ExitStatus::OsError,
            format!("a socket from systemd: {error}"),
        )
    })?;
    Ok(listener)
}

fn make(run: &Path, name: &str) -> Result<UnixListener, Failure> {
    let path = run.join(name);
    let failed = |error: std::io::Error| {
        Failure::new(
            ExitStatus::CannotCreate,
            format!("listening at {}: {error}", path.display()),
        )
    };
    fs::create_dir_all(run).map_err(failed)?;
    let listener = host::sockets::listen(&path, 0o666).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
}
