//! Debian's real Postfix in a folder of its own: as the authenticated gateway that the suite relays through, or as a
//! null client whose queue listing ours is compared with. Nothing of the host's own Postfix is touched.
//!
//! Needs root (Postfix drops privileges itself) and the packages `postfix`, `sasl2-bin` and `libsasl2-modules`.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use nix::unistd::User;
use tempfile::TempDir;

use crate::certificate::Identity;
use crate::patience;
use crate::program::{need, run, succeed};

/// Services without a door to the network; the client needs no more.
const MASTER: &str = "\
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
";

/// Who owns the Maildir.
const NOBODY: u32 = 65534;

/// A running instance. Dropping it stops it; a failed test keeps the folder.
pub struct Postfix {
    folder: Option<TempDir>,
    root: PathBuf,
}

/// The account that the gateway knows.
pub struct Account<'a> {
    /// User name without realm.
    pub user: &'a str,
    /// Its password.
    pub password: &'a str,
}

impl Postfix {
    /// A gateway on `port` of loopback: STARTTLS with `identity`, AUTH by Cyrus SASL (PLAIN, LOGIN, CRAM-MD5) only under
    /// TLS, and every recipient's mail into one Maildir.
    pub fn gateway(port: u16, identity: &Identity, account: &Account<'_>) -> Self {
        Self::gateway_in(Self::folder(), port, identity, account, "")
    }

    /// The same, refusing every sender and From outside `domain` (a regular expression), every 8-bit byte and every
    /// line above 998 characters, and offering neither 8BITMIME nor SMTPUTF8.
    pub fn strict_gateway(
        port: u16,
        identity: &Identity,
        account: &Account<'_>,
        domain: &str,
    ) -> Self {
        let instance = Self::folder();
        let senders = format!("/@{domain}$/ OK\n");
        let header = format!(
            "if /^From:/\n!/@{domain}>?$/ REJECT From is not your domain\nendif\n!/^[[:print:][:space:]]*$/ REJECT 8-bit header\n"
        );
        let body =
            "/^.{999}/ REJECT line too long\n!/^[[:print:][:space:]]*$/ REJECT 8-bit content\n";
        for (name, text) in [("senders", &*senders), ("header", &header), ("body", body)] {
            instance.write(name, text);
        }
        let at = instance.root.display();
        let more = format!(
            "smtpd_sender_restrictions = check_sender_access regexp:{at}/senders, reject\n\
             header_checks = regexp:{at}/header\nbody_checks = regexp:{at}/body\nbody_checks_size_limit = 1000000\n\
             smtpd_discard_ehlo_keywords = 8bitmime, smtputf8, chunking, dsn\nsmtputf8_enable = no\n\
             strict_8bitmime = yes\nstrict_mime_encoding_domain = yes\n"
        );
        Self::gateway_in(instance, port, identity, account, &more)
    }

    fn gateway_in(
        instance: Self,
        port: u16,
        identity: &Identity,
        account: &Account<'_>,
        more: &str,
    ) -> Self {
        let root = instance.root.clone();
        instance.write(
            "certificate.pem",
            &format!("{}{}", identity.key_pem, identity.certificate_pem),
        );
        instance.make_account(account);
        let at = root.display();
        let main = format!(
            "myhostname = gateway.test\nmynetworks =\n\
             smtpd_relay_restrictions = permit_sasl_authenticated, reject\n\
             smtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = cyrus\nsmtpd_sasl_path = smtpd\n\
             cyrus_sasl_config_path = {at}/etc/sasl\nsmtpd_sasl_local_domain = gateway.test\n\
             smtpd_tls_security_level = may\nsmtpd_tls_auth_only = yes\n\
             smtpd_tls_chain_files = {at}/certificate.pem\n\
             virtual_mailbox_domains = static:all\nvirtual_mailbox_maps = static:inbox/\n\
             virtual_mailbox_base = {at}/mail\nvirtual_uid_maps = static:{NOBODY}\nvirtual_gid_maps = static:{NOBODY}\n{more}"
        );
        fs::create_dir(root.join("mail")).expect("the folder is ours");
        chown(root.join("mail"), Some(NOBODY), Some(NOBODY)).expect("root may");
        instance.start(&main, &format!("127.0.0.1:{port} inet n - n - - smtpd\n"));
        patience::expect("Postfix listens", Duration::from_secs(20), || {
            has_session(port).is_ok()
        });
        instance
    }

