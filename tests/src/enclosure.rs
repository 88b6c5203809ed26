//! A private mount namespace in which programs run: other files under known paths, small disks, and nothing of it seen
//! outside. Needs root.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::program::{built, need};

/// The user of [`Enclosure::host`].
pub const ALICE: u32 = 1000;

/// alice's account in `$1`, and our programs, `$2` and `$3`, where callers look for them.
const HOST: &str = r#"
printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\nalice:x:1000:1000:Alice Example,,,:/tmp:/bin/sh\n' > "$1/passwd"
mount --bind "$1/passwd" /etc/passwd
mount --bind "$2" /usr/sbin/sendmail
mount --bind "$3" /usr/sbin/postqueue"#;

/// The namespace. It ends with its last process; dropping this ends the one that holds it.
pub struct Enclosure {
    holder: Child,
}

impl Enclosure {
    /// Runs `script` (`/bin/sh`, stops at the first error) as root in a fresh namespace, with `arguments` as `$1` and
    /// so on. What it mounts is there when this returns.
    #[track_caller]
    pub fn new(script: &str, arguments: &[&OsStr]) -> Self {
        need("/usr/bin/unshare", "util-linux");
        need("/usr/bin/nsenter", "util-linux");
        let script = format!("set -e\n{script}\necho ready\nexec cat");
        let mut command = Command::new("/usr/bin/unshare");
        command.args(["--mount", "--propagation", "private", "--", "/bin/sh", "-c"]);
        command.arg(script).arg("sh").args(arguments);
        let mut holder = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare runs");
        let mut line = String::new();
        let said = holder.stdout.as_mut().expect("piped above");
        BufReader::new(said)
            .read_line(&mut line)
            .expect("a pipe can be read");
        assert_eq!(line, "ready\n", "the script of the enclosure failed");
        Self { holder }
    }

    /// A host with the user alice ("Alice Example") on which `sendmail`, `mailq`, `newaliases` and `postqueue` are ours;
    /// `folder` is for what it needs.
    #[track_caller]
    pub fn host(folder: &Path) -> Self {
        need("/usr/sbin/postqueue", "postfix");
        let (sendmail, postqueue) = (built("sendmail"), built("postqueue"));
        let arguments = [folder, &sendmail, &postqueue].map(Path::as_os_str);
        Self::new(HOST, &arguments)
    }

    /// A command line that enters the namespace and goes on with the arguments that are added: a program and its own.
    pub fn command(&self) -> Command {
        let mut command = Command::new("/usr/bin/nsenter");
        let namespace = format!("--mount=/proc/{}/ns/mnt", self.holder.id());
        command.args([&namespace, "--"]);
        command
    }

    /// The same as user `id`, who is in the group of the same number and in no other.
    pub fn command_as(&self, id: u32) -> Command {
        let mut command = self.command();
        command.args(["setpriv", "--clear-groups", "--reuid"]);
        command.args([&id.to_string(), "--regid", &id.to_string(), "--"]);
        command
    }
}

impl Drop for Enclosure {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
