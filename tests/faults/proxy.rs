//! A proxy that understands the frames of PostgreSQL's protocol, and cuts at a given one.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use socket2::SockRef;

/// Where to cut, seen from one message of the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The server does not get it.
    Before,
    /// The server gets it, and nobody waits for what it says.
    After,
    /// The server carries it out and answers, and the client does not get the answer.
    ReplySwallowed,
}

/// What a cut connection looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Closed in order.
    Close,
    /// Reset.
    Reset,
    /// Open, and silent for ever.
    Silence,
    /// What the test does meanwhile ([`Proxy::meanwhile`]); then the message goes through.
    Meanwhile,
    /// Not at all: `ROLLBACK` goes through in place of the message.
    RollsBack,
    /// Not at all: another server process gets this message and all that follow, as behind a pooler.
    Switches,
}

/// What happens at which message.
#[derive(Debug, Clone, Copy)]
pub struct Cut {
    /// The message's number, over all connections, from 0.
    pub at: usize,
    pub place: Place,
    pub way: Way,
    /// Nobody gets through after the cut.
    pub stays_down: bool,
}

/// A cut in the middle of a message, or between two.
#[derive(Debug, Clone, Copy)]
pub struct ByteCut {
    /// Seen from the client: what it says, or what it is told.
    pub said: bool,
    /// How many bytes get through, over all connections.
    pub at: usize,
    pub way: Way,
}

/// One message of the client.
#[derive(Debug, Clone)]
pub struct Message {
    /// The protocol's letter; `0` is the start of a connection.
    pub kind: u8,
    /// Its text, where it has one.
    pub text: String,
    /// How many bytes had been said and told when it came.
    pub passed: (usize, usize),
}

impl Message {
    /// Whether the server answers it.
    pub fn is_answered(&self) -> bool {
        matches!(self.kind, b'0' | b'Q' | b'S')
    }

    pub fn is_commit(&self) -> bool {
        self.kind == b'Q' && self.text.starts_with("COMMIT")
    }
}

#[derive(Default)]
struct Shared {
    cut: Option<Cut>,
    byte_cut: Option<ByteCut>,
    passed: (usize, usize),
    seen: Vec<Message>,
    done: bool,
    meanwhile: Option<Arc<dyn Fn() + Send + Sync>>,
}

pub struct Proxy {
    port: u16,
    state: Arc<Mutex<Shared>>,
    ended: Arc<AtomicBool>,
}

impl Proxy {
    /// Between a port of its own and the server's.
    pub fn start(server: u16) -> Proxy {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(Shared::default()));
        let ended = Arc::new(AtomicBool::new(false));
        thread::spawn({
            let (state, ended) = (Arc::clone(&state), Arc::clone(&ended));
            move || {
                for client in listener.incoming() {
                    if ended.load(Ordering::Relaxed) {
                        return;
                    }
                    let (client, state) = (client.unwrap(), Arc::clone(&state));
                    thread::spawn(move || {
                        // A connection that ends in disorder is this proxy's purpose.
                        let _ = serve(client, server, &state);
                    });
                }
            }
        });
        Proxy { port, state, ended }
    }

    /// The URL of a database through this proxy.
    pub fn url(&self, direct: &str) -> String {
        let (_, database) = direct.rsplit_once('/').unwrap();
        format!("postgresql://loader@127.0.0.1:{}/{database}", self.port)
    }

    /// Forgets what was seen, and cuts as said from now on.
    pub fn set(&self, cut: Option<Cut>) {
        let mut state = self.state.lock().unwrap();
        *state = Shared {
            cut,
            meanwhile: state.meanwhile.take(),
            ..Shared::default()
        };
    }

    /// The same, with a cut at a byte.
    pub fn set_bytes(&self, cut: ByteCut) {
        self.set(None);
        self.state.lock().unwrap().byte_cut = Some(cut);
    }

    /// How many bytes were said and told since [`Proxy::set`].
    pub fn passed(&self) -> (usize, usize) {
        self.state.lock().unwrap().passed
    }

    /// What [`Way::Meanwhile`] does before the message goes through.
    pub fn meanwhile(&self, work: impl Fn() + Send + Sync + 'static) {
        self.state.lock().unwrap().meanwhile = Some(Arc::new(work));
    }

    /// Whether the cut has happened.
    pub fn has_cut(&self) -> bool {
        self.state.lock().unwrap().done
    }

    /// The messages that came through since [`Proxy::set`].
    pub fn seen(&self) -> Vec<Message> {
        self.state.lock().unwrap().seen.clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // Wakes the listener up.
        let _ = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], self.port)));
    }
}