    /// A null client that relays everything to `port` of loopback, in clear and without AUTH.
    pub fn client(port: u16, domain: &str) -> Self {
        Self::satellite(Ipv4Addr::LOCALHOST, port, domain)
    }

    /// The same with the relay at another address of loopback.
    pub fn satellite(relay: Ipv4Addr, port: u16, domain: &str) -> Self {
        // Without the last line some reasons, by chance of timing, would begin with "delivery temporarily suspended".
        let main = format!(
            "myhostname = relay.{domain}\nmyorigin = {domain}\nrelayhost = [{relay}]:{port}\n\
             smtp_host_lookup = native\nlocal_transport = error:no local mail\n\
             default_destination_concurrency_failed_cohort_limit = 1000\n"
        );
        let instance = Self::folder();
        instance.start(&main, "");
        instance
    }

    /// The same over STARTTLS with AUTH, trusting `authority_pem` for the name `gateway.test`.
    pub fn client_with_login(
        port: u16,
        domain: &str,
        authority_pem: &str,
        account: &Account<'_>,
    ) -> Self {
        let instance = Self::folder();
        let at = instance.root.display().to_string();
        instance.write("ca.pem", authority_pem);
        instance.write(
            "login",
            &format!("[127.0.0.1]:{port} {}:{}\n", account.user, account.password),
        );
        let main = format!(
            "myhostname = relay.{domain}\nmyorigin = {domain}\nrelayhost = [127.0.0.1]:{port}\n\
             smtp_host_lookup = native\nlocal_transport = error:no local mail\n\
             smtp_tls_security_level = secure\nsmtp_tls_CAfile = {at}/ca.pem\n\
             smtp_tls_secure_cert_match = gateway.test\n\
             smtp_sasl_auth_enable = yes\nsmtp_sasl_password_maps = texthash:{at}/login\n\
             smtp_sasl_security_options = noanonymous\n"
        );
        instance.start(&main, "");
        instance
    }

    /// Runs this instance's `sendmail` with `arguments` and the message on its input.
    pub fn sendmail(&self, arguments: &[&str], message: &[u8]) -> Output {
        let mut command = Command::new("/usr/sbin/sendmail");
        command.arg("-C").arg(self.root.join("etc")).args(arguments);
        run(&mut command, message)
    }

    /// What `postqueue` prints with `arguments`.
    pub fn postqueue(&self, arguments: &[&str]) -> String {
        succeed(self.command("postqueue").args(arguments), b"")
    }

    /// The instance's own mail log.
    pub fn log(&self) -> String {
        fs::read_to_string(self.root.join("log")).unwrap_or_default()
    }

    /// Messages delivered so far, each as its Maildir file holds it (LF line ends, `Return-Path` and so on on top).
    pub fn delivered(&self) -> Vec<Vec<u8>> {
        let Ok(folder) = fs::read_dir(self.root.join("mail/inbox/new")) else {
            return Vec::new();
        };
        folder
            .flatten()
            .map(|entry| fs::read(entry.path()).expect("delivered for good"))
            .collect()
    }

    /// How many messages have been delivered.
    pub fn count(&self) -> usize {
        fs::read_dir(self.root.join("mail/inbox/new")).map_or(0, Iterator::count)
    }

    /// The most sessions open at one time, by the log's `connect from` and `disconnect from` lines.
    pub fn peak(&self) -> usize {
        let (mut open, mut peak) = (0_usize, 0);
        for line in self.log().lines() {
            if line.contains("]: connect from ") {
                open += 1;
                peak = peak.max(open);
            } else if line.contains("]: disconnect from ") {
                open = open.saturating_sub(1);
            }
        }
        peak
    }

