//! The settings in force, with what is made from them once: names, TLS, users.

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use host::aliases::Source;
use host::secret::{self, Keeper};
use policy::aliases::Rules;
use policy::from::Host;
use policy::rewrite::Map;
use policy::settings::{Deliver, Gateway, PasswordSource, Settings, Tls};
use policy::users::Users;
use policy::verdict::{Judge, Rulebook};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::place;
use crate::tls;

/// Settings that have been found good, ready for use.
pub(crate) struct Running {
    pub(crate) settings: Settings,
    /// How this host calls itself: EHLO, Received, Message-ID.
    pub(crate) hostname: String,
    /// What completes bare addresses.
    pub(crate) domain: String,
    /// For sessions with each gateway; `None` where `tls = none` or mail is captured.
    pub(crate) connectors: Vec<Option<TlsConnector>>,
    /// For the submission port; `None` where there is none.
    pub(crate) acceptor: Option<TlsAcceptor>,
    pub(crate) users: Option<Users>,
    /// Where local names lead.
    pub(crate) aliases: Arc<Source>,
    /// `[rewrite]`.
    senders: Map,
    recipients: Map,
    /// What the gateway's refusals mean.
    rules: Rulebook,
}

impl Running {
    /// Reads the settings file and everything that it names.
    ///
    /// # Errors
    /// Everything that is wrong, one problem a line, each with its file and line where it has one.
    pub(crate) fn load(file: &Path) -> Result<Self, String> {
        let settings = host::config::load(file).map_err(|error| error.to_string())?;
        Self::prepare(settings).map_err(|problems| {
            // The text is only looked at for line numbers, so a change meanwhile does no harm.
            let text = std::fs::read_to_string(file).unwrap_or_default();
            let lines = problems.iter().map(|problem| problem.located(file, &text));
            lines.collect::<Vec<_>>().join("\n")
        })
    }

    fn prepare(settings: Settings) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut note = |section: &str, (key, text): Fault| {
            problems.push(Problem {
                section: section.to_owned(),
                key,
                text,
            });
        };
        let mut connect = |gateway: &Gateway| {
            let section = format!("gateway {}", gateway.name);
            check_password(gateway).unwrap_or_else(|fault| note(&section, fault));
            connector(gateway).unwrap_or_else(|fault| {
                note(&section, fault);
                None
            })
        };
        let connectors = settings.gateways.iter().map(&mut connect).collect();
        let acceptor = acceptor(&settings).unwrap_or_else(|fault| {
            note("listen", fault);
            None
        });
        let users = users(&settings).unwrap_or_else(|fault| {
            note("listen", fault);
            None
        });
        let keeper = Keeper::this_process();
        let mut map = |key, file: &Option<PathBuf>| {
            host::aliases::load_map(file.as_deref(), &keeper).unwrap_or_else(|text| {
                note("rewrite", (key, text));
                Map::default()
            })
        };
        let senders = map("senders", &settings.rewrite.senders);
        let recipients = map("recipients", &settings.rewrite.recipients);
        let rules = host::replies::load(settings.replies.as_deref(), &keeper);
        let rules = rules.unwrap_or_else(|text| {
            note("replies", ("file", text));
            Rulebook::built_in()
        });
        if !problems.is_empty() {
            return Err(problems);
        }
        let hostname = settings
            .hostname
            .clone()
            .unwrap_or_else(host::identity::hostname);
        Ok(Self {
            domain: settings.domain.clone().unwrap_or_else(|| hostname.clone()),
            hostname,
            connectors,
            acceptor,
            users,
            aliases: Arc::new(Source::new(settings.aliases.clone(), keeper)),
            senders,
            recipients,
            rules,
            settings,
        })
    }

    /// Where the queue is, if what is written there may not stay there.
    pub(crate) fn spool_warning(&self) -> Option<String> {
        let spool = &self.settings.paths.spool;
        // What cannot be looked at is found out when it is used.
        let storage = host::filesystem::storage_of(spool).ok()?;
        policy::durability::warning(&spool.to_string_lossy(), storage)
    }

    /// How addresses of envelopes are completed and rewritten.
    pub(crate) fn rules(&self) -> Rules<'_> {
        Rules {
            domain: &self.domain,
            hostname: &self.hostname,
            root: self.settings.root.as_ref(),
            senders: &self.senders,
            recipients: &self.recipients,
        }
    }

    /// What the From policy must know of this host.
    pub(crate) fn as_host(&self) -> Host<'_> {
        Host {
            hostname: &self.hostname,
            domain: &self.domain,
        }
    }

    /// Keeps the aliases of the settings before, which are good even if the file is not any more.
    pub(crate) fn keep_aliases_of(&mut self, before: &Self) {
        if self.settings.aliases == before.settings.aliases {
            self.aliases = Arc::clone(&before.aliases);
        }
    }

    /// Who says what a gateway's answers mean.
    pub(crate) fn judge(&self, gateway: &Gateway) -> Judge<'_> {
        Judge {
            rules: &self.rules,
            provider: gateway.family(),
            soft_bounce: self.settings.soft_bounce,
        }
    }
}

