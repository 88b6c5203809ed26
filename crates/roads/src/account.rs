//! The road by mail: one session with a server of its own, conducted by lettre.

use std::net::SocketAddr;
use std::time::Duration;

use host::secret::{self, Keeper};
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::{Data, Quit, Starttls};
use lettre::transport::smtp::extension::ClientId;
use policy::settings::Tls;
use policy::settings::alarm::Account;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::wire::{GREETED, Wire};
use crate::{Accepted, Letter, Listener, Outcome, Refusal, RefusalKind};

/// How long one address of the server may take to answer a connect.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// How long the whole road may take.
const WITHIN: Duration = Duration::from_secs(60);
/// How long the goodbye may take, once the letter is taken.
const QUIT_WITHIN: Duration = Duration::from_secs(2);
/// In the order of preference; XOAUTH2 needs tokens, which are not passwords.
const MECHANISMS: [Mechanism; 2] = [Mechanism::Plain, Mechanism::Login];

/// Sends the letter; blocks for at most [`WITHIN`], after the time that a `password_command` takes.
pub(crate) fn send(
    letter: &Letter<'_>,
    account: &Account,
    keeper: &Keeper,
    listener: Option<&Listener>,
) -> Outcome {
    let from = letter.author(account);
    let mail = letter
        .mail(&from, &account.to)
        .map_err(|text| Refusal::new(RefusalKind::Final, text))?;
    let login = login(account, keeper)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Refusal::temporary(error.to_string()))?;
    let call = Call {
        account,
        host: letter.host,
        from: from.as_str(),
        mail: &mail,
        login,
        listener,
    };
    let done = runtime.block_on(async { timeout(WITHIN, call.make()).await });
    // A name lookup that hangs must not hold us up.
    runtime.shutdown_background();
    done.unwrap_or_else(|_| {
        let text = format!("not done after {} seconds", WITHIN.as_secs());
        Err(Refusal::temporary(text))
    })
}

fn login(account: &Account, keeper: &Keeper) -> Result<Option<Credentials>, Refusal> {
    let (Some(user), Some(source)) = (&account.user, &account.password) else {
        return Ok(None);
    };
    let password =
        secret::fetch(source, keeper).map_err(|error| Refusal::settings(error.to_string()))?;
    let password = password.reveal().to_owned();
    Ok(Some(Credentials::new(user.clone(), password)))
}

/// One session, and what it is for.
struct Call<'a> {
    account: &'a Account,
    host: &'a str,
    from: &'a str,
    mail: &'a [u8],
    login: Option<Credentials>,
    listener: Option<&'a Listener>,
}

