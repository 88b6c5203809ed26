//! Where a caller plays: a provider, relayd in front of it, and a home for the caller.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::certificate::{Authority, Validity};
use crate::gateway::{Delivery, Gateway, Setup};
use crate::namespace;
use crate::program::built;
use crate::rig::Rig;

/// How long one message may take from the caller to the gateway.
pub const LIMIT: Duration = Duration::from_secs(20);

/// What callers send where they let the text alone: a lone dot, a dot to double, `From `, eight bits.
pub const TEXT: &str = "first line\n.\n..two\nFrom me\n\ngr\u{fc}n \u{20ac}\nlast line\n";

/// A gateway, relayd and a home.
pub struct Scene {
    /// The far end.
    pub gateway: Gateway,
    /// Our end.
    pub rig: Rig,
}

impl Scene {
    /// Everything up, nothing sent.
    pub fn open() -> Self {
        let mut scene = Self::prepare();
        scene.rig.start();
        scene
    }

    /// The same with relayd not yet running, for changes to gateway and settings.
    pub fn prepare() -> Self {
        let authority = Authority::new();
        let gateway = Gateway::start(Setup::provider(
            authority.issue("gateway.test", Validity::Current),
        ));
        let rig = Rig::new(Rig::access_to(&gateway, &authority));
        let scene = Self { gateway, rig };
        fs::create_dir(scene.home()).expect("the rig's folder is ours");
        fs::set_permissions(scene.home(), fs::Permissions::from_mode(0o777)).expect("just made");
        scene
    }

    /// The caller's home and working folder.
    pub fn home(&self) -> PathBuf {
        self.rig.path().join("home")
    }

    /// `line` as user `id` where `/usr/sbin/sendmail` is ours.
    pub fn as_user(&self, id: u32, line: &[&str]) -> Command {
        namespace::command(
            &built("sendmail"),
            &self.rig.settings(),
            id,
            &self.home(),
            line,
        )
    }

    /// A file in home that belongs to whoever runs the test.
    pub fn write_own(&self, name: &str, mode: u32, text: &str) {
        let path = self.home().join(name);
        fs::write(&path, text).expect("home is ours");
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("just made");
    }

    /// A file below home.
    pub fn write(&self, name: &str, owner: u32, mode: u32, text: &str) {
        let path = self.home().join(name);
        fs::create_dir_all(path.parent().expect("below home")).expect("home is ours");
        fs::write(&path, text).expect("home is ours");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("just made");
        chown(&path, Some(owner), Some(owner)).expect("root may");
    }

    /// An empty folder below home that belongs to `owner`.
    pub fn fresh_folder(&self, name: &str, owner: u32) -> PathBuf {
        let path = self.home().join(name);
        fs::create_dir(&path).expect("home is ours");
        chown(&path, Some(owner), Some(owner)).expect("root may");
        path
    }

    /// The only message so far.
    #[track_caller]
    pub fn one(&self) -> Delivery {
        self.nth(0)
    }

    /// The message after `index` others; there is none beyond it.
    #[track_caller]
    pub fn nth(&self, index: usize) -> Delivery {
        let mut all = self.gateway.expect(index + 1, LIMIT);
        assert_eq!(all.len(), index + 1);
        self.gateway.expect_good_manners();
        all.remove(index)
    }

    /// The delivery is `sent` to the byte (any line ends) below a Received field of ours.
    #[track_caller]
    pub fn expect_exactly(&self, delivery: &Delivery, sent: &[u8]) {
        let content = &delivery.content;
        assert!(content.starts_with(b"Received: "), "{}", delivery.header());
        let end = (0..content.len())
            .find(|&at| {
                content[at..].starts_with(b"\r\n")
                    && !matches!(content.get(at + 2), Some(b' ' | b'\t'))
            })
            .map_or(content.len(), |at| at + 2);
        let (got, expected) = (&content[end..], to_crlf(sent));
        assert!(
            got == expected,
            "{}\n--- is not what was sent:\n{}",
            got.escape_ascii(),
            expected.escape_ascii()
        );
        self.gateway.expect_good_manners();
    }

    /// Date, Message-ID and From are there exactly once, and one Received of ours on top.
    #[track_caller]
    pub fn expect_complete_header(&self, delivery: &Delivery) {
        for name in ["Date", "Message-ID", "From"] {
            assert_eq!(
                delivery.fields(name).len(),
                1,
                "{name} in:\n{}",
                delivery.header()
            );
        }
        let received = delivery.fields("Received");
        assert!(
            received.len() == 1 && delivery.header().starts_with("Received: "),
            "{}",
            delivery.header()
        );
        let from = &delivery.fields("From")[0];
        assert!(from.contains('@'), "From is qualified: {from}");
    }
}

/// UTF-8 text with LF line ends as it looks on the wire.
pub fn crlf(text: &str) -> Vec<u8> {
    text.replace('\n', "\r\n").into_bytes()
}

/// Any mix of LF and CRLF as CRLF.
pub fn to_crlf(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    for (at, &byte) in bytes.iter().enumerate() {
        if byte == b'\n' && (at == 0 || bytes[at - 1] != b'\r') {
            out.push(b'\r');
        }
        out.push(byte);
    }
    out
}
