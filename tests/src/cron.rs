//! A real cron daemon in a scene: it knows only the jobs that it is given.
//!
//! Jobs that begin with `@reboot` are run as soon as it has started, so that nothing waits for a full minute.

use std::process::{Child, Stdio};

use crate::program::need;
use crate::scene::Scene;

/// Puts the scene's tables where cron looks, in a mount namespace of its own, and becomes cron. Its empty /run makes
/// each start the first one after a reboot.
const ENTER: &str = r#"
set -e
mount -t tmpfs tmpfs /run
mkdir -p "$1/none"
chown 0:crontab "$1/crontabs" && chmod 1730 "$1/crontabs"
mount --bind "$1/crontabs" /var/spool/cron/crontabs
mount --bind "$1/none" /etc/cron.d
mount --bind "$1/crontab" /etc/crontab
exec cron -f"#;

/// A running daemon. Dropping it ends it. Needs root.
pub struct Cron(Child);

impl Cron {
    /// Starts with `table` as the crontab of the user `www-data` (whose uid is 33 on every Debian), and `system` as
    /// /etc/crontab.
    pub fn start(scene: &Scene, table: &str, system: &str) -> Self {
        need("/usr/sbin/cron", "cron");
        scene.write("crontabs/www-data", 33, 0o600, table);
        scene.write("crontab", 0, 0o644, system);
        let folder = scene.home().display().to_string();
        let mut command = scene.as_user(0, &["sh", "-c", ENTER, "sh", &folder]);
        Self(command.stdin(Stdio::null()).spawn().expect("cron starts"))
    }
}

impl Drop for Cron {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