impl Call<'_> {
    async fn make(&self) -> Outcome {
        let (stream, peer) = self.connect().await?;
        match self.account.tls {
            Tls::None => self.session(stream, peer, &[]).await,
            Tls::Implicit => {
                let stream = self.encrypt(stream).await?;
                self.session(stream, peer, &[]).await
            }
            Tls::StartTls => {
                let stream = self.ask_for_tls(stream, peer).await?;
                let stream = self.encrypt(stream).await?;
                self.session(stream, peer, GREETED).await
            }
        }
    }

    /// Connects to the first address that answers.
    async fn connect(&self) -> Result<(TcpStream, SocketAddr), Refusal> {
        let Account { host, port, .. } = self.account;
        let found = tokio::net::lookup_host((host.as_str(), *port)).await;
        let found =
            found.map_err(|error| Refusal::temporary(format!("looking up {host}: {error}")))?;
        let mut last = format!("{host} has no address");
        for address in found {
            match timeout(CONNECT_WITHIN, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    // A letter is written in two pieces, and the second should not wait.
                    let _ = stream.set_nodelay(true);
                    return Ok((stream, address));
                }
                Ok(Err(error)) => last = format!("connect to {address}: {error}"),
                Err(_) => last = format!("connect to {address}: no answer"),
            }
        }
        Err(Refusal::temporary(last))
    }

    /// The plain part of a session, up to the consent to TLS. Whatever else came in plain text is
    /// dropped with lettre's session.
    async fn ask_for_tls(&self, stream: TcpStream, peer: SocketAddr) -> Result<TcpStream, Refusal> {
        let (wire, handle) = Wire::new(stream, peer, &[], self.listener);
        let hello = ClientId::Domain(self.host.to_owned());
        let opened = AsyncSmtpConnection::connect_with_transport(Box::new(wire), &hello);
        let mut session = opened.await.map_err(refusal)?;
        if !session.can_starttls() {
            let text = "the server does not offer STARTTLS, and nothing is sent in plain text";
            return Err(Refusal::new(RefusalKind::Final, text));
        }
        session.command(Starttls).await.map_err(refusal)?;
        drop(session);
        handle
            .take()
            .ok_or_else(|| Refusal::temporary("the connection is in use"))
    }

    async fn encrypt(
        &self,
        stream: TcpStream,
    ) -> Result<impl AsyncRead + AsyncWrite + Send + Unpin + use<>, Refusal> {
        let config = tls::client(self.account.ca_file.as_deref()).map_err(Refusal::settings)?;
        let name = tls::server_name(&self.account.tls_name).map_err(Refusal::settings)?;
        let secured = TlsConnector::from(config).connect(name, stream).await;
        let secured = secured.map_err(|error| Refusal::temporary(tls::failure_words(&error)))?;
        if let Some(listener) = self.listener {
            let version = secured.get_ref().1.protocol_version();
            listener(&format!("-- {version:?}, the certificate is good"));
        }
        Ok(secured)
    }

    async fn session<S>(&self, stream: S, peer: SocketAddr, first: &'static [u8]) -> Outcome
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (wire, _) = Wire::new(stream, peer, first, self.listener);
        let hello = ClientId::Domain(self.host.to_owned());
        let opened = AsyncSmtpConnection::connect_with_transport(Box::new(wire), &hello);
        let mut session = opened.await.map_err(refusal)?;
        if let Some(login) = &self.login {
            session.auth(&MECHANISMS, login).await.map_err(refusal)?;
        }
        let accepted = self.transaction(&mut session).await;
        let _ = timeout(QUIT_WITHIN, session.command(Quit)).await;
        accepted
    }

    /// The letter goes to all recipients that the server takes; one is enough.
    async fn transaction(&self, session: &mut AsyncSmtpConnection) -> Outcome {
        let mail = format!("MAIL FROM:<{}>\r\n", self.from);
        session.command(mail).await.map_err(refusal)?;
        let (mut left_out, mut refused) = (Vec::new(), None);
        for recipient in &self.account.to {
            let asked = session.command(format!("RCPT TO:<{recipient}>\r\n")).await;
            if let Err(error) = asked {
                let why = refusal(error);
                left_out.push(format!("{recipient}: {}", why.text));
                refused = Some(why);
            }
        }
        if let Some(why) = refused
            && left_out.len() == self.account.to.len()
        {
            return Err(Refusal {
                text: left_out.join("; "),
                ..why
            });
        }
        session.command(Data).await.map_err(refusal)?;
        // lettre ends the last line itself.
        let mail = self.mail.strip_suffix(b"\r\n").unwrap_or(self.mail);
        let answer = session.message(mail).await.map_err(refusal)?;
        let said: Vec<&str> = answer.message().collect();
        Ok(Accepted {
            said: policy::log::printable::shortened(&said.join(" "), 200),
            left_out,
        })
    }
}

/// What lettre reports, in words: the server's reply, or what the system said.
fn refusal(error: Error) -> Refusal {
    let kind = if error.is_permanent() || error.is_client() {
        RefusalKind::Final
    } else {
        RefusalKind::Temporary
    };
    let cause = std::error::Error::source(&error).map(ToString::to_string);
    let text = match (error.status(), cause) {
        (Some(code), Some(words)) => format!("{code} {words}"),
        (Some(code), None) => code.to_string(),
        (None, Some(words)) => words,
        (None, None) => error.to_string(),
    };
    Refusal::new(kind, text)
}
