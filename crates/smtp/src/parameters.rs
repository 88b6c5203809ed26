//! The parameters of MAIL and RCPT, written by the client and read by the server: SIZE (RFC 1870),
//! BODY (RFC 6152), SMTPUTF8 (RFC 6531), RET, ENVID, NOTIFY and ORCPT (RFC 3461), AUTH (RFC 4954).

use mail::{Address, Body, Notify, Recipient, Ret};

use crate::capabilities::Capabilities;
use crate::client::Transaction;
use crate::server::MailCommand;
use crate::xtext;

/// Longest ENVID, decoded (RFC 3461 section 4.4).
const MAX_ENVID: usize = 100;
/// Longest ORCPT, as sent (RFC 3461 section 4.2).
const MAX_ORCPT: usize = 500;

/// The MAIL command with its line end, with the parameters that the server understands.
pub(crate) fn mail_line(transaction: &Transaction, capabilities: &Capabilities) -> String {
    let sender = transaction.sender.as_ref().map_or("", Address::as_str);
    let mut line = format!("MAIL FROM:<{sender}>");
    if let Some(size) = transaction.size.filter(|_| capabilities.size_offered) {
        line.push_str(&format!(" SIZE={size}"));
    }
    if transaction.eightbit && capabilities.eightbitmime {
        line.push_str(" BODY=8BITMIME");
    }
    let outside_ascii = |address: &Address| !address.is_ascii();
    let wants_utf8 = transaction.smtputf8
        || transaction.sender.as_ref().is_some_and(outside_ascii)
        || transaction
            .recipients
            .iter()
            .any(|recipient| outside_ascii(&recipient.address));
    if wants_utf8 && capabilities.smtputf8 {
        line.push_str(" SMTPUTF8");
    }
    if capabilities.dsn {
        match transaction.ret {
            Some(Ret::Full) => line.push_str(" RET=FULL"),
            Some(Ret::Headers) => line.push_str(" RET=HDRS"),
            None => {}
        }
        if let Some(envid) = transaction
            .envid
            .as_deref()
            .filter(|envid| !envid.is_empty())
        {
            line.push_str(&format!(" ENVID={}", xtext::encode(envid)));
        }
    }
    line.push_str("\r\n");
    line
}

/// The RCPT command with its line end, with the parameters that the server understands.
pub(crate) fn rcpt_line(recipient: &Recipient, capabilities: &Capabilities) -> String {
    let mut line = format!("RCPT TO:<{}>", recipient.address);
    if capabilities.dsn {
        if let Some(notify) = recipient.notify {
            line.push_str(&format!(" NOTIFY={}", notify_words(notify)));
        }
        if let Some((kind, address)) = recipient.orcpt.as_deref().and_then(|o| o.split_once(';')) {
            line.push_str(&format!(
                " ORCPT={};{}",
                xtext::encode(kind),
                xtext::encode(address)
            ));
        }
    }
    line.push_str("\r\n");
    line
}

fn notify_words(notify: Notify) -> String {
    let wishes = [
        (notify.success, "SUCCESS"),
        (notify.failure, "FAILURE"),
        (notify.delay, "DELAY"),
    ];
    let words: Vec<_> = wishes
        .iter()
        .filter(|wish| wish.0)
        .map(|wish| wish.1)
        .collect();
    if words.is_empty() {
        "NEVER".to_owned()
    } else {
        words.join(",")
    }
}

/// What is wrong with a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ParameterError {
    /// Not one that the server knows: 555.
    Unknown,
    /// Known, but its value is not one it can have, or it came twice: 501.
    Value,
}

/// Reads the parameters of MAIL.
pub(crate) fn read_mail(
    sender: Option<Address>,
    parameters: &str,
) -> Result<MailCommand, ParameterError> {
    let mut command = MailCommand::new(sender);
    let mut seen = Seen::default();
    for word in parameters
        .split([' ', '\t'])
        .filter(|word| !word.is_empty())
    {
        let (name, value) = seen.split(word)?;
        match (name.as_str(), value) {
            ("SIZE", Some(size)) => command.size = Some(read_size(size)?),
            ("BODY", Some(body)) => command.body = read_body(body)?,
            ("SMTPUTF8", None) => command.smtputf8 = true,
            ("RET", Some(ret)) => command.ret = Some(read_ret(ret)?),
            ("ENVID", Some(envid)) => command.envid = Some(read_envid(envid)?),
            // Who the client says it got the mail from; nobody here asks (RFC 4954 section 5).
            ("AUTH", Some(_)) => {}
            ("XASIS", None) => command.as_is = true,
            ("SIZE" | "BODY" | "SMTPUTF8" | "RET" | "ENVID" | "AUTH" | "XASIS", _) => {
                return Err(ParameterError::Value);
            }
            _ => return Err(ParameterError::Unknown),
        }
    }
    Ok(command)
}

