//! The road by a web address: a POST of JSON in the shape that the other end reads.

use std::time::Duration;

use host::secret::{self, Keeper};
use policy::log::printable;
use policy::settings::alarm::{self, Heartbeat, Shape, Webhook};
use serde_json::{Value, json};
use ureq::http::Response;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use crate::{Accepted, Event, Letter, Listener, Outcome, Refusal, RefusalKind};

/// How long the whole call may take.
const WITHIN: Duration = Duration::from_secs(30);
/// What is read of the answer, in bytes.
const ANSWER: u64 = 2000;
/// How much of the body is posted, in characters. Slack takes 40,000, Teams 28 KiB of JSON.
const LONGEST: usize = 3000;

/// Posts the letter.
pub(crate) fn post(
    letter: &Letter<'_>,
    hook: &Webhook,
    keeper: &Keeper,
    listener: Option<&Listener>,
) -> Outcome {
    let secret = match &hook.secret {
        Some(source) => {
            let found = secret::fetch(source, keeper);
            Some(found.map_err(|error| Refusal::settings(error.to_string()))?)
        }
        None => None,
    };
    let secret = secret.as_ref().map(|secret| secret.reveal());
    let key = (hook.shape == Shape::PagerDuty).then_some(secret).flatten();
    let url = match (&hook.url, secret) {
        (Some(url), _) => url.as_str(),
        (None, Some(secret)) => secret,
        (None, None) => return Err(Refusal::settings("there is no web address")),
    };
    if !alarm::is_url(url) {
        let text = "the secret is not a web address that begins with https://";
        return Err(Refusal::settings(text));
    }
    let content = shaped(letter, hook.shape, key.unwrap_or_default());
    if let Some(listener) = listener {
        let shown = shaped(letter, hook.shape, "***");
        listener(&format!("C: POST {}", without_path(url)));
        listener(&format!(
            "C: {}",
            printable::shortened(&shown.to_string(), LONGEST)
        ));
    }
    send(url, &content, listener)
}

/// Asks for the address of a heartbeat (GET); blocks for at most half a minute.
///
/// # Errors
/// There is no address, or it did not answer with 2xx.
pub fn ask(heartbeat: &Heartbeat, keeper: &Keeper) -> Result<(), Refusal> {
    let secret = heartbeat.secret.as_ref();
    let secret = secret
        .map(|source| secret::fetch(source, keeper))
        .transpose();
    let secret = secret.map_err(|error| Refusal::settings(error.to_string()))?;
    let own = secret.as_ref().map(|secret| secret.reveal());
    let url = heartbeat.url.as_deref().or(own).unwrap_or_default();
    if !alarm::is_url(url) {
        let text = "the secret is not a web address that begins with https://";
        return Err(Refusal::settings(text));
    }
    judged(agent().get(url).call(), url, None).map(drop)
}

fn send(url: &str, content: &Value, listener: Option<&Listener>) -> Outcome {
    let answer = agent()
        .post(url)
        .header("Content-Type", "application/json")
        .header("User-Agent", concat!("relayd/", env!("CARGO_PKG_VERSION")))
        .send(content.to_string());
    judged(answer, url, listener)
}

fn judged(
    answer: Result<Response<ureq::Body>, ureq::Error>,
    url: &str,
    listener: Option<&Listener>,
) -> Outcome {
    // What went wrong may repeat the address, which is a secret.
    let mut answer = answer
        .map_err(|error| Refusal::temporary(error.to_string().replace(url, &without_path(url))))?;
    let code = answer.status().as_u16();
    let text = answer
        .body_mut()
        .with_config()
        .limit(ANSWER)
        .read_to_string();
    let text = printable::shortened(text.unwrap_or_default().trim(), 200);
    let said = format!("{code} {text}").trim_end().to_owned();
    if let Some(listener) = listener {
        listener(&format!("S: {said}"));
    }
    match code {
        200..=299 => Ok(Accepted {
            said,
            left_out: Vec::new(),
        }),
        408 | 425 | 429 | 500..=599 => Err(Refusal::temporary(said)),
        _ => Err(Refusal::new(RefusalKind::Final, said)),
    }
}