    fn folder() -> Self {
        need("/usr/sbin/postfix", "postfix");
        let folder = tempfile::Builder::new()
            .prefix("postfix-")
            .tempdir()
            .expect("there is room for a folder");
        let root = folder.path().to_owned();
        fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).expect("the folder is ours");
        for name in ["etc", "etc/sasl", "queue", "data"] {
            fs::create_dir(root.join(name)).expect("the folder is ours");
        }
        let owner = User::from_name("postfix")
            .ok()
            .flatten()
            .expect("the package makes the user postfix");
        chown(root.join("data"), Some(owner.uid.as_raw()), None).expect("root may");
        Self {
            folder: Some(folder),
            root,
        }
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.root.join(name);
        fs::write(&path, text).expect("the folder is ours");
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("the file is ours");
    }

    fn make_account(&self, account: &Account<'_>) {
        need("/usr/sbin/saslpasswd2", "sasl2-bin");
        let database = self.root.join("users.db");
        // Debian's build looks for this file in `sasl` below the settings folder, whatever cyrus_sasl_config_path says.
        let text = format!(
            "pwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: {}\nmech_list: PLAIN LOGIN CRAM-MD5\n",
            database.display()
        );
        fs::write(self.root.join("etc/sasl/smtpd.conf"), text).expect("the folder is ours");
        let mut command = Command::new("/usr/sbin/saslpasswd2");
        command
            .args(["-p", "-c", "-u", "gateway.test", "-f"])
            .arg(&database)
            .arg(account.user);
        succeed(&mut command, account.password.as_bytes());
        let owner = User::from_name("postfix")
            .ok()
            .flatten()
            .expect("the package makes the user postfix");
        chown(database, Some(owner.uid.as_raw()), None).expect("root may");
    }

    fn start(&self, main: &str, doors: &str) {
        let at = self.root.display();
        let mut text = format!(
            "compatibility_level = 3.6\nqueue_directory = {at}/queue\ndata_directory = {at}/data\n\
             daemon_directory = /usr/lib/postfix/sbin\ncommand_directory = /usr/sbin\nmail_owner = postfix\n\
             setgid_group = postdrop\nmaillog_file = {at}/log\nmaillog_file_prefixes = {at}\n\
             inet_interfaces = loopback-only\ninet_protocols = ipv4\nmydestination =\nalias_maps =\nalias_database =\n"
        );
        text.write_str(main).expect("a String grows");
        fs::write(self.root.join("etc/main.cf"), text).expect("the folder is ours");
        fs::write(self.root.join("etc/master.cf"), format!("{doors}{MASTER}"))
            .expect("the folder is ours");
        let output = self
            .command("postfix")
            .arg("start")
            .output()
            .expect("postfix runs");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "postfix start: {stderr}\n{}",
            self.log()
        );
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(Path::new("/usr/sbin").join(program));
        command.arg("-c").arg(self.root.join("etc"));
        command
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        let _ = self
            .command("postfix")
            .arg("stop")
            .stderr(Stdio::null())
            .output();
        if std::thread::panicking()
            && let Some(folder) = self.folder.take()
        {
            let kept = folder.keep();
            let _ = writeln!(
                std::io::stderr(),
                "Postfix folder kept: {}\n{}",
                kept.display(),
                self.log()
            );
        }
    }
}

/// A whole session that does nothing. Postfix logs its end before it closes, so that the session of a test does not
/// stand beside it in the log.
fn has_session(port: u16) -> io::Result<()> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.write_all(b"QUIT\r\n")?;
    io::copy(&mut stream, &mut io::sink()).map(drop)
}

/// A port of loopback that is free now. Somebody may take it before its user does; the kernel hands out others first.
pub fn free_port() -> u16 {
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
    socket
        .local_addr()
        .expect("a bound socket has an address")
        .port()
}
