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
        let authority = Authority::new();
        let gateway = Gateway::start(Setup::provider(
            authority.issue("gateway.test", Validity::Current),
        ));
        let rig = Rig::before(&gateway, &authority);
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
