//! `scripts/install` in a copy of this host that a private mount namespace makes: what it lays down works for cron
//! and mail(1), and `--uninstall` and `--purge` leave the tree as it was. Needs root; the host itself is not touched.

#![forbid(unsafe_code)]

mod clean_root;

use std::time::Duration;

use clean_root::CleanRoot;
use tests::namespace::root_or_skip;
use tests::patience;

/// How long a program in the namespace may take for what it was told to do.
const PATIENCE: Duration = Duration::from_secs(30);

const CAPTURE: &str = "domain = site.example\n[log]\nto = /var/spool/relayd/mail.log\n\
                       [gateway nowhere]\ndeliver = capture:/var/spool/relayd/captured\n";

/// The host has a packaged mail system (Postfix, where the suite's other tests have run): it comes back.
#[test]
fn a_mail_system_that_was_there_comes_back() {
    if !root_or_skip("a_mail_system_that_was_there_comes_back") {
        return;
    }
    let root = CleanRoot::with(clean_root::PACKAGED_MAIL_SYSTEM);
    let before = root
        .run("sendmail -V 2>&1 || true; readlink -f /usr/lib/sendmail; stat -c '%A %U %G %s %Y' /usr/sbin/sendmail");
    root.install();
    assert_eq!(
        root.run("readlink -f /usr/lib/sendmail").trim(),
        "/usr/sbin/sendmail"
    );
    assert!(root.run("sendmail --help").contains("queues it for relayd"));
    assert!(
        root.run("dpkg-divert --list")
            .contains("/usr/sbin/sendmail to /usr/sbin/sendmail.distrib")
    );
    root.install();
    root.run("scripts/install --uninstall");
    assert_eq!(
        root.run(
            "sendmail -V 2>&1 || true; readlink -f /usr/lib/sendmail; stat -c '%A %U %G %s %Y' /usr/sbin/sendmail"
        ),
        before
    );
    root.assert_unchanged();
}

/// Killed between keeping a program aside and putting ours there: `--purge` still undoes all of it.
#[test]
fn an_installation_that_was_cut_off_can_be_taken_off() {
    if !root_or_skip("an_installation_that_was_cut_off_can_be_taken_off") {
        return;
    }
    let root = CleanRoot::with(clean_root::PACKAGED_MAIL_SYSTEM);
    let line = root.install_line();
    // What it prints meets a closed pipe after the first program, which ends it in the middle.
    root.run(&format!("{line} | head -n 2"));
    assert!(root.host_path("/var/lib/relayd/installed").exists());
    assert!(!root.host_path("/etc/relayd").exists());
    root.run("scripts/install --purge");
    root.assert_unchanged();
}

/// cron and mail(1) hand their mail to our sendmail, with relayd down and then up.
#[test]
fn cron_and_mail_use_it_and_purge_removes_all() {
    if !root_or_skip("cron_and_mail_use_it_and_purge_removes_all") {
        return;
    }
    let root = CleanRoot::with(&format!("{}\n{CRON_JOB}", clean_root::NO_MAIL_SYSTEM));
    root.install();
    root.run("echo hello | mail -s from-mail ops@site.example");
    let cron = root.start("cron", "cron -f");
    patience::expect("both messages lie in maildrop", PATIENCE, || {
        root.files("/var/spool/relayd/maildrop") == 2
    });

    root.write("/etc/relayd/relayd.conf", CAPTURE);
    let relayd = root.start_relayd();
    patience::expect("both messages are captured", PATIENCE, || {
        root.files("/var/spool/relayd/captured/new") == 2
    });
    assert_eq!(root.run("mailq"), "Mail queue is empty\n");
    let captured = root.run("cat /var/spool/relayd/captured/new/*");
    assert!(
        captured.contains("Subject: from-mail") && captured.contains("hello"),
        "{captured}"
    );
    assert!(
        captured.contains("Delivered-To: ops@site.example"),
        "{captured}"
    );
    assert!(
        captured.contains("Cron <nobody@") && captured.contains("the job's output"),
        "{captured}"
    );
    assert!(
        captured.contains("Delivered-To: cron-reader@site.example"),
        "{captured}"
    );

    // In this order: a job that ends now still has its mail taken.
    root.stop(cron);
    root.stop(relayd);
    root.run("rm -f /run/crond.pid /run/crond.reboot");
    let said = root.run("scripts/install --uninstall");
    assert!(said.contains("kept your settings"), "{said}");
    assert!(
        said.contains("kept what else lies in /var/spool/relayd"),
        "{said}"
    );
    assert_eq!(root.files("/var/spool/relayd/captured/new"), 2);
    root.run("scripts/install --purge");
    root.assert_unchanged();
}

/// Mail that still waits outlives `--uninstall`, and is said to.
#[test]
fn waiting_mail_is_kept_and_said_to_be() {
    if !root_or_skip("waiting_mail_is_kept_and_said_to_be") {
        return;
    }
    let root = CleanRoot::with(clean_root::NO_MAIL_SYSTEM);
    root.install();
    root.run("echo hello | sendmail ops@site.example");
    let said = root.run("scripts/install --uninstall");
    assert!(
        said.contains("kept mail that still waits: 1 in /var/spool/relayd"),
        "{said}"
    );
    assert_eq!(root.files("/var/spool/relayd/maildrop"), 1);
    assert!(!root.host_path("/usr/sbin/sendmail").exists());
    root.install();
    root.run("scripts/install --purge");
    root.assert_unchanged();
}

/// Runs once when cron starts, as nobody.
const CRON_JOB: &str = r#"
rm -f /run/crond.pid /run/crond.reboot /etc/cron.d/*
printf 'MAILTO=cron-reader@site.example\n@reboot nobody echo "the job'"'"'s output"\n' >/etc/cron.d/relayd-test
chmod 0644 /etc/cron.d/relayd-test
"#;
