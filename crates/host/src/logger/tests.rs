//! The lines of the log as they are written, to files and to a stand-in for the system's logger.

use super::*;
use std::os::unix::net::UnixDatagram;

fn to_file(path: &Path) -> Logger {
    Logger::open(&Log {
        name: "relayd".into(),
        to: LogTarget::File(path.to_owned()),
    })
    .unwrap()
}

fn to_socket(path: &Path) -> Logger {
    let sink = Sink::syslog(path);
    Logger {
        name: "relayd".into(),
        pid: 42,
        sink,
        unwritten: String::new(),
        lines: 0,
        lost: 0,
    }
}

fn received(socket: &UnixDatagram) -> String {
    let mut buffer = [0; 65_536];
    let count = socket.recv(&mut buffer).unwrap();
    String::from_utf8(buffer[..count].to_vec()).unwrap()
}

#[test]
fn a_line_in_a_file_has_date_host_and_program() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mail.log");
    to_file(&path).write("smtp", Severity::Info, "3456789ABCDE: removed\nforged");
    let text = std::fs::read_to_string(&path).unwrap();
    let (date, rest) = text.split_at(15);
    assert_eq!(date.matches(':').count(), 2, "{text}");
    let pid = std::process::id();
    assert!(
        rest.ends_with(&format!(
            " relayd/smtp[{pid}]: 3456789ABCDE: removed?forged\n"
        )),
        "{text}"
    );
}

#[test]
fn a_file_that_was_moved_away_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mail.log");
    let mut logger = to_file(&path);
    std::fs::rename(&path, folder.path().join("mail.log.1")).unwrap();
    logger.reopen().unwrap();
    logger.write("qmgr", Severity::Warning, "after");
    assert!(std::fs::read_to_string(&path).unwrap().contains("after"));
}

#[test]
fn a_syslog_line_is_one_datagram_with_its_priority() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let socket = UnixDatagram::bind(&path).unwrap();
    let mut logger = to_socket(&path);
    logger.write("smtp", Severity::Info, "text");
    logger.write("smtp", Severity::Warning, &"ä".repeat(10_000));
    let line = received(&socket);
    assert!(
        line.starts_with("<22>") && line.ends_with(" relayd/smtp[42]: text"),
        "{line}"
    );
    let long = received(&socket);
    assert!(long.starts_with("<20>") && long.len() <= 8_000 && long.ends_with('ä'));
    assert_eq!(logger.lost(), 0);
}

#[test]
fn a_restarted_logger_is_found_again_and_a_missing_one_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let mut logger = to_socket(&path);
    logger.write("smtp", Severity::Info, "nobody there");
    assert_eq!((logger.lost(), logger.lost()), (1, 0));
    for _ in 0..2 {
        let socket = UnixDatagram::bind(&path).unwrap();
        logger.write("smtp", Severity::Info, "there");
        assert!(received(&socket).ends_with("there"));
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn a_logger_that_does_not_read_stops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let _socket = UnixDatagram::bind(&path).unwrap();
    let mut logger = to_socket(&path);
    for _ in 0..10_000 {
        logger.write("smtp", Severity::Info, &"x".repeat(1_000));
    }
    assert!(logger.lost() > 0);
}

#[test]
fn a_patient_one_loses_no_line_to_a_logger_that_is_behind() {
    const LINES: usize = 5_000;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let socket = UnixDatagram::bind(&path).unwrap();
    let mut logger = to_socket(&path).patient(Duration::from_secs(60));
    let reader = std::thread::spawn(move || {
        (1..LINES).for_each(|_| drop(received(&socket)));
        received(&socket)
    });
    for number in 0..LINES {
        logger.write("smtp", Severity::Info, &format!("line {number}"));
    }
    assert_eq!(logger.lost(), 0);
    let last = reader.join().unwrap();
    assert!(last.ends_with(&format!("line {}", LINES - 1)), "{last}");
}