/// A key, and what is wrong with what it names.
type Fault = (&'static str, String);

/// Something that the settings name and that cannot be used.
struct Problem {
    section: String,
    key: &'static str,
    text: String,
}

impl Problem {
    /// `FILE:LINE: KEY: what is wrong`.
    fn located(&self, file: &Path, text: &str) -> String {
        let Self {
            section,
            key,
            text: what,
        } = self;
        let file = file.display();
        match place::line_of(text, section, key) {
            Some(line) => format!("{file}:{line}: {key}: {what}"),
            None => format!("{file}: [{section}] {key}: {what}"),
        }
    }
}

/// A password file that cannot be used is told at start, not when mail waits. A command is not run
/// here: it may need the network, and it is run for every session anyway.
fn check_password(gateway: &Gateway) -> Result<(), Fault> {
    let (key, source) = match &gateway.password {
        None | Some(PasswordSource::Command(_)) => return Ok(()),
        Some(source @ PasswordSource::File(_)) => ("password_file", source),
        Some(source @ PasswordSource::Credential(_)) => ("password_credential", source),
    };
    secret::fetch(source, &Keeper::this_process())
        .map(|_| ())
        .map_err(|error| (key, error.to_string()))
}

fn connector(gateway: &Gateway) -> Result<Option<TlsConnector>, Fault> {
    if gateway.tls == Tls::None || gateway.deliver != Deliver::Smtp {
        return Ok(None);
    }
    tls::server_name(&gateway.tls_name).map_err(|error| ("tls_name", error))?;
    tls::connector(gateway.ca_file.as_deref())
        .map(Some)
        .map_err(|error| ("ca_file", error))
}

fn acceptor(settings: &Settings) -> Result<Option<TlsAcceptor>, Fault> {
    let (Some(cert), Some(key)) = (&settings.listen.tls_cert, &settings.listen.tls_key) else {
        return Ok(None);
    };
    check_private(key).map_err(|error| ("tls_key", error))?;
    tls::acceptor(cert, key)
        .map(Some)
        .map_err(|error| ("tls_cert", error))
}

/// A key that everybody may read is no secret (I8).
fn check_private(file: &Path) -> Result<(), String> {
    let named = |what: String| format!("{}: {what}", file.display());
    let status = File::open(file)
        .and_then(|file| file.metadata())
        .map_err(|error| named(error.to_string()))?;
    let mode = status.permissions().mode() & 0o7777;
    if mode & 0o007 != 0 {
        return Err(named(format!(
            "everybody may get at it (mode {mode:04o}); chmod o= it"
        )));
    }
    Ok(())
}

fn users(settings: &Settings) -> Result<Option<Users>, Fault> {
    let Some(file) = &settings.listen.users_file else {
        return Ok(None);
    };
    host::users::read(file)
        .map(Some)
        .map_err(|error| ("users_file", error))
}
