//! A certificate authority made on the spot, and the server certificates it signs: good, expired, for another name.

use std::path::Path;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// Signs server certificates; `pem` is what a client must trust.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// The authority's own certificate, PEM.
    pub pem: String,
}

/// Between which dates a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// From long ago until far in the future.
    Current,
    /// It ended in 2021.
    Expired,
}

/// What is wrong with a certificate for a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// It is for another name.
    OtherName,
    /// It ended in 2021.
    Expired,
    /// It begins in 2080.
    NotYet,
    /// The name stands in the subject's CN and nowhere else.
    CommonNameOnly,
    /// It is for `*.` and the name's parent.
    Wildcard,
    /// The name, a NUL, and more behind it.
    NulInName,
    /// It is for clients only.
    ForClients,
    /// An authority that nobody knows has signed it.
    Stranger,
    /// It is signed by nobody but itself.
    SelfSigned,
    /// Two authorities that have signed each other come with it, so many times, and no root.
    Loop(usize),
}

/// A server certificate with its key.
#[derive(Clone)]
pub struct Identity {
    /// The certificate, PEM.
    pub certificate_pem: String,
    /// The private key, PKCS #8 PEM.
    pub key_pem: String,
    certificate: CertificateDer<'static>,
    /// What is sent behind it.
    rest: Vec<CertificateDer<'static>>,
    key: Vec<u8>,
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    /// A new authority with a key nobody else has.
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params
            .distinguished_name
            .push(DnType::CommonName, "relay test authority");
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2090, 1, 1);
        let key = KeyPair::generate().expect("ring makes a key");
        let certificate = params
            .self_signed(&key)
            .expect("the parameters are complete");
        Self {
            pem: certificate.pem(),
            issuer: Issuer::new(params, key),
        }
    }

    /// A server certificate for `name` (a DNS name or an IP address), signed by this authority.
    pub fn issue(&self, name: &str, validity: Validity) -> Identity {
        sign(server_params(name, validity), &self.issuer)
    }

    /// One for `name` that no client may accept.
    pub fn issue_flawed(&self, name: &str, flaw: Flaw) -> Identity {
        let params = server_params(name, Validity::Current);
        let names = |names: Vec<SanType>| {
            let mut params = params.clone();
            params.subject_alt_names = names;
            params
        };
        let dns = |text: &str| SanType::DnsName(text.try_into().expect("ASCII"));
        match flaw {
            Flaw::OtherName => self.issue("other.test", Validity::Current),
            Flaw::Expired => self.issue(name, Validity::Expired),
            Flaw::NotYet => {
                let mut params = params.clone();
                params.not_before = date_time_ymd(2080, 1, 1);
                sign(params, &self.issuer)
            }
            Flaw::CommonNameOnly => sign(names(Vec::new()), &self.issuer),
            Flaw::Wildcard => {
                let parent = name.split_once('.').map_or(name, |(_, parent)| parent);
                sign(names(vec![dns(&format!("*.{parent}"))]), &self.issuer)
            }
            Flaw::NulInName => sign(
                names(vec![dns(&format!("{name}\0.evil.test"))]),
                &self.issuer,
            ),
            Flaw::ForClients => {
                let mut params = params.clone();
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
                sign(params, &self.issuer)
            }
            Flaw::Stranger => Self::new().issue(name, Validity::Current),
            Flaw::SelfSigned => {
                let key = KeyPair::generate().expect("ring makes a key");
                let certificate = params
                    .self_signed(&key)
                    .expect("the parameters are complete");
                Identity::new(&certificate, &key)
            }
            Flaw::Loop(count) => in_a_loop(params, count),
        }
    }

    /// Writes the authority's certificate where a client can read it.
    pub fn write(&self, file: &Path) {
        std::fs::write(file, &self.pem).expect("the folder is ours");
    }
}

impl Identity {
    fn new(certificate: &Certificate, key: &KeyPair) -> Self {
        Self {
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            certificate: certificate.der().clone(),
            rest: Vec::new(),
            key: key.serialize_der(),
        }
    }

    /// What rustls wants: the chain, its own certificate first, and the key.
    pub fn for_rustls(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let key = PrivatePkcs8KeyDer::from(self.key.clone());
        let chain = std::iter::once(&self.certificate).chain(&self.rest);
        (chain.cloned().collect(), PrivateKeyDer::Pkcs8(key))
    }
}

fn server_params(name: &str, validity: Validity) -> CertificateParams {
    let mut params = CertificateParams::new([name.to_owned()]).expect("a DNS name or an address");
    params.distinguished_name.push(DnType::CommonName, name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = match validity {
        Validity::Current => date_time_ymd(2090, 1, 1),
        Validity::Expired => date_time_ymd(2021, 1, 1),
    };
    params
}

fn sign(params: CertificateParams, issuer: &Issuer<'_, KeyPair>) -> Identity {
    let key = KeyPair::generate().expect("ring makes a key");
    let certificate = params
        .signed_by(&key, issuer)
        .expect("the parameters are complete");
    Identity::new(&certificate, &key)
}

/// A certificate of the first of two authorities that have signed each other, and these `count` times.
fn in_a_loop(params: CertificateParams, count: usize) -> Identity {
    let authority = |name: &str| {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(DnType::CommonName, name);
        (params, KeyPair::generate().expect("ring makes a key"))
    };
    let ((one, one_key), (two, two_key)) = (authority("loop one"), authority("loop two"));
    let by_one = Issuer::from_params(&one, &one_key);
    let by_two = Issuer::from_params(&two, &two_key);
    let mut rest = Vec::new();
    for number in 0..count {
        let (params, key, issuer) = match number % 2 {
            0 => (&one, &one_key, &by_two),
            _ => (&two, &two_key, &by_one),
        };
        let mut params = params.clone();
        params.serial_number = Some((number as u64 + 1).into());
        let certificate = params
            .signed_by(key, issuer)
            .expect("the parameters are complete");
        rest.push(certificate.der().clone());
    }
    let key = KeyPair::generate().expect("ring makes a key");
    let certificate = params
        .signed_by(&key, &by_one)
        .expect("the parameters are complete");
    Identity {
        rest,
        ..Identity::new(&certificate, &key)
    }
}
