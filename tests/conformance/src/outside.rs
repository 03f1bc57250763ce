//! A server outside of the node, for the requests that objects send.
//!
//! It serves in threads of its own and tells what it has seen.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// A request that came.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Request line and fields.
    pub head: String,
    /// Body, if its length was declared.
    pub body: Vec<u8>,
}

/// What the server does with a request: writes its answer.
type Answer = dyn Fn(&Seen, &mut TcpStream) + Send + Sync;

/// A server on a port of its own, for as long as the process lives.
#[derive(Clone)]
pub struct Outside {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    seen: Mutex<Vec<Seen>>,
}

impl Outside {
    /// Serves with `answer`, each connection in a thread of its own.
    pub fn serve(answer: impl Fn(&Seen, &mut TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(State::default());
        let (shared, answer): (_, Arc<Answer>) = (state.clone(), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (state, answer) = (shared.clone(), answer.clone());
                thread::spawn(move || state.serve(stream, &*answer));
            }
        });
        Self { address, state }
    }

    /// Serves the same answer to all.
    pub fn answering(answer: &'static str) -> Self {
        Self::serve(move |_, stream| drop(stream.write_all(answer.as_bytes())))
    }

    /// URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// All requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().expect("the server lives").clone()
    }
}

impl State {
    fn serve(&self, mut stream: TcpStream, answer: &Answer) {
        let Some(seen) = read(&stream) else { return };
        self.seen.lock().expect("the server lives").push(seen.clone());
        answer(&seen, &mut stream);
    }
}

fn read(stream: &TcpStream) -> Option<Seen> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let declared = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; declared.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    Some(Seen { head, body })
}
