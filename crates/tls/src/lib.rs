//! Verified TLS towards a server: whom to trust, the name that a certificate must carry, and a
//! failed handshake in words. There is no switch that leaves out verification (I8).
#![forbid(unsafe_code)]

mod validity;

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, RootCertStore};

pub use validity::not_after;

/// A client's side of TLS that trusts `ca_file` alone, or the system's roots where none is named.
///
/// # Errors
/// A text that names the file, for a file that cannot be read or holds no certificate.
pub fn client(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
    let roots = match ca_file {
        Some(file) => roots_of(file)?,
        None => system_roots()?,
    };
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// The one provider of cryptography.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// The name that a server's certificate must be valid for.
///
/// # Errors
/// A text, for something that is neither a host name nor an IP address.
pub fn server_name(name: &str) -> Result<ServerName<'static>, String> {
    ServerName::try_from(name.to_owned()).map_err(|_| format!("\"{name}\" is not a host name"))
}

/// Why a handshake failed, in words for `mailq`. Certificate faults say what is wrong with it.
#[must_use]
pub fn failure_words(error: &io::Error) -> String {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(fault)) => {
            format!(
                "Server certificate not verified: {}",
                certificate_words(fault)
            )
        }
        Some(other) => format!("Cannot start TLS: {other}"),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            "Cannot start TLS: the server closed the connection in the handshake".to_owned()
        }
        None => format!("Cannot start TLS: {error}"),
    }
}

fn certificate_words(fault: &CertificateError) -> String {
    use CertificateError as E;
    match fault {
        E::Expired | E::ExpiredContext { .. } => "it has expired".to_owned(),
        E::NotValidYet | E::NotValidYetContext { .. } => {
            "it is not valid yet (is this host's clock right?)".to_owned()
        }
        E::UnknownIssuer => "its issuer is not trusted here (see ca_file)".to_owned(),
        E::NotValidForName | E::NotValidForNameContext { .. } => {
            "it was issued for another host name (see tls_name)".to_owned()
        }
        E::Revoked => "it was revoked".to_owned(),
        other => other.to_string(),
    }
}

fn roots_of(file: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        roots
            .add(certificate)
            .map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(roots)
}

fn system_roots() -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(system_certificates());
    if added == 0 {
        return Err("this system has no trusted CA certificates: install the package ca-certificates, or set ca_file".to_owned());
    }
    Ok(roots)
}

/// The certificates of the authorities that this system trusts; empty where there are none.
#[must_use]
pub fn system_certificates() -> Vec<CertificateDer<'static>> {
    rustls_native_certs::load_native_certs().certs
}

/// The certificates in a PEM file; at least one.
///
/// # Errors
/// A text that names the file.
pub fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let named = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let pem = fs::read(file).map_err(|error| named(&error))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let found = found.map_err(|error| named(&error))?;
    if found.is_empty() {
        return Err(named(&"no certificate in this file"));
    }
    Ok(found)
}
