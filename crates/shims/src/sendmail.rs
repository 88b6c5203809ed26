//! The `sendmail` program, also under its other names `mailq` and `newaliases`.

use std::ffi::OsString;
use std::io::{self, Write};

use host::identity::{self, Account};
use host::stdio::Stdin;
use mail::{Address, Body, Envelope};
use policy::control::{is_queue_name, is_site};
use policy::sysexits::ExitStatus;

use crate::addresses;
use crate::author;
use crate::failure::{Failure, printable};
use crate::installation::Installation;
use crate::message::Message;
use crate::options::{self, Invocation, Task};
use crate::queue::{self, Request};
use crate::{newaliases, session, submit};

/// Does what the command line asks for. `program` is the name the program was called by.
///
/// # Errors
/// See the table of exit statuses in the manual; nothing was queued then.
pub fn run(program: &str, arguments: &mut dyn Iterator<Item = OsString>) -> Result<(), Failure> {
    let invocation = options::parse(arguments, options::task_of_name(program))?;
    match &invocation.task {
        Task::Deliver => deliver(invocation),
        Task::Smtp => session::run(&mut Installation::find()?),
        Task::ListQueue => ask_queue(Request::List),
        Task::Flush => ask_queue(Request::Flush),
        Task::FlushId(id) => ask_queue(Request::FlushId(flush_argument(id, is_queue_name)?)),
        Task::FlushSite(site) => ask_queue(Request::FlushSite(flush_argument(site, is_site)?)),
        Task::RebuildAliases => newaliases::run(invocation.verbose),
        Task::Nothing => Ok(()),
        Task::Help => print(&options::help()),
        Task::Version => print(&format!(
            "sendmail of relayd {}\n",
            env!("CARGO_PKG_VERSION")
        )),
    }
}

fn ask_queue(request: Request) -> Result<(), Failure> {
    queue::run(&request, &mut Installation::find()?).map_err(|failure| failure.of("postqueue"))
}

fn flush_argument(bytes: &[u8], is_one: impl Fn(&str) -> bool) -> Result<String, Failure> {
    let text = String::from_utf8_lossy(bytes);
    if is_one(&text) {
        return Ok(text.into_owned());
    }
    let shown = printable(&text, 100);
    Err(Failure::usage(format!(
        "not a queue id (-qI) or destination (-qR): \"{shown}\""
    )))
}

fn print(text: &str) -> Result<(), Failure> {
    queue::quiet_if_nobody_reads(io::stdout().write_all(text.as_bytes()))
}

/// Who runs this program. The account is looked up once, and only if somebody asks.
struct Caller {
    uid: u32,
    account: std::cell::OnceCell<Option<Account>>,
}

impl Caller {
    fn new() -> Self {
        Self {
            uid: identity::real_uid(),
            account: std::cell::OnceCell::new(),
        }
    }

    fn account(&self) -> Option<&Account> {
        self.account
            .get_or_init(|| identity::account_of(self.uid))
            .as_ref()
    }

    fn sender(&self) -> Address {
        addresses::login_sender(
            self.account().map(|account| account.login.as_str()),
            self.uid,
        )
    }

    fn full_name(&self) -> Option<String> {
        self.account().and_then(Account::full_name)
    }
}

fn deliver(invocation: Invocation) -> Result<(), Failure> {
    let caller = Caller::new();
    let mut installation = Installation::find()?;
    let arguments = addresses::of_arguments(&invocation.operands)?;
    if arguments.is_empty() && !invocation.extract_recipients {
        return Err(Failure::usage(
            "Recipient addresses must be specified on the command line or via the -t option",
        ));
    }
    let sender = chosen_sender(&invocation, &caller)?;
    let mut input = Stdin::open().map_err(|error| {
        Failure::new(
            ExitStatus::NoInput,
            format!("cannot read the message: {error}"),
        )
    })?;
    let mut message = Message::read(&mut input, !invocation.ignore_dots, &mut installation)?;
    let header = invocation
        .extract_recipients
        .then_some(message.header.as_slice());
    let recipients = addresses::recipients(arguments, header)?;
    if !invocation.gateway_submission {
        add_author(&mut message, sender.as_ref(), &invocation, &caller);
    }
    let envelope = envelope(sender, recipients, &invocation, message.is_eight_bit());
    submit::submit(&envelope, &mut message, &mut installation)
}

fn chosen_sender(invocation: &Invocation, caller: &Caller) -> Result<Option<Address>, Failure> {
    let Some(text) = &invocation.sender else {
        return Ok(Some(caller.sender()));
    };
    let (sender, warning) = addresses::sender(text)?;
    if let Some(warning) = warning {
        let _ = io::stderr().write_all(format!("sendmail: warning: {warning}\n").as_bytes());
    }
    Ok(sender)
}

fn add_author(
    message: &mut Message,
    sender: Option<&Address>,
    invocation: &Invocation,
    caller: &Caller,
) {
    let field = author::missing_field(&message.header, sender, || {
        let variable = std::env::var("NAME").ok();
        author::full_name(invocation.full_name.as_deref(), variable, || {
            caller.full_name()
        })
    });
    message.header.extend(field.unwrap_or_default());
}

fn envelope(
    sender: Option<Address>,
    recipients: Vec<Address>,
    invocation: &Invocation,
    eight_bit: bool,
) -> Envelope {
    let mut envelope = Envelope::new(sender, recipients);
    let declared = if eight_bit {
        Body::EightBitMime
    } else {
        Body::SevenBit
    };
    envelope.body = invocation.body.unwrap_or(declared);
    envelope.ret = invocation.ret;
    envelope.envid.clone_from(&invocation.envid);
    envelope.as_is = invocation.gateway_submission;
    for recipient in &mut envelope.recipients {
        recipient.notify = invocation.notify;
    }
    let addresses = envelope
        .recipients
        .iter()
        .map(|recipient| &recipient.address);
    envelope.smtputf8 = !addresses.chain(&envelope.sender).all(Address::is_ascii);
    envelope
}
