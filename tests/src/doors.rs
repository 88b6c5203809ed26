//! relayd's SMTP ports as real clients find them: a scene that listens in clear and, with STARTTLS and AUTH, for
//! submission; and the bare surroundings in which a client runs.
//!
//! The ports are on a loopback address of this process alone, so that nobody else can take one before relayd does.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::Command;

use base64::prelude::{BASE64_STANDARD, Engine as _};

use crate::certificate::{Authority, Validity};
use crate::gateway::Delivery;
use crate::peer::Peer;
use crate::program::{need, succeed};
use crate::scene::{Scene, TEXT};

/// Who may use the submission port.
pub const USER: &str = "web1";
/// The user's password: with a blank, quotes and signs that shells and settings files mind.
pub const PASSWORD: &str = "open 'se\"same\\ 100%";

/// A whole message for clients that send what they are given.
pub const MESSAGE: &str = "From: App <app@x.test>\r\nTo: to@x.test\r\nSubject: s\r\nDate: Mon, 1 Jan 2024 00:00:00 +0000\r\n\
    Message-ID: <1@x.test>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Content-Transfer-Encoding: 8bit\r\n\r\n.\r\n..two\r\nFrom me\r\n\r\ngr\u{fc}n \u{20ac}\r\nlast line\r\n";

/// A scene with both ports open.
pub struct Doors {
    /// Gateway, relayd and home.
    pub scene: Scene,
    /// Where both ports are, and the name in the certificate of the submission port.
    pub address: Ipv4Addr,
    /// `[listen] smtp`.
    pub smtp: u16,
    /// `[listen] submission`.
    pub submission: u16,
    /// The authority that has signed the certificate.
    pub authority_pem: String,
}

impl Doors {
    /// Everything up, nothing sent.
    pub fn open() -> Self {
        let mut doors = Self::closed();
        doors.scene.rig.start();
        doors
    }

    /// The same with relayd not yet running.
    pub fn closed() -> Self {
        let mut scene = Scene::prepare();
        let address = own_address();
        let (smtp, submission) = free_ports(address);
        let authority = Authority::new();
        let identity = authority.issue(&address.to_string(), Validity::Current);
        scene
            .rig
            .write("cert.pem", &identity.certificate_pem, 0o644);
        scene.rig.write("key.pem", &identity.key_pem, 0o600);
        scene
            .rig
            .write("users", &format!("{USER}:{}\n", hash()), 0o600);
        scene.rig.write("doors-ca.pem", &authority.pem, 0o644);
        scene.rig.change(|access| {
            access.sections.push_str(&format!(
                "[listen]\nsmtp = {address}:{smtp}\nsubmission = {address}:{submission}\n\
                 tls_cert = cert.pem\ntls_key = key.pem\nusers_file = users\n"
            ));
        });
        Self {
            scene,
            address,
            smtp,
            submission,
            authority_pem: authority.pem,
        }
    }

    /// The certificate of the authority that a client of the submission port must trust.
    pub fn authority(&self) -> PathBuf {
        self.scene.rig.path().join("doors-ca.pem")
    }

    /// A connection to `[listen] smtp`.
    pub fn at_smtp(&self) -> Peer {
        Peer::tcp((self.address, self.smtp))
    }

    /// A connection to `[listen] submission`.
    pub fn at_submission(&self) -> Peer {
        Peer::tcp((self.address, self.submission))
    }

    /// TLS for such a connection, once relayd has said 220 to STARTTLS.
    pub fn secure(&self, peer: &mut Peer) -> io::Result<()> {
        peer.start_tls(&self.authority_pem, &self.address.to_string())
    }

    /// The user and the password as AUTH PLAIN sends them.
    pub fn response() -> String {
        BASE64_STANDARD.encode(format!("\0{USER}\0{PASSWORD}"))
    }

    /// Runs a client that must succeed, with MESSAGE on its standard input; gives what it printed.
    #[track_caller]
    pub fn run(&self, mut client: Command) -> String {
        succeed(&mut client, MESSAGE.as_bytes())
    }

    /// `line` in a bare environment with home as working folder, where HOST, SMTP, SUBMISSION, USERNAME, PASSWORD
    /// and CA say what there is to connect to, and TEXT is [`TEXT`].
    pub fn client(&self, line: &[&str]) -> Command {
        let mut command = Command::new(line[0]);
        command.args(&line[1..]).env_clear();
        command
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LANG", "C.UTF-8")
            .env("HOME", self.scene.home())
            .env("HOST", self.address.to_string())
            .env("SMTP", self.smtp.to_string())
            .env("SUBMISSION", self.submission.to_string())
            .env("USERNAME", USER)
            .env("PASSWORD", PASSWORD)
            .env("CA", self.authority())
            .env("TEXT", TEXT)
            .current_dir(self.scene.home());
        command
    }
}

/// The one Received field names the client, and the protocol of RFC 3848 that says how it came.
#[track_caller]
pub fn expect_received(delivery: &Delivery, hello: &str, protocol: &str) {
    let received = delivery.fields("Received").remove(0);
    let starts = received.starts_with(&format!("from {hello} "));
    assert!(
        starts && received.contains(&format!(" with {protocol} ")),
        "{received}"
    );
}

/// The process id written into 127.x.y.z: two processes never have the same.
pub fn own_address() -> Ipv4Addr {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, high | 128, middle, low)
}

/// Two ports that are free there; both are held until both are known.
fn free_ports(address: Ipv4Addr) -> (u16, u16) {
    let held = [(); 2].map(|()| TcpListener::bind((address, 0)).expect("loopback has free ports"));
    let [one, two] = held.map(|socket| socket.local_addr().expect("it is bound").port());
    (one, two)
}

/// The password as `users_file` wants it.
fn hash() -> String {
    need("/usr/bin/openssl", "openssl");
    let mut command = Command::new("/usr/bin/openssl");
    let said = succeed(
        command.args(["passwd", "-6", "-stdin"]),
        PASSWORD.as_bytes(),
    );
    said.trim().to_owned()
}
