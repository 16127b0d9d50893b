//! A TCP proxy between two daemons that does to their connection what networks do: stalls, cuts, resets, flips, slices.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use rustix::net::sockopt::set_socket_linger;

/// How often an idle connection looks at what it is told. Nobody waits for it in any other way.
const LOOK: Duration = Duration::from_millis(5);

/// Bytes moved in one go.
const PIECE: usize = 64 * 1024;

/// What happens to the bytes in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The connection ends as if its peer had closed it: a FIN on both sides.
    Cut,
    /// The connection ends with a RST on both sides.
    Reset,
    /// This bit of the byte there is turned over.
    Flip(u8),
}

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// From whoever connected to the daemon behind the proxy.
    In,
    /// From the daemon behind the proxy.
    Out,
}

/// What the connections are told.
#[derive(Debug, Default)]
struct Orders {
    /// The fault, the way it lies on, and the number of bytes of one connection that pass before it.
    fault: Option<(Way, u64, Fault)>,
    /// The ways that are held up.
    stalled: [bool; 2],
    /// How long every piece takes.
    delay: Duration,
    /// Bytes go one by one, each in a segment of its own.
    slices: bool,
    over: bool,
}

#[derive(Debug)]
struct Shared {
    orders: Mutex<Orders>,
    changed: Condvar,
    /// Bytes that passed each way, on all connections.
    passed: [AtomicU64; 2],
    /// Whether the fault has happened. It happens once.
    happened: AtomicBool,
}

/// A running proxy. Its connections end when it is dropped.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    listener: Option<JoinHandle<()>>,
}

// === impl Proxy ===

impl Proxy {
    /// Listens, and passes on to the daemon there.
    pub(crate) fn to(daemon: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port of loopback");
        let address = listener.local_addr().expect("a bound socket");
        listener.set_nonblocking(true).expect("a socket");
        let shared = Arc::new(Shared {
            orders: Mutex::default(),
            changed: Condvar::new(),
            passed: [AtomicU64::new(0), AtomicU64::new(0)],
            happened: AtomicBool::new(false),
        });
        let serving = shared.clone();
        let listener = thread::spawn(move || serve(&listener, daemon, &serving));
        Self {
            address,
            shared,
            listener: Some(listener),
        }
    }

    /// Where it listens.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets a fault happen once so many more bytes have passed this way on one connection.
    pub(crate) fn after(&self, bytes: u64, way: Way, fault: Fault) {
        self.shared.happened.store(false, Ordering::SeqCst);
        self.shared.orders().fault = Some((way, bytes, fault));
    }

    /// Holds up what goes these ways until [`go_on`](Self::go_on).
    pub(crate) fn stall(&self, ways: &[Way]) {
        let mut orders = self.shared.orders();
        for &way in ways {
            orders.stalled[way as usize] = true;
        }
    }

    /// Ends a stall.
    pub(crate) fn go_on(&self) {
        self.shared.orders().stalled = [false; 2];
        self.shared.changed.notify_all();
    }

    /// Cuts everything that follows into pieces of one byte.
    pub(crate) fn slice(&self) {
        self.shared.orders().slices = true;
    }

    /// Lets everything take so long each way, as on a long path.
    pub(crate) fn delay(&self, delay: Duration) {
        self.shared.orders().delay = delay;
    }

    /// How many bytes passed this way.
    pub(crate) fn passed(&self, way: Way) -> u64 {
        self.shared.passed[way as usize].load(Ordering::SeqCst)
    }

    /// Whether the fault has happened.
    pub(crate) fn has_happened(&self) -> bool {
        self.shared.happened.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.orders().over = true;
        self.shared.changed.notify_all();
        if let Some(listener) = self.listener.take() {
            let _panicked = listener.join();
        }
    }
}

// === impl Shared ===

