//! TLS as the daemon uses it: verified connections to a gateway, and the server side of the
//! submission port. There is no switch that leaves out verification.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{CertificateError, ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// A connector that trusts `ca_file` alone, or the system's roots where none is named.
///
/// # Errors
/// A text that names the file, for a file that cannot be read or holds no certificate.
pub(crate) fn connector(ca_file: Option<&Path>) -> Result<TlsConnector, String> {
    let roots = match ca_file {
        Some(file) => roots_of(file)?,
        None => system_roots()?,
    };
    let config =
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// An acceptor with one certificate chain and its key, both PEM.
///
/// # Errors
/// A text that names the file at fault.
pub(crate) fn acceptor(chain: &Path, key: &Path) -> Result<TlsAcceptor, String> {
    let certificates = certificates(chain)?;
    let key_der =
        PrivateKeyDer::from_pem_file(key).map_err(|error| format!("{}: {error}", key.display()))?;
    let config =
        ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_no_client_auth()
            .with_single_cert(certificates, key_der)
            .map_err(|error| format!("{}: {error}", chain.display()))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// What ties a login to its TLS connection (RFC 9266); `None` where the connection exports nothing.
pub(crate) fn binding<IO>(stream: &tokio_rustls::client::TlsStream<IO>) -> Option<Vec<u8>> {
    let (_, connection) = stream.get_ref();
    let exported = connection.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", None);
    exported.ok().map(|bytes: [u8; 32]| bytes.to_vec())
}

/// 36 hexadecimal digits that nobody can guess; `None` where the system has no randomness, and then
/// the mechanisms that need it are not used.
pub(crate) fn nonce() -> Option<String> {
    let mut bytes = [0; 18];
    let random = rustls::crypto::ring::default_provider().secure_random;
    random.fill(&mut bytes).ok()?;
    Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The name that a gateway's certificate must be valid for.
///
/// # Errors
/// A text, for something that is neither a host name nor an IP address.
pub(crate) fn server_name(name: &str) -> Result<ServerName<'static>, String> {
    ServerName::try_from(name.to_owned()).map_err(|_| format!("\"{name}\" is not a host name"))
}

/// Why a handshake failed, in words for `mailq`. Certificate faults say what is wrong with it.
pub(crate) fn failure_words(error: &io::Error) -> String {
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
    let (added, _) =
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if added == 0 {
        return Err("this system has no trusted CA certificates: install the package ca-certificates, or set ca_file".to_owned());
    }
    Ok(roots)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let named = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let pem = fs::read(file).map_err(|error| named(&error))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let found = found.map_err(|error| named(&error))?;
    if found.is_empty() {
        return Err(named(&"no certificate in this file"));
    }
    Ok(found)
}