/// Verified TLS with the authorities that the system trusts; no redirects, which would turn the
/// POST into something else.
fn agent() -> ureq::Agent {
    let trusted: Vec<Certificate<'static>> = tls::system_certificates()
        .iter()
        .map(|certificate| Certificate::from_der(certificate).to_owned())
        .collect();
    let secure = TlsConfig::builder()
        .unversioned_rustls_crypto_provider(tls::provider())
        .root_certs(RootCerts::new_with_certs(&trusted))
        .build();
    ureq::Agent::config_builder()
        .tls_config(secure)
        .timeout_global(Some(WITHIN))
        .max_redirects(0)
        .http_status_as_error(false)
        .build()
        .new_agent()
}

/// A web address as it may be shown: the rest may be a secret.
fn without_path(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    format!("{scheme}://{host}/***")
}

/// What is posted.
fn shaped(letter: &Letter<'_>, shape: Shape, key: &str) -> Value {
    let (subject, body) = (letter.subject, letter.beginning(LONGEST));
    match shape {
        Shape::Slack => {
            let (subject, body) = (for_slack(subject), for_slack(body.trim_end()));
            json!({ "text": format!("*{subject}*\n```\n{body}\n```") })
        }
        Shape::Teams => json!({
            "type": "message",
            "attachments": [{
                "contentType": "application/vnd.microsoft.card.adaptive",
                "content": {
                    "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                    "type": "AdaptiveCard",
                    "version": "1.4",
                    "body": [
                        { "type": "TextBlock", "weight": "Bolder", "wrap": true, "text": subject },
                        { "type": "TextBlock", "fontType": "Monospace", "wrap": true, "text": body },
                    ],
                },
            }],
        }),
        Shape::PagerDuty => {
            let (action, about) = match letter.event {
                Event::Alone => ("trigger", None),
                Event::Trouble(key) => ("trigger", Some(key)),
                Event::Over(key) => ("resolve", Some(key)),
            };
            let mut event = json!({
                "routing_key": key,
                "event_action": action,
                "payload": {
                    "summary": printable::shortened(subject, 1000),
                    "source": letter.host,
                    "severity": "critical",
                    "custom_details": { "text": body },
                },
            });
            if let Some(about) = about {
                event["dedup_key"] = json!(format!("{}/{about}", letter.host));
            }
            event
        }
        Shape::Plain => {
            let (event, about) = match letter.event {
                Event::Alone => ("message", ""),
                Event::Trouble(key) => ("trouble", key),
                Event::Over(key) => ("over", key),
            };
            json!({
                "subject": subject,
                "body": body,
                "host": letter.host,
                "time": letter.at.as_secs(),
                "event": event,
                "key": about,
            })
        }
    }
}

/// Slack reads three characters as its own, and a fence would end the block.
fn for_slack(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace("```", "'''")
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail::Timestamp;

    fn letter(event: Event<'static>) -> Letter<'static> {
        Letter {
            subject: "a <b> & \"c\"",
            body: b"one\n```two```\n",
            host: "h.example",
            at: Timestamp::from_secs(5),
            number: 1,
            event,
        }
    }

    #[test]
    fn each_shape_is_what_the_other_end_reads() {
        let slack = shaped(&letter(Event::Alone), Shape::Slack, "");
        let text = "*a &lt;b&gt; &amp; \"c\"*\n```\none\n'''two'''\n```";
        assert_eq!(slack, json!({ "text": text }));
        let teams = shaped(&letter(Event::Alone), Shape::Teams, "");
        let card = &teams["attachments"][0]["content"];
        assert_eq!(card["type"], "AdaptiveCard");
        assert_eq!(card["body"][0]["text"], "a <b> & \"c\"");
        let plain = shaped(&letter(Event::Over("disk")), Shape::Plain, "");
        assert_eq!(
            (&plain["event"], &plain["key"]),
            (&json!("over"), &json!("disk"))
        );
        for (event, action, about) in [
            (Event::Alone, "trigger", Value::Null),
            (Event::Trouble("disk"), "trigger", json!("h.example/disk")),
            (Event::Over("disk"), "resolve", json!("h.example/disk")),
        ] {
            let pager = shaped(&letter(event), Shape::PagerDuty, "K");
            assert_eq!(pager["event_action"], action);
            assert_eq!(pager["dedup_key"], about);
            assert_eq!(pager["routing_key"], "K");
            assert_eq!(pager["payload"]["source"], "h.example");
        }
    }

    #[test]
    fn an_address_is_shown_without_what_may_be_secret() {
        for url in ["https://h.example/T0/B1/secret", "https://h.example?secret"] {
            assert_eq!(without_path(url), "https://h.example/***");
        }
    }
}
