//! The password of the gateway: fetched anew for every session, and told apart from the one that
//! the gateway refused, so that a changed password needs no restart.

use std::os::unix::fs::MetadataExt;
use std::time::SystemTime;

use host::secret::{self, Keeper};
use policy::schedule::{GatewayTrouble, TroubleKind};
use policy::settings::{Gateway, PasswordSource};
use smtp::sasl::{Credentials, Secret};

/// The user and password of a gateway; `None` where it has none.
///
/// # Errors
/// There is no acceptable password. That is trouble of the gateway as a whole, and asked again at
/// the pace of a refusal.
pub(crate) async fn credentials(gateway: &Gateway) -> Result<Option<Credentials>, GatewayTrouble> {
    let (Some(user), Some(source)) = (gateway.user.clone(), gateway.password.clone()) else {
        return Ok(None);
    };
    let fetched =
        tokio::task::spawn_blocking(move || secret::fetch(&source, &Keeper::this_process())).await;
    let problem = match fetched {
        Ok(Ok(password)) => {
            let password = Secret::new(password.reveal().to_owned());
            return Ok(Some(Credentials { user, password }));
        }
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    Err(GatewayTrouble::new(
        TroubleKind::Refused5xx,
        format!("no password for gateway {}: {problem}", gateway.name),
    ))
}

/// What changes when a password file is replaced or written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stamp(Option<(u64, SystemTime, u64)>);

impl Stamp {
    /// The stamp of a gateway's password as it is now. One that is in no file never changes.
    ///
    /// To be taken before the password is fetched: a file that is replaced in between then counts
    /// as changed, which costs one attempt more, and not as known, which would cost half an hour.
    pub(crate) fn of(gateway: &Gateway) -> Self {
        let Some(PasswordSource::File(file)) = &gateway.password else {
            return Self(None);
        };
        let status = std::fs::metadata(file).ok();
        Self(status.and_then(|status| {
            let changed = status.modified().ok()?;
            Some((status.ino(), changed, status.len()))
        }))
    }
}