impl Shared {
    fn orders(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits while this way is held up. Returns whether the proxy goes on.
    fn may_pass(&self, way: Way) -> bool {
        let held = |orders: &mut Orders| orders.stalled[way as usize] && !orders.over;
        let orders = self
            .changed
            .wait_while(self.orders(), held)
            .unwrap_or_else(PoisonError::into_inner);
        !orders.over
    }

    /// Takes the fault if it falls among the next bytes of this way: it, and how many of them come before it.
    fn fault_within(&self, way: Way, length: usize) -> Option<(usize, Fault)> {
        let mut orders = self.orders();
        let (on, left, fault) = orders.fault?;
        if on != way {
            return None;
        }
        let length = length as u64;
        if left >= length {
            orders.fault = Some((on, left - length, fault));
            return None;
        }
        orders.fault = None;
        Some((usize::try_from(left).expect("within a piece"), fault))
    }
}

fn serve(listener: &TcpListener, daemon: SocketAddr, shared: &Arc<Shared>) {
    let mut connections = Vec::new();
    while !shared.orders().over {
        match listener.accept() {
            Ok((near, _)) => {
                // A daemon that is not there refuses, and so does the proxy, if a moment later.
                if let Ok(far) = TcpStream::connect(daemon) {
                    for (from, to, way) in [(&near, &far, Way::In), (&far, &near, Way::Out)] {
                        let (from, to) = (
                            from.try_clone().expect("a second handle"),
                            to.try_clone().expect("a second handle"),
                        );
                        let shared = shared.clone();
                        connections.push(thread::spawn(move || pass(from, to, way, &shared)));
                    }
                }
            }
            Err(_) => super::pause(LOOK),
        }
    }
    for connection in connections {
        let _panicked = connection.join();
    }
}

/// Moves bytes one way until either side is done or something happens to them.
fn pass(mut from: TcpStream, mut to: TcpStream, way: Way, shared: &Shared) {
    from.set_nonblocking(false).expect("a socket");
    from.set_read_timeout(Some(LOOK)).expect("above zero");
    to.set_nodelay(true).expect("a socket");
    let mut buffer = vec![0; PIECE];
    loop {
        let length = match from.read(&mut buffer) {
            Ok(0) => {
                if shared.may_pass(way) {
                    let _gone = to.shutdown(Shutdown::Write);
                }
                return;
            }
            Ok(length) => length,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                if shared.orders().over {
                    return cut(&from, &to);
                }
                continue;
            }
            Err(_) => return cut(&from, &to),
        };
        if !shared.may_pass(way) {
            return cut(&from, &to);
        }
        let mut piece = &mut buffer[..length];
        let fault = shared.fault_within(way, length);
        if let Some((at, fault)) = fault {
            match fault {
                Fault::Flip(bit) => piece[at] ^= 1 << (bit % 8),
                Fault::Cut | Fault::Reset => piece = &mut piece[..at],
            }
        }
        let delay = shared.orders().delay;
        if !delay.is_zero() {
            super::pause(delay);
        }
        let size = if shared.orders().slices { 1 } else { PIECE };
        let sent = piece.chunks(size).try_for_each(|slice| to.write_all(slice));
        shared.passed[way as usize].fetch_add(piece.len() as u64, Ordering::SeqCst);
        match fault {
            Some((_, Fault::Cut)) => cut(&from, &to),
            Some((_, Fault::Reset)) => {
                // Closing with this sends a reset; the other direction's handles hear of it by the shutdown.
                for stream in [&from, &to] {
                    let _gone = set_socket_linger(stream, Some(Duration::ZERO));
                    let _gone = rustix::net::shutdown(stream, rustix::net::Shutdown::Read);
                }
            }
            Some((_, Fault::Flip(_))) | None => {}
        }
        if fault.is_some() {
            shared.happened.store(true, Ordering::SeqCst);
        }
        if matches!(fault, Some((_, Fault::Cut | Fault::Reset))) || sent.is_err() {
            return;
        }
    }
}

fn cut(one: &TcpStream, other: &TcpStream) {
    let _gone = one.shutdown(Shutdown::Both);
    let _gone = other.shutdown(Shutdown::Both);
}
