//! What time does to the client, without any passing: how long each reply is waited for, what counts as one, and what
//! silence means where.
mod support;

use std::time::Duration;

use smtp::Stage;
use smtp::client::{Client, ClientConfig, Interruption, Refusal, Step, TlsMode};
use support::{Told, pump, transaction};

/// A client within a transaction; gives it with what it waits for.
fn in_transaction(said: &[&str], content: bool) -> (Client, Told, Step) {
    let mut client = Client::new(ClientConfig::new("me.example", TlsMode::None));
    let mut told = Told::default();
    for reply in ["220 gw\r\n", "250 gw\r\n"] {
        client.received(reply.as_bytes());
        pump(&mut client, &mut told);
    }
    client.begin(transaction(&["to@b.example"]));
    for reply in said {
        pump(&mut client, &mut told);
        client.received(reply.as_bytes());
    }
    let mut step = pump(&mut client, &mut told);
    if content {
        assert_eq!(step, Step::Content);
        client.content_sent();
        step = pump(&mut client, &mut told);
    }
    (client, told, step)
}

const TO_CONTENT: [&str; 3] = ["250 ok\r\n", "250 ok\r\n", "354 go\r\n"];

#[test]
fn silence_behind_the_final_dot_is_waited_out_for_ten_minutes_and_leaves_doubt() {
    let (mut client, mut told, step) = in_transaction(&TO_CONTENT, true);
    assert_eq!(step, Step::Receive(Stage::EndOfData));
    assert_eq!(Stage::EndOfData.timeout(), Duration::from_secs(600));
    client.failed(Interruption::Timeout);
    assert!(matches!(
        pump(&mut client, &mut told),
        Step::Closed(Some(_))
    ));
    let report = told.reports.pop().expect("every transaction is reported");
    let wanted = Refusal::Interrupted {
        stage: Stage::EndOfData,
        how: Interruption::Timeout,
        content_sent: true,
    };
    assert_eq!(report.results, [Err(wanted)]);
}

#[test]
fn silence_before_it_leaves_none() {
    for said in 0..TO_CONTENT.len() {
        let (mut client, mut told, step) = in_transaction(&TO_CONTENT[..said], false);
        let Step::Receive(stage) = step else {
            panic!("{step:?}")
        };
        assert!(stage.timeout() <= Duration::from_secs(300));
        client.failed(Interruption::Timeout);
        pump(&mut client, &mut told);
        let report = told.reports.pop().expect("every transaction is reported");
        assert!(!report.content_sent && report.results.iter().all(Result::is_err));
    }
}

#[test]
fn a_reply_that_drips_stays_one_reply() {
    let mut client = Client::new(ClientConfig::new("me.example", TlsMode::None));
    let mut told = Told::default();
    for byte in b"220-one line\r\n220-and another\r\n220 the last\r" {
        client.received(&[*byte]);
        assert_eq!(pump(&mut client, &mut told), Step::Receive(Stage::Greeting));
        assert_eq!(client.replies(), 0, "its driver goes on counting");
    }
    client.received(b"\n");
    assert_eq!(pump(&mut client, &mut told), Step::Receive(Stage::Ehlo));
    assert_eq!(client.replies(), 1);
}
