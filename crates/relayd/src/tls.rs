//! TLS as the daemon uses it: connections to a gateway, and the server side of the submission port.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use tokio_rustls::{TlsAcceptor, TlsConnector};

pub(crate) use tls::{failure_words, server_name};

/// A connector that trusts `ca_file` alone, or the system's roots where none is named.
///
/// # Errors
/// A text that names the file, for a file that cannot be read or holds no certificate.
pub(crate) fn connector(ca_file: Option<&Path>) -> Result<TlsConnector, String> {
    tls::client(ca_file).map(TlsConnector::from)
}

/// An acceptor with one certificate chain and its key, both PEM.
///
/// # Errors
/// A text that names the file at fault.
pub(crate) fn acceptor(chain: &Path, key: &Path) -> Result<TlsAcceptor, String> {
    let certificates = tls::certificates(chain)?;
    let key_der =
        PrivateKeyDer::from_pem_file(key).map_err(|error| format!("{}: {error}", key.display()))?;
    let config = ServerConfig::builder_with_provider(tls::provider())
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
    tls::provider().secure_random.fill(&mut bytes).ok()?;
    Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
