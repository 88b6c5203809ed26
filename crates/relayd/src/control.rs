//! The control socket: lists the queue, flushes it, reloads the settings. One request a connection;
//! the kernel says who asks.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use policy::control::{Answer, Class, End, LONGEST_REQUEST, Request, Selection, StatusLine};
use policy::listing;
use policy::schedule::{Flush, GatewaySummary, Out};
use policy::settings::Users;
use spool::Queue;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufWriter};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

use crate::alarm;
use crate::dispatch::{Event, GatewayState, States};
use crate::relay::Relay;

/// Clients served at once; further ones wait.
const CLIENTS: usize = 32;
/// How long a client may take to ask. Short: who only connects must not keep others out.
const ASK_WITHIN: Duration = Duration::from_secs(5);
/// How long a client may take to take a piece of the answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Starts answering at the socket.
///
/// # Errors
/// The socket cannot be watched.
pub(crate) fn serve(
    relay: &Arc<Relay>,
    listener: std::os::unix::net::UnixListener,
) -> io::Result<()> {
    let listener = UnixListener::from_std(listener)?;
    let relay = Arc::clone(relay);
    tokio::spawn(async move {
        let places = Arc::new(Semaphore::new(CLIENTS));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return;
            };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let relay = Arc::clone(&relay);
                    tokio::spawn(async move {
                        // A client that goes away does not want the answer.
                        let _ = answer(&relay, stream).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    relay
                        .log
                        .warn(&format!("accepting at the control socket: {error}"));
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
        }
    });
    Ok(())
}

async fn answer(relay: &Arc<Relay>, mut stream: UnixStream) -> io::Result<()> {
    let caller = stream.peer_cred()?.uid();
    let request = match timeout(ASK_WITHIN, read_request(&mut stream)).await {
        Ok(Ok(request)) => request,
        Ok(Err(error)) => return Err(error),
        Err(_) => return Ok(()),
    };
    let mut out = BufWriter::new(stream);
    let refused = match &request {
        Ok(request) => denied(relay, caller, request).await,
        Err(text) => Some(Answer::Err {
            class: Class::Syntax,
            text: text.clone(),
        }),
    };
    match (refused, request) {
        (Some(answer), _) => put(&mut out, &answer.to_string()).await?,
        (None, Ok(Request::List)) => list(relay, &mut out).await?,
        (None, Ok(Request::Status)) => status(relay, &mut out).await?,
        (None, Ok(Request::Facts)) => facts(relay, &mut out).await?,
        (None, Ok(request)) => {
            let answer = carry_out(relay, request, caller).await;
            put(&mut out, &answer.to_string()).await?;
        }
        (None, Err(_)) => {}
    }
    timeout(PATIENCE, out.flush()).await?
}

/// The request, or why it is none.
async fn read_request(stream: &mut UnixStream) -> io::Result<Result<Request, String>> {
    let mut line = Vec::new();
    let mut limited = stream.take(LONGEST_REQUEST as u64 + 1);
    let mut byte = [0; 1];
    while limited.read(&mut byte).await? == 1 && byte[0] != b'\n' {
        line.push(byte[0]);
    }
    Ok(Request::parse(&line).map_err(|error| error.to_string()))
}

async fn put(out: &mut BufWriter<UnixStream>, line: &str) -> io::Result<()> {
    timeout(PATIENCE, async {
        out.write_all(line.as_bytes()).await?;
        out.write_all(b"\n").await
    })
    .await?
}

/// The refusal for a caller who may not ask this.
async fn denied(relay: &Relay, caller: u32, request: &Request) -> Option<Answer> {
    if caller == 0 || caller == host::identity::effective_uid() {
        return None;
    }
    let running = relay.running();
    let (allowed, what) = match request {
        Request::List | Request::Status | Request::Facts => {
            (&running.settings.mailq_users, "view the mail queue")
        }
        Request::Flush | Request::FlushId(_) | Request::FlushSite(_) => {
            (&running.settings.flush_users, "flush the mail queue")
        }
        Request::Reload => (&Users::List(Vec::new()), "reload the settings"),
        Request::Hold(_) | Request::Release(_) => {
            (&Users::List(Vec::new()), "hold or release mail")
        }
    };
    let login = relay.login_of(caller).await;
    if allowed.allows(login.as_deref()) {
        return None;
    }
    let name = login.as_deref().unwrap_or("unknown");
    let text = format!("User {name}({caller}) is not allowed to {what}");
    Some(Answer::Err {
        class: Class::Denied,
        text,
    })
}