/// How the two directions of one connection agree on its end.
#[derive(Default)]
struct Line {
    /// The next answer is to be swallowed, and the connection to be cut after it.
    swallow: AtomicBool,
    /// It ends with a reset: nothing may be said after that.
    reset: AtomicBool,
}

fn serve(client: TcpStream, port: u16, state: &Arc<Mutex<Shared>>) -> std::io::Result<()> {
    let cut = state.lock().unwrap().cut;
    if state.lock().unwrap().done && cut.is_some_and(|c| c.stays_down) {
        return match cut {
            Some(c) if c.way == Way::Silence => {
                thread::sleep(Duration::from_secs(600));
                Ok(())
            }
            _ => Ok(()),
        };
    }
    let server = TcpStream::connect(("127.0.0.1", port))?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let line = Arc::new(Line::default());
    thread::spawn({
        let (mut from, mut to) = (server.try_clone()?, client.try_clone()?);
        let (state, line) = (Arc::clone(state), Arc::clone(&line));
        move || {
            let _ = answers(&mut from, &mut to, &line, &state);
            if !line.reset.load(Ordering::SeqCst) {
                let _ = to.shutdown(Shutdown::Both);
                let _ = from.shutdown(Shutdown::Both);
            }
        }
    });
    let ended = questions(&client, &server, &line, state);
    if !line.reset.load(Ordering::SeqCst) {
        let _ = client.shutdown(Shutdown::Both);
        let _ = server.shutdown(Shutdown::Both);
    }
    ended
}

/// Copies what the client says, frame by frame, up to the cut.
fn questions(
    mut client: &TcpStream,
    server: &TcpStream,
    line: &Arc<Line>,
    state: &Arc<Mutex<Shared>>,
) -> std::io::Result<()> {
    let mut server = server.try_clone()?;
    let mut start = Vec::new();
    let mut starting = true;
    while let Some((kind, frame)) = frame(&mut client, starting)? {
        if kind == b'0' && frame[4..8] == 80_877_103_u32.to_be_bytes() {
            client.write_all(b"N")?; // no encryption
            continue;
        }
        if kind == b'0' && frame[4..8] == 80_877_102_u32.to_be_bytes() {
            server.write_all(&frame)?; // a request to cancel
            return Ok(());
        }
        if kind == b'0' {
            start.clone_from(&frame);
        }
        starting = false;
        let due = {
            let mut state = state.lock().unwrap();
            let state = &mut *state;
            let number = state.seen.len();
            let has_text = matches!(kind, b'Q' | b'P');
            let text = if has_text { &frame[5..] } else { &[][..] };
            state.seen.push(Message {
                kind,
                text: String::from_utf8_lossy(text).into_owned(),
                passed: state.passed,
            });
            let due = state.cut.filter(|c| c.at == number && !state.done);
            state.done |= due.is_some();
            due
        };
        if let Some((part, way)) = through(state, true, frame.len()) {
            server.write_all(&frame[..part])?;
            end(client, &server, line, way);
            return Ok(());
        }
        match due {
            None => server.write_all(&frame)?,
            Some(cut) if cut.way == Way::Meanwhile => {
                let work = state.lock().unwrap().meanwhile.clone();
                work.unwrap()();
                server.write_all(&frame)?;
            }
            Some(cut) if cut.way == Way::Switches => {
                server = another(server.peer_addr()?, &start)?;
                let (mut from, mut to) = (server.try_clone()?, client.try_clone()?);
                let (state, line) = (Arc::clone(state), Arc::clone(line));
                thread::spawn(move || answers(&mut from, &mut to, &line, &state));
                server.write_all(&frame)?;
            }
            Some(cut) if cut.way == Way::RollsBack => {
                server.write_all(b"Q\0\0\0\x0dROLLBACK\0")?;
            }
            Some(cut) => {
                match cut.place {
                    Place::Before => {}
                    Place::After => server.write_all(&frame)?,
                    Place::ReplySwallowed => {
                        // The other direction ends the connection when the answer is there; what
                        // the client says until then goes through.
                        line.swallow.store(true, Ordering::SeqCst);
                        server.write_all(&frame)?;
                        continue;
                    }
                }
                if cut.way == Way::Silence {
                    // Until the client gives up.
                    std::io::copy(&mut client, &mut std::io::sink())?;
                }
                end(client, &server, line, cut.way);
                return Ok(());
            }
        }
    }
    // It may be another than the one with which it began.
    let _ = server.shutdown(Shutdown::Both);
    Ok(())
}

