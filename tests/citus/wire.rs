//! A proxy before a worker, that cuts at a message which ends a distributed transaction.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// Where to cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The worker does not get it.
    Before,
    /// The worker gets it, and its answer gets lost.
    After,
}

#[derive(Debug, Clone, Copy)]
pub struct Cut {
    /// A text in the message.
    pub at: &'static str,
    pub place: Place,
    /// How many such messages get through before.
    pub skip: u32,
    /// Nobody gets through after the cut.
    pub stays_down: bool,
}

#[derive(Default)]
struct State {
    cut: Mutex<Option<Cut>>,
    seen: AtomicU32,
    is_down: AtomicBool,
    was_cut: AtomicBool,
}

pub struct Wire {
    pub port: u16,
    state: Arc<State>,
}

impl Wire {
    pub fn to(port: u16) -> Wire {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = listener.local_addr().unwrap().port();
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if shared.is_down.load(Ordering::SeqCst) {
                    continue;
                }
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else {
                    continue;
                };
                let (to, from) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                let state = Arc::clone(&shared);
                thread::spawn(move || forward(client, server, Some(&state)));
                thread::spawn(move || forward(to, from, None));
            }
        });
        Wire { port: own, state }
    }

    /// From now on cuts so, once.
    pub fn cut(&self, cut: Cut) {
        self.state.seen.store(0, Ordering::SeqCst);
        self.state.was_cut.store(false, Ordering::SeqCst);
        *self.state.cut.lock().unwrap() = Some(cut);
    }

    /// Lets everybody through again. Returns whether it was cut.
    pub fn heal(&self) -> bool {
        *self.state.cut.lock().unwrap() = None;
        self.state.is_down.store(false, Ordering::SeqCst);
        self.state.was_cut.load(Ordering::SeqCst)
    }
}

/// Sends on what comes, up to a cut.
fn forward(mut from: TcpStream, mut to: TcpStream, state: Option<&State>) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(n @ 1..) = from.read(&mut buffer) {
        let said = &buffer[..n];
        let place = state.and_then(|state| state.cuts(said));
        if place == Some(Place::Before) || to.write_all(said).is_err() {
            break;
        }
        if place == Some(Place::After) {
            // It is carried out meanwhile.
            let _ = from.shutdown(Shutdown::Both);
            thread::sleep(std::time::Duration::from_millis(300));
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

impl State {
    fn cuts(&self, said: &[u8]) -> Option<Place> {
        let mut wanted = self.cut.lock().unwrap();
        let cut = (*wanted)?;
        if self.is_down.load(Ordering::SeqCst) {
            return Some(Place::Before);
        }
        let text = cut.at.as_bytes();
        if !said.windows(text.len()).any(|window| window == text) {
            return None;
        }
        if self.seen.fetch_add(1, Ordering::SeqCst) < cut.skip {
            return None;
        }
        if cut.stays_down {
            self.is_down.store(true, Ordering::SeqCst);
        } else {
            *wanted = None;
        }
        self.was_cut.store(true, Ordering::SeqCst);
        Some(cut.place)
    }
}
