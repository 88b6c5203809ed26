//! The settings in force, with what is made from them once: names, TLS, users.

use std::path::Path;

use host::config::ConfigError;
use host::secret::{self, Keeper};
use policy::settings::{Deliver, Gateway, PasswordSource, Settings, Tls};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::tls;
use crate::users::Users;

/// Settings that have been found good, ready for use.
pub(crate) struct Running {
    pub(crate) settings: Settings,
    /// How this host calls itself: EHLO, Received, Message-ID.
    pub(crate) hostname: String,
    /// What completes bare addresses.
    pub(crate) domain: String,
    /// For sessions with the gateway; `None` where `tls = none` or mail is captured.
    pub(crate) connector: Option<TlsConnector>,
    /// For the submission port; `None` where there is none.
    pub(crate) acceptor: Option<TlsAcceptor>,
    pub(crate) users: Option<Users>,
}

impl Running {
    /// Reads the settings file and everything that it names. `keeper` is whom secret files must
    /// belong to.
    ///
    /// # Errors
    /// Everything that is wrong, one problem a line.
    pub(crate) fn load(file: &Path, keeper: &Keeper) -> Result<Self, String> {
        let settings = host::config::load(file).map_err(|error: ConfigError| error.to_string())?;
        Self::prepare(settings, keeper).map_err(|error| format!("{}: {error}", file.display()))
    }

    fn prepare(settings: Settings, keeper: &Keeper) -> Result<Self, String> {
        let hostname = settings
            .hostname
            .clone()
            .unwrap_or_else(host::identity::hostname);
        let domain = settings.domain.clone().unwrap_or_else(|| hostname.clone());
        let gateway = only_gateway(&settings);
        check_password(gateway, keeper)?;
        let in_gateway = |error| format!("[gateway {}]: {error}", gateway.name);
        let connector = connector(gateway).map_err(in_gateway)?;
        let acceptor = acceptor(&settings).map_err(|error| format!("[listen]: {error}"))?;
        let users = match &settings.listen.users_file {
            Some(file) => {
                Some(Users::read(file).map_err(|error| format!("[listen] users_file: {error}"))?)
            }
            None => None,
        };
        Ok(Self {
            hostname,
            domain,
            connector,
            acceptor,
            users,
            settings,
        })
    }

    /// The gateway that all mail goes to.
    pub(crate) fn gateway(&self) -> &Gateway {
        only_gateway(&self.settings)
    }
}

fn only_gateway(settings: &Settings) -> &Gateway {
    settings
        .gateways
        .first()
        .expect("settings without a gateway are refused when they are read")
}

/// A password file that cannot be used is told at start, not when mail waits. A command is not run
/// here: it may need the network, and it is run for every session anyway.
fn check_password(gateway: &Gateway, keeper: &Keeper) -> Result<(), String> {
    match &gateway.password {
        None | Some(PasswordSource::Command(_)) => Ok(()),
        Some(source) => match secret::fetch(source, keeper) {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("[gateway {}]: {error}", gateway.name)),
        },
    }
}

fn connector(gateway: &Gateway) -> Result<Option<TlsConnector>, String> {
    if gateway.tls == Tls::None || gateway.deliver != Deliver::Smtp {
        return Ok(None);
    }
    tls::server_name(&gateway.tls_name).map_err(|error| format!("tls_name: {error}"))?;
    tls::connector(gateway.ca_file.as_deref())
        .map(Some)
        .map_err(|error| format!("ca_file: {error}"))
}

fn acceptor(settings: &Settings) -> Result<Option<TlsAcceptor>, String> {
    match (&settings.listen.tls_cert, &settings.listen.tls_key) {
        (Some(cert), Some(key)) => tls::acceptor(cert, key).map(Some),
        _ => Ok(None),
    }
}