/// A connection that has begun as another did.
fn another(server: SocketAddr, start: &[u8]) -> std::io::Result<TcpStream> {
    let mut server = TcpStream::connect(server)?;
    server.write_all(start)?;
    while let Some((kind, _)) = frame(&mut server, false)? {
        if kind == b'Z' {
            break;
        }
    }
    Ok(server)
}

/// Copies what the server says, frame by frame.
fn answers(
    server: &mut TcpStream,
    client: &mut TcpStream,
    line: &Line,
    state: &Mutex<Shared>,
) -> std::io::Result<()> {
    while let Some((kind, frame)) = frame(server, false)? {
        if let Some((part, way)) = through(state, false, frame.len()) {
            client.write_all(&frame[..part])?;
            end(client, server, line, way);
            return Ok(());
        }
        if !line.swallow.load(Ordering::SeqCst) {
            client.write_all(&frame)?;
        } else if matches!(kind, b'Z' | b'G') {
            let way = state.lock().unwrap().cut.map_or(Way::Close, |c| c.way);
            if way == Way::Silence {
                // Until the other direction ends the connection.
                return std::io::copy(server, &mut std::io::sink()).map(drop);
            }
            end(client, server, line, way);
            return Ok(());
        }
    }
    Ok(())
}

/// Counts a frame; how much of it gets through, and how it ends then, where the cut is in it.
fn through(state: &Mutex<Shared>, said: bool, length: usize) -> Option<(usize, Way)> {
    let mut state = state.lock().unwrap();
    let passed = if said {
        &mut state.passed.0
    } else {
        &mut state.passed.1
    };
    let before = *passed;
    *passed += length;
    let due = state
        .byte_cut
        .filter(|c| c.said == said && (before..before + length).contains(&c.at) && !state.done)?;
    state.done = true;
    Some((due.at - before, due.way))
}

/// Ends both sides of a connection.
fn end(client: &TcpStream, server: &TcpStream, line: &Line, way: Way) {
    match way {
        Way::Close | Way::Silence | Way::RollsBack => {
            let _ = server.shutdown(Shutdown::Both);
            let _ = client.shutdown(Shutdown::Both);
        }
        Way::Reset => {
            line.reset.store(true, Ordering::SeqCst);
            for side in [server, client] {
                // Closing without time to linger is a reset. It is closed when both threads have
                // let go of it; the end of reading, which nobody outside sees, wakes them.
                let _ = SockRef::from(side).set_linger(Some(Duration::ZERO));
                let _ = side.shutdown(Shutdown::Read);
            }
        }
        Way::Meanwhile | Way::Switches => {}
    }
}

/// The next frame with its letter; `None` at the end.
fn frame(from: &mut impl Read, starting: bool) -> std::io::Result<Option<(u8, Vec<u8>)>> {
    let head = if starting { 4 } else { 5 };
    let mut frame = vec![0; head];
    match from.read_exact(&mut frame) {
        Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let length: [u8; 4] = frame[head - 4..].try_into().unwrap();
    let length = u32::from_be_bytes(length) as usize;
    frame.resize(head - 4 + length, 0);
    from.read_exact(&mut frame[head..])?;
    Ok(Some((if starting { b'0' } else { frame[0] }, frame)))
}
