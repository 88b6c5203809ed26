//! The envelope's addresses, as `sendmail` finds them in its arguments and in the header.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use mail::recipients::{self, Recipients};
use mail::{Address, AddressError};
use policy::sysexits::ExitStatus;

use crate::failure::{Failure, printable};

/// Who gets what is addressed to nobody (`sendmail ''`), and who writes for the null sender.
/// Postfix: `empty_address_recipient`.
pub(crate) const NOBODY: &str = "MAILER-DAEMON";

/// The recipients that the arguments name, each argument being a list as in a To header.
///
/// # Errors
/// Something in it is not an address (65).
pub(crate) fn of_arguments(operands: &[OsString]) -> Result<Vec<Address>, Failure> {
    let mut found = Vec::with_capacity(operands.len());
    for operand in operands {
        let bytes = without_controls("recipient", operand.as_bytes())?;
        let before = found.len();
        for address in recipients::parse_list(bytes) {
            found.push(address.map_err(|error| not_an_address("recipient", bytes, error))?);
        }
        if found.len() == before {
            found.push(nobody());
        }
    }
    match found.iter().find(|address| is_file_name(address)) {
        Some(address) => {
            let text = format!("bad recipient address {address}: a file is not a mailbox");
            Err(Failure::new(ExitStatus::DataError, text))
        }
        None => Ok(found),
    }
}

/// sendmail.org would append the message to the file. An address without domain that begins so can
/// be nothing else.
fn is_file_name(address: &Address) -> bool {
    address.domain().is_none() && address.as_str().starts_with('/')
}

fn nobody() -> Address {
    Address::parse(NOBODY).expect("a word is an address")
}

/// The recipients of a submission: those of the arguments, then with `-t` those of the header, each
/// mailbox once.
///
/// # Errors
/// There is none at all (64), or the header names none but has text in their place that is not an
/// address (65). With some good addresses, bad ones are refused too (65): nobody would learn that
/// they were left out.
pub(crate) fn recipients(
    arguments: Vec<Address>,
    header: Option<&[u8]>,
) -> Result<Vec<Address>, Failure> {
    let mut addresses = arguments;
    let found = header.map(recipients::from_headers);
    if let Some(Recipients {
        addresses: in_header,
        problems,
    }) = found
    {
        if let Some(problem) = problems.first() {
            let text = format!(
                "bad address in the {} header: {}",
                problem.field, problem.text
            );
            return Err(Failure::new(ExitStatus::DataError, text));
        }
        addresses.extend(in_header);
    }
    let addresses = recipients::unique(addresses);
    if addresses.is_empty() {
        return Err(Failure::usage(
            "No recipient addresses found in message header",
        ));
    }
    Ok(addresses)
}

/// The sender that `-f` names: one address, which may stand in angle brackets or have a name
/// before it. `None` is the null sender. With more than one, Postfix warns and takes the first; the
/// warning is the second value.
///
/// # Errors
/// It is not an address (65).
pub(crate) fn sender(text: &[u8]) -> Result<(Option<Address>, Option<String>), Failure> {
    let text = without_controls("sender", text)?;
    let mut addresses = recipients::parse_list(text);
    if addresses.is_empty() {
        return Ok((None, None));
    }
    let warning = (addresses.len() > 1).then(|| {
        format!(
            "-f option specified malformed sender: {}",
            printable(&lossy(text), 200)
        )
    });
    match addresses.swap_remove(0) {
        Ok(address) => Ok((Some(address), warning)),
        Err(error) => Err(not_an_address("sender", text, error)),
    }
}

/// The sender of a caller that names none: its login name, or `uid` and the number where the system
/// knows no name for it, as in many containers.
pub(crate) fn login_sender(login: Option<&str>, uid: u32) -> Address {
    login
        .and_then(|login| Address::parse(login).ok())
        .or_else(|| Address::parse(&format!("uid{uid}")).ok())
        .unwrap_or_else(nobody)
}

/// The text of an argument without blanks around it. A line end within it is no blank: it could
/// only be there to smuggle something in.
fn without_controls<'a>(role: &str, text: &'a [u8]) -> Result<&'a [u8], Failure> {
    let text = text.trim_ascii();
    if text
        .iter()
        .any(|byte| byte.is_ascii_control() && *byte != b'\t')
    {
        return Err(not_an_address(role, text, AddressError::ControlCharacter));
    }
    Ok(text)
}

fn not_an_address(role: &str, text: &[u8], error: AddressError) -> Failure {
    let shown = printable(&lossy(text), 100);
    Failure::new(
        ExitStatus::DataError,
        format!("bad {role} address {shown}: {error}"),
    )
}

fn lossy(text: &[u8]) -> String {
    // Longer than anything that is shown, and bounded.
    String::from_utf8_lossy(&text[..text.len().min(1_000)]).into_owned()
}

#[cfg(test)]
mod tests;
