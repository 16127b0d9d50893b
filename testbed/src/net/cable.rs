//! A long cable: a thread that passes the frames between two TAP devices on, each a while after it came.
//!
//! The kernel's own way, `netem`, is not in every kernel.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    fs::File,
    io::{Read, Write},
    os::fd::AsFd,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll},
    fs::{OFlags, fcntl_setfl},
    io::Errno,
};

use super::{Net, ip, kernel};

/// Frames that are under way in one direction at most. A cable that holds more than this many would be one of several megabytes.
const ROOM: usize = 4_096;

/// The longest frame: TAP devices are given one segment each.
const FRAME: usize = 2_048;

/// How long frames are under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delay {
    /// At least so long.
    pub at_least: Duration,
    /// And up to this much longer, each as chance has it: frames overtake each other.
    pub jitter: Duration,
}

/// A running cable. It is cut when it is dropped.
#[derive(Debug)]
pub(super) struct Cable {
    over: File,
    ways: Vec<JoinHandle<()>>,
}

// === impl Net ===

impl Net {
    /// Replaces a host's cable by one on which every frame takes so long, in each direction. For hosts that nobody uses yet: the
    /// interface is another one.
    ///
    /// # Panics
    ///
    /// Panics when there is no `/dev/net/tun`.
    pub fn lengthen(&self, host: u8, delay: Delay) {
        let (name, bridge) = (self.namespace(host), self.namespace(0));
        ip(&format!("-n {name} link del eth0"));
        let tap = |host: u8, device: String| {
            let entrance = self.entrance(host);
            let made = thread::spawn(move || {
                entrance();
                kernel::tap(&device).unwrap()
            });
            made.join().unwrap()
        };
        let near = tap(host, "eth0".to_owned());
        let far = tap(0, format!("p{host}"));
        ip(&format!("-n {bridge} link set p{host} master br0 up"));
        let address = Self::address(host);
        ip(&format!("-n {name} addr add {address}/24 dev eth0"));
        ip(&format!("-n {name} link set eth0 up"));
        self.cables
            .lock()
            .unwrap()
            .push(Cable::new(near, far, delay));
    }
}

// === impl Cable ===

impl Cable {
    fn new(near: File, far: File, delay: Delay) -> Self {
        let over = File::from(eventfd(0, EventfdFlags::empty()).unwrap());
        let way = |from: &File, to: &File, seed| {
            let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
            let over = over.try_clone().unwrap();
            thread::spawn(move || carry(from, to, &over, delay, seed))
        };
        let ways = vec![way(&near, &far, 1), way(&far, &near, 2)];
        Self { over, ways }
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.over.write_all(&1_u64.to_ne_bytes()).unwrap();
        for way in self.ways.drain(..) {
            let _panicked = way.join();
        }
    }
}

/// Carries frames one way until the cable is over.
fn carry(mut from: File, mut to: File, over: &File, delay: Delay, seed: u64) {
    fcntl_setfl(&from, OFlags::NONBLOCK | OFlags::RDWR).unwrap();
    // Those under way: when they arrive, in which order they came, and what they are.
    let mut under_way: BinaryHeap<Reverse<(Instant, u64, Vec<u8>)>> = BinaryHeap::new();
    let mut chance = seed;
    let mut count = 0_u64;
    let mut frame = vec![0; FRAME];
    loop {
        let now = Instant::now();
        while let Some(Reverse((due, _, _))) = under_way.peek()
            && *due <= now
        {
            let Some(Reverse((_, _, frame))) = under_way.pop() else {
                break;
            };
            // A device that is down takes nothing, as a wire with nobody at its end.
            let _lost = to.write(&frame);
        }
        let next = under_way.peek().map(|Reverse((due, _, _))| {
            let left = due.saturating_duration_since(Instant::now());
            Timespec::try_from(left).unwrap()
        });
        let mut watched = [
            PollFd::from_borrowed_fd(over.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(from.as_fd(), PollFlags::IN),
        ];
        match poll(&mut watched, next.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => panic!("poll: {error}"),
        }
        if !watched[0].revents().is_empty() {
            return;
        }
        while let Ok(length @ 1..) = from.read(&mut frame) {
            if under_way.len() >= ROOM {
                continue;
            }
            // The constants of Knuth's MMIX; the upper bits are the good ones.
            chance = chance
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let share = f64::from(u32::try_from(chance >> 32).unwrap()) / f64::from(u32::MAX);
            let due = Instant::now() + delay.at_least + delay.jitter.mul_f64(share);
            count += 1;
            under_way.push(Reverse((due, count, frame[..length].to_vec())));
        }
    }
}