/// Reads the parameters of RCPT.
pub(crate) fn read_rcpt(address: Address, parameters: &str) -> Result<Recipient, ParameterError> {
    let mut recipient = Recipient::new(address);
    let mut seen = Seen::default();
    for word in parameters
        .split([' ', '\t'])
        .filter(|word| !word.is_empty())
    {
        let (name, value) = seen.split(word)?;
        match (name.as_str(), value) {
            ("NOTIFY", Some(notify)) => recipient.notify = Some(read_notify(notify)?),
            ("ORCPT", Some(orcpt)) => recipient.orcpt = Some(read_orcpt(orcpt)?),
            ("NOTIFY" | "ORCPT", None) => return Err(ParameterError::Value),
            _ => return Err(ParameterError::Unknown),
        }
    }
    Ok(recipient)
}

/// Which parameters came already: none may come twice.
#[derive(Default)]
struct Seen(Vec<String>);

impl Seen {
    fn split<'a>(&mut self, word: &'a str) -> Result<(String, Option<&'a str>), ParameterError> {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (word, None),
        };
        let name = name.to_ascii_uppercase();
        if self.0.contains(&name) {
            return Err(ParameterError::Value);
        }
        self.0.push(name.clone());
        Ok((name, value))
    }
}

fn read_size(text: &str) -> Result<u64, ParameterError> {
    // At most 20 digits (RFC 1870 section 3); a number beyond u64 is too large anyway.
    let digits = !text.is_empty() && text.len() <= 20 && text.bytes().all(|b| b.is_ascii_digit());
    if digits {
        Ok(text.parse().unwrap_or(u64::MAX))
    } else {
        Err(ParameterError::Value)
    }
}

fn read_body(text: &str) -> Result<Body, ParameterError> {
    match text.to_ascii_uppercase().as_str() {
        "7BIT" => Ok(Body::SevenBit),
        "8BITMIME" => Ok(Body::EightBitMime),
        _ => Err(ParameterError::Value),
    }
}

fn read_ret(text: &str) -> Result<Ret, ParameterError> {
    match text.to_ascii_uppercase().as_str() {
        "FULL" => Ok(Ret::Full),
        "HDRS" => Ok(Ret::Headers),
        _ => Err(ParameterError::Value),
    }
}

fn read_envid(text: &str) -> Result<String, ParameterError> {
    let printable = |envid: &String| {
        !envid.is_empty()
            && envid.len() <= MAX_ENVID
            && envid.bytes().all(|b| (32..127).contains(&b))
    };
    xtext::decode(text)
        .filter(printable)
        .ok_or(ParameterError::Value)
}

fn read_notify(text: &str) -> Result<Notify, ParameterError> {
    let mut notify = Notify::default();
    if text.eq_ignore_ascii_case("NEVER") {
        return Ok(notify);
    }
    for word in text.split(',') {
        match word.to_ascii_uppercase().as_str() {
            "SUCCESS" => notify.success = true,
            "FAILURE" => notify.failure = true,
            "DELAY" => notify.delay = true,
            _ => return Err(ParameterError::Value),
        }
    }
    Ok(notify)
}

fn read_orcpt(text: &str) -> Result<String, ParameterError> {
    let (kind, address) = text.split_once(';').ok_or(ParameterError::Value)?;
    let is_atom = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    if text.len() > MAX_ORCPT || kind.is_empty() || !kind.bytes().all(is_atom) {
        return Err(ParameterError::Value);
    }
    match xtext::decode(address) {
        Some(address) if !address.is_empty() => Ok(format!("{kind};{address}")),
        _ => Err(ParameterError::Value),
    }
}