async fn carry_out(relay: &Arc<Relay>, request: Request, caller: u32) -> Answer {
    match request {
        Request::Flush => {
            let admin = caller == 0 || caller == host::identity::effective_uid();
            tell(relay, if admin { Flush::All } else { Flush::ByUser }).await
        }
        // An id that is not queued is no error, as in Postfix.
        Request::FlushId(id) => match id.parse() {
            Ok(id) => tell(relay, Flush::Id(id)).await,
            Err(_) => Answer::Ok,
        },
        Request::FlushSite(site) => {
            for id in relay.index.ids_where(|item| item.is_for_site(&site)) {
                tell(relay, Flush::Id(id)).await;
            }
            Answer::Ok
        }
        Request::Hold(which) => hold(relay, &which, true).await,
        Request::Release(which) => hold(relay, &which, false).await,
        Request::Reload => match relay.reload().await {
            Ok(()) => Answer::Ok,
            Err(problem) => Answer::Err {
                class: Class::Failed,
                text: problem.lines().next().unwrap_or_default().to_owned(),
            },
        },
        Request::List | Request::Status | Request::Facts => Answer::Ok,
    }
}

/// Holds or releases what is selected, and answers when that is done.
async fn hold(relay: &Relay, which: &Selection, held: bool) -> Answer {
    let ids = relay
        .index
        .ids_where(|item| item.is_selected(which) && (item.meta.queue == Queue::Hold) != held);
    let (done, answer) = oneshot::channel();
    let asked = relay.events.send(Event::Keep { ids, held, done }).await;
    match (asked, answer.await) {
        (Ok(()), Ok(())) => Answer::Ok,
        _ => shutting_down(),
    }
}

async fn tell(relay: &Relay, flush: Flush) -> Answer {
    match relay.events.send(Event::Flush(flush)).await {
        Ok(()) => Answer::Ok,
        Err(_) => shutting_down(),
    }
}

fn shutting_down() -> Answer {
    Answer::Err {
        class: Class::Failed,
        text: "relayd is shutting down".to_owned(),
    }
}

pub(crate) async fn states(relay: &Relay) -> Option<States> {
    let (ask, answer) = oneshot::channel();
    relay.events.send(Event::AskGateways(ask)).await.ok()?;
    answer.await.ok()
}

async fn list(relay: &Arc<Relay>, out: &mut BufWriter<UnixStream>) -> io::Result<()> {
    let gateways = states(relay).await.map(|states| states.gateways);
    let gateways = gateways.into_iter().flatten();
    let down = gateways.filter_map(|gateway| Some((gateway.id, gateway.down?)));
    let down = down.collect();
    put(out, &Answer::Ok.to_string()).await?;
    let mut count = 0;
    for pass in listing::QueueName::ALL {
        let mut after = None;
        loop {
            let (last, page) = relay.index.page(after, pass, &down);
            for record in page {
                put(out, listing::json_line(&record).trim_end()).await?;
                count += 1;
            }
            match last {
                Some(id) => after = Some(id),
                None => break,
            }
        }
    }
    put(out, &End { count }.to_string()).await
}

async fn facts(relay: &Arc<Relay>, out: &mut BufWriter<UnixStream>) -> io::Result<()> {
    let lines = alarm::facts(relay).await.lines();
    put(out, &Answer::Ok.to_string()).await?;
    let count = lines.len() as u64;
    for line in lines {
        put(out, &line.to_string()).await?;
    }
    put(out, &End { count }.to_string()).await
}

async fn status(relay: &Arc<Relay>, out: &mut BufWriter<UnixStream>) -> io::Result<()> {
    put(out, &Answer::Ok.to_string()).await?;
    let mut lines = vec![
        line("version", env!("CARGO_PKG_VERSION")),
        line("messages", relay.index.len()),
    ];
    if let Some(States { gateways, summary }) = states(relay).await {
        lines.extend(gateways.iter().map(gateway_line));
        lines.push(line("sessions", summary.sessions));
        lines.push(line("active", summary.active));
        lines.push(line("ready", summary.ready));
        lines.push(line("waiting", summary.waiting));
        lines.push(line("held", summary.held));
    }
    let count = lines.len() as u64;
    for line in lines {
        put(out, &line.to_string()).await?;
    }
    put(out, &End { count }.to_string()).await
}

fn line(name: &str, value: impl ToString) -> StatusLine {
    StatusLine {
        name: name.to_owned(),
        value: value.to_string(),
    }
}

/// `gateway main: up`, or why not, and what it has to do.
fn gateway_line(gateway: &GatewayState) -> StatusLine {
    let GatewaySummary {
        ready,
        sessions,
        paused,
        out,
        ..
    } = gateway.numbers;
    let state = match (paused, out, &gateway.down) {
        (true, ..) => "paused".to_owned(),
        (false, Some(Out::Spent), _) => "its quota is used up".to_owned(),
        (false, _, None) => "up".to_owned(),
        (false, _, Some(reason)) => format!("down: {reason}"),
    };
    let name = format!("gateway {}", gateway.name);
    line(
        &name,
        format!("{state} (sessions {sessions}, ready {ready})"),
    )
}
