//! Strangers by the thousand on the network.

use std::{
    io::{ErrorKind, Read as _},
    net::{SocketAddr, TcpStream},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use dpipes_testbed::net::Net;

use crate::kit::{eventually, holds_within, lan::lan_or_return, patience, pause, processes};

/// Connections of the crowd, all told.
const CROWD: usize = 2_000;

/// Of which so many are open at one time: more than there is room for, and fewer than a listener's queue takes beside, so that nobody is kept
/// out by the kernel.
const HELD: usize = 1_000;

/// Pipes of a member meanwhile.
const PIPES: usize = 30;

/// Descriptors of what may not have been there yet when they were counted first, of a daemon that had just started: four processes kept ready,
/// with a socket, a process and a control group each, and sessions with two peers.
const KEPT: usize = 16;

/// What a daemon may grow by meanwhile.
const GROWTH: u64 = 16 * 1024 * 1024;

/// Whether the daemon has not hung up. What it says is of no interest to a silent peer.
fn is_open(mut stream: &TcpStream) -> bool {
    loop {
        match stream.read(&mut [0; 256]) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        }
    }
}

/// N20: 2,000 connections from one host, which say nothing and come anew when they are cut off. Whoever is a member gets in meanwhile,
/// each time.
#[test]
fn thousands_of_silent_connections_keep_no_member_out() {
    let mut lan = lan_or_return!(3);
    let list = lan.list(&[1, 3]);
    lan.start(1, &lan.node(1), &list);
    let target = SocketAddr::from((Net::address(1), 3747));
    let descriptors = processes::descriptors(lan.pid(1));
    let memory = processes::resident(lan.pid(1));
    let came = AtomicUsize::new(0);
    let over = AtomicBool::new(false);
    let entrance = lan.net.entrance(2);
    thread::scope(|scope| {
        scope.spawn(|| {
            entrance();
            let mut held = Vec::new();
            while !over.load(Ordering::SeqCst) {
                let stream = TcpStream::connect(target).unwrap();
                stream.set_nonblocking(true).unwrap();
                held.push(stream);
                came.fetch_add(1, Ordering::SeqCst);
                while held.len() >= HELD && !over.load(Ordering::SeqCst) {
                    held.retain(is_open);
                    pause(Duration::from_millis(1));
                }
            }
        });
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            for _ in 0..PIPES {
                lan.dpipes_on(3, &["--connect", "10.77.0.1:3747", "@n1 echo x"])
                    .run()
                    .assert_status(0)
                    .assert_wrote("x\n");
            }
            let all_came = || came.load(Ordering::SeqCst) >= CROWD;
            assert!(
                holds_within(patience() * 3, all_came),
                "the crowd is held up"
            );
        }));
        over.store(true, Ordering::SeqCst);
        if let Err(panic) = outcome {
            resume_unwind(panic);
        }
    });
    let grown = processes::resident(lan.pid(1)).saturating_sub(memory);
    eprintln!("grown by {grown} bytes");
    assert!(grown < GROWTH, "grown by {grown} bytes");
    eventually!(
        processes::descriptors(lan.pid(1)) <= descriptors + KEPT,
        "descriptors are given back"
    );
}
