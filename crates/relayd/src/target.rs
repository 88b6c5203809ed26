//! A gateway as the settings in force have it, with what was made from them for it.

use std::sync::Arc;

use policy::route;
use policy::settings::Gateway;
use policy::verdict::Judge;
use tokio_rustls::TlsConnector;

use crate::running::Running;

/// One gateway of certain settings.
#[derive(Clone)]
pub(crate) struct Target {
    running: Arc<Running>,
    place: usize,
}

impl Target {
    /// The gateway of a name; `None` if the settings have none.
    pub(crate) fn named(running: &Arc<Running>, name: &str) -> Option<Self> {
        let place = route::place_of(&running.settings.gateways, name)?;
        let running = Arc::clone(running);
        Some(Self { running, place })
    }

    /// The settings that it is of.
    pub(crate) fn running(&self) -> &Arc<Running> {
        &self.running
    }

    pub(crate) fn gateway(&self) -> &Gateway {
        // `named` found it there, and settings do not change.
        &self.running.settings.gateways[self.place]
    }

    /// `None` where `tls = none`, or mail is captured.
    pub(crate) fn connector(&self) -> Option<&TlsConnector> {
        self.running.connectors.get(self.place)?.as_ref()
    }

    /// How this host calls itself there.
    pub(crate) fn helo_name(&self) -> &str {
        let own = self.gateway().helo_name.as_deref();
        own.unwrap_or(&self.running.hostname)
    }

    /// Who says what its answers mean.
    pub(crate) fn judge(&self) -> Judge<'_> {
        self.running.judge(self.gateway())
    }
}
