//! A server of model files on this computer that answers as told: honestly, or like the bad ones.
#![allow(dead_code, unreachable_pub, reason = "every test program uses some of it")]

use std::{
    collections::{BTreeMap, VecDeque},
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// A request as the server saw it.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    pub method: String,
    pub path: String,
    /// By lower-case name.
    pub headers: BTreeMap<String, String>,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// First byte asked for.
    pub fn from(&self) -> u64 {
        let range = self.header("range").and_then(|range| range.strip_prefix("bytes="));
        range.and_then(|range| range.strip_suffix('-')).map_or(0, |from| from.parse().unwrap())
    }
}

/// How to answer one request; the connection closes when it returns.
pub type Reply = Box<dyn FnOnce(&Seen, &mut TcpStream) + Send>;

/// Files and their entity tags, by path.
type Files = BTreeMap<String, (Vec<u8>, String)>;

pub struct Server {
    pub url: String,
    files: Arc<Mutex<Files>>,
    replies: Arc<Mutex<VecDeque<Reply>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
    closing: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let files = Arc::new(Mutex::new(Files::new()));
        let replies = Arc::new(Mutex::new(VecDeque::<Reply>::new()));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let closing = Arc::new(AtomicBool::new(false));
        let (files_of, replies_of) = (Arc::clone(&files), Arc::clone(&replies));
        let (seen_by, is_closing) = (Arc::clone(&seen), Arc::clone(&closing));
        let thread = thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if is_closing.load(Ordering::Acquire) {
                    return;
                }
                let (files, replies) = (Arc::clone(&files_of), Arc::clone(&replies_of));
                let seen = Arc::clone(&seen_by);
                // Ends with its connection.
                thread::spawn(move || answer(stream, &files, &replies, &seen));
            }
        });
        Self { url, files, replies, seen, closing, thread: Some(thread) }
    }

    /// Offers `content` at `/name`.
    pub fn offer(&self, name: &str, content: &[u8], tag: &str) {
        let file = (content.to_vec(), tag.to_owned());
        self.files.lock().unwrap().insert(format!("/{name}"), file);
    }

    /// Answers the next request that no other reply is for like this; after those, honestly.
    pub fn next(&self, reply: impl FnOnce(&Seen, &mut TcpStream) + Send + 'static) {
        self.replies.lock().unwrap().push_back(Box::new(reply));
    }

    /// The requests since this was asked last.
    pub fn take_seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::Release);
        // The listener wakes up for this connection and sees that it is to end.
        let _ = TcpStream::connect(self.url.trim_start_matches("http://"));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn answer(
    mut stream: TcpStream,
    files: &Mutex<Files>,
    replies: &Mutex<VecDeque<Reply>>,
    seen: &Mutex<Vec<Seen>>,
) {
    let Some(request) = read_request(&stream) else { return };
    seen.lock().unwrap().push(request.clone());
    let reply = replies.lock().unwrap().pop_front();
    if let Some(reply) = reply {
        return reply(&request, &mut stream);
    }
    let file = files.lock().unwrap().get(&request.path).cloned();
    match file {
        Some((content, tag)) => honest(&request, &mut stream, &content, &tag),
        None => status(&mut stream, "404 Not Found"),
    }
}

fn read_request(stream: &TcpStream) -> Option<Seen> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next()?.ok()?;
    let mut words = first.split_whitespace();
    let mut seen = Seen {
        method: words.next()?.to_owned(),
        path: words.next()?.to_owned(),
        headers: BTreeMap::new(),
    };
    for line in lines {
        let line = line.ok()?;
        let Some((name, value)) = line.split_once(':') else { break };
        seen.headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    Some(seen)
}

/// Honours ranges and entity tags.
pub fn honest(request: &Seen, stream: &mut TcpStream, content: &[u8], tag: &str) {
    let is_same = request.header("if-range").is_none_or(|asked| asked == tag);
    let from = if is_same { request.from() as usize } else { 0 };
    let mut head = match from {
        0 => "HTTP/1.1 200 OK\r\n".to_owned(),
        from => format!(
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {from}-{}/{}\r\n",
            content.len() - 1,
            content.len()
        ),
    };
    if !tag.is_empty() {
        head.push_str(&format!("ETag: {tag}\r\n"));
    }
    send(stream, &head, Some(content.len() - from), &content[from..]);
}

/// Sends a head (lines with their ends, the first one being the status) and a body of which it says
/// that it has `claimed` bytes.
pub fn send(stream: &mut TcpStream, head: &str, claimed: Option<usize>, body: &[u8]) {
    let length = claimed.map_or_else(String::new, |n| format!("Content-Length: {n}\r\n"));
    // The other side may be gone, which is its right.
    let _ = write!(stream, "{head}{length}Connection: close\r\n\r\n");
    let _ = stream.write_all(body);
}

pub const OK: &str = "HTTP/1.1 200 OK\r\n";

/// An answer without a body.
pub fn status(stream: &mut TcpStream, status: &str) {
    send(stream, &format!("HTTP/1.1 {status}\r\n"), Some(0), b"");
}

/// Says nothing more until the other side goes.
pub fn hang(stream: &mut TcpStream) {
    let _ = stream.read_to_end(&mut Vec::new());
}

/// Sends one zero after the other until the other side goes.
pub fn drip(stream: &mut TcpStream) {
    stream.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
    loop {
        // The pace comes from waiting for the other side to close.
        match stream.read(&mut [0]) {
            Ok(0) => return,
            Err(e)
                if matches!(
                    e.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                ) => {}
            _ => return,
        }
        if stream.write_all(&[0]).is_err() {
            return;
        }
    }
}
