//! A web server on 127.0.0.1 that takes POSTs and keeps them: the far end of webhooks. It knows as much of HTTP/1.1 as
//! that needs.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// One POST (or GET, whose body is empty).
#[derive(Clone, Debug)]
pub struct Post {
    /// The path with its query.
    pub path: String,
    /// The header lines, names in lower case.
    pub header: Vec<String>,
    /// The body.
    pub body: String,
}

/// The server. Dropping it closes it.
pub struct Hook {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    posts: Mutex<Vec<Post>>,
    status: AtomicU16,
    closing: AtomicBool,
}

impl Hook {
    /// Listens on a port that the kernel chooses, and answers every request with `status`.
    pub fn start(status: u16) -> Self {
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
        let address = socket.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared {
            posts: Mutex::default(),
            status: AtomicU16::new(status),
            closing: AtomicBool::new(false),
        });
        let served = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            for stream in socket.incoming().flatten() {
                if served.closing.load(Ordering::SeqCst) {
                    return;
                }
                // A client that breaks off has failed its own test.
                let _ = served.serve(stream);
            }
        });
        Self {
            address,
            shared,
            thread: Some(thread),
        }
    }

    /// Its address without a path.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Answers with another status from now on.
    pub fn answer(&self, status: u16) {
        self.shared.status.store(status, Ordering::SeqCst);
    }

    /// What came so far and was answered with 200.
    pub fn posts(&self) -> Vec<Post> {
        let posts = self.shared.posts.lock();
        posts.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream);
        let request = line(&mut reader)?;
        let mut header = Vec::new();
        loop {
            let one = line(&mut reader)?;
            if one.is_empty() {
                break;
            }
            let (name, value) = one.split_once(':').unwrap_or((&one, ""));
            header.push(format!("{}:{value}", name.to_ascii_lowercase()));
        }
        let length = header
            .iter()
            .find_map(|line| line.strip_prefix("content-length:"));
        let length: u64 = length
            .and_then(|value| value.trim().parse().ok())
            .unwrap_or(0);
        let mut body = String::new();
        reader.by_ref().take(length).read_to_string(&mut body)?;
        let status = self.status.load(Ordering::SeqCst);
        if status == 200 {
            let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
            let post = Post { path, header, body };
            self.posts
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(post);
        }
        let answer =
            format!("HTTP/1.1 {status} x\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
        reader.get_mut().write_all(answer.as_bytes())
    }
}

fn line(reader: &mut BufReader<TcpStream>) -> std::io::Result<String> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

impl Drop for Hook {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::SeqCst);
        // A connection of our own wakes the thread that waits in accept.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
