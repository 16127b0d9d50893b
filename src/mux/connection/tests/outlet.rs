//! Streams that end in a pipe which the driver fills by itself: nothing overtakes, nothing stalls, and no more is granted than fits.

use proptest::prelude::*;

use super::*;
use crate::mux::half::Room;

/// A pipe that tells that it has room again only if it was full, as the kernel's do.
#[derive(Debug)]
struct Pipe {
    capacity: usize,
    level: usize,
}

/// A writer without end, a reader, its pipe, and whoever holds the stream and writes what did not fit.
struct World {
    writer: Connection,
    reader: Connection,
    stream: StreamId,
    pipe: Pipe,
    /// What was taken into memory and is being written to the pipe.
    held: usize,
    /// Bytes of the writer's that are in the pipe or were.
    arrived: u64,
    /// Bytes that wait in memory.
    waited: usize,
    now: Duration,
}

// === impl Pipe ===

impl Pipe {
    const fn room(&self) -> Room {
        Room {
            capacity: self.capacity,
            free: self.capacity - self.level,
        }
    }

    /// Takes some, and says how many.
    fn put(&mut self, bytes: usize) -> usize {
        let put = bytes.min(self.capacity - self.level);
        self.level += put;
        put
    }
}

// === impl World ===

impl World {
    fn new(window: u32, capacity: usize) -> Self {
        let mut writer = Connection::new(Side::Dialler, Budget::new(1 << 30));
        let stream = writer.open(StreamKind::Uni, &purpose()).unwrap();
        let mut reader = Connection::new(Side::Acceptor, Budget::new(1 << 30));
        let Some(Outgoing::Frame(open)) = writer.poll_outgoing() else {
            panic!("opened");
        };
        reader.receive(open, START).unwrap();
        reader.accept().unwrap();
        reader.grant(stream, window);
        Self {
            writer,
            reader,
            stream,
            pipe: Pipe { capacity, level: 0 },
            held: 0,
            arrived: 0,
            waited: 0,
            now: START,
        }
    }

    /// Lets everything go on that needs no consumer; says whether anything moved.
    fn go_on(&mut self, piece: usize) -> bool {
        let mut moved = false;
        while let Some(Outgoing::Frame(frame)) = self.reader.poll_outgoing() {
            self.writer.receive(frame, START).unwrap();
            moved = true;
        }
        if self.writer.queued(self.stream) == 0 {
            self.writer.send(self.stream, Payload::Piped(piece));
        }
        if let Some(Outgoing::Data { payload, .. }) = self.writer.poll_outgoing() {
            self.arrive(payload.len());
            moved = true;
        }
        moved
    }

    /// A frame arrives: into the pipe as far as it may and fits, the rest into memory.
    fn arrive(&mut self, mut length: usize) {
        while length > 0 {
            let passable = self.reader.passable(self.stream);
            let put = self.pipe.put(length.min(passable));
            if put == 0 {
                break;
            }
            self.arrived += put as u64;
            length -= put;
            if self.reader.passed(self.stream, put, self.now) {
                self.reader.replenish(self.stream, self.pipe.room());
            }
        }
        if length > 0 {
            self.waited += length;
            self.reader
                .receive(data(self.stream.0, length), START)
                .unwrap();
            self.write();
        }
    }

    /// Whoever holds the stream writes what waits, until the pipe is full.
    fn write(&mut self) {
        loop {
            let put = self.pipe.put(self.held);
            self.held -= put;
            self.arrived += put as u64;
            self.waited -= put;
            if self.held > 0 {
                return;
            }
            let room = self.pipe.room();
            match self.reader.read(self.stream, Some(room), self.now) {
                Read::Payload(bytes) => self.held = bytes.len(),
                Read::Pending => return,
                Read::Ended(ending) => panic!("{ending:?}"),
            }
        }
    }

    /// Looks at the pipe of which nobody tells; says when to do so again.
    fn look(&mut self) -> Option<Duration> {
        self.reader.look(self.stream, self.pipe.room())
    }

    /// The consumer reads at most so much. Only if the pipe was full somebody hears of it.
    fn consume(&mut self, most: usize) -> usize {
        let was_full = self.pipe.level == self.pipe.capacity;
        let read = most.min(self.pipe.level);
        self.pipe.level -= read;
        if was_full && read > 0 {
            self.write();
        }
        read
    }
}

proptest! {
    #[test]
    fn a_writer_never_waits_for_a_pipe_that_has_room(
        window in prop_oneof![4_096..70_000_u32, Just(256 << 10), 1_000_000..3_000_000_u32],
        capacity in prop_oneof![Just(4_096_usize), Just(64 << 10), Just(1 << 20)],
        steps in prop::collection::vec((1..300_000_usize, 1..300_000_usize), 1..200),
    ) {
        let mut world = World::new(window, capacity);
        for (piece, read) in steps {
            while world.go_on(piece) {
                let memory = world.waited as u64;
                prop_assert!(memory <= u64::from(window), "{memory} bytes wait in memory");
            }
            // Nothing moves: then it is the consumer's turn, and it has something.
            prop_assert!(world.consume(read) > 0, "stalled after {} bytes", world.arrived);
        }
    }
}

proptest! {
    #[test]
    fn a_slow_reader_that_has_emptied_its_pipe_gets_more_at_the_next_look(
        window in prop_oneof![70_000..300_000_u32, Just(1 << 20)],
        capacity in prop_oneof![Just(64_usize << 10), Just(1 << 20)],
        steps in prop::collection::vec((1..300_000_usize, 1..300_000_usize, 0..20_u64), 1..200),
    ) {
        let mut world = World::new(window, capacity);
        for (piece, read, pause) in steps {
            world.now += Duration::from_millis(pause);
            while world.go_on(piece) {}
            if world.consume(read) > 0 {
                continue;
            }
            prop_assert!(world.reader.is_starved(world.stream), "nobody would look");
            let again = world.look();
            prop_assert_eq!(again, None, "after {} bytes", world.arrived);
            prop_assert!(world.go_on(piece));
        }
    }
}

/// A world whose reader takes 16 ms for its pipe, and whose writer waits for credit.
fn slow_world() -> World {
    let mut world = World::new(1 << 20, 1 << 20);
    for _ in 0..100 {
        world.now += Duration::from_millis(2);
        while world.go_on(1 << 20) {}
        world.consume(128 << 10);
        if world.reader.is_starved(world.stream) {
            let _again = world.look();
        }
    }
    while !world.reader.is_starved(world.stream) {
        assert!(world.go_on(1 << 20) || world.consume(128 << 10) > 0);
    }
    world
}

#[test]
fn the_writer_of_a_slow_reader_gets_credit_in_halves_of_the_pipe() {
    let mut world = slow_world();
    assert_eq!(world.waited, 0);
    while world.pipe.room().free < 512 << 10 {
        let again = world.look().expect("less than half is free");
        assert!(again >= Duration::from_millis(1) && again <= Duration::from_millis(16));
        world.consume(64 << 10);
    }
    assert_eq!(world.look(), None);
    while world.go_on(1 << 20) {}
    assert_eq!((world.pipe.room().free, world.waited), (0, 0));
}

#[test]
fn a_pipe_that_nobody_reads_is_not_looked_at_for_ever() {
    let mut world = slow_world();
    let looks = (0..100).take_while(|_| world.look().is_some()).count();
    assert!(looks < 20, "{looks} looks");
    // It is full now, and something waits: whoever holds the stream is told when there is room.
    while world.go_on(1 << 20) {}
    assert_eq!(world.pipe.room().free, 0);
    assert!(world.waited > 0 && world.waited <= 64 << 10);
    assert!(!world.reader.is_starved(world.stream));
}

#[test]
fn what_a_slow_consumer_leaves_waits_in_the_pipe_and_not_in_memory() {
    let mut world = World::new(1 << 20, 1 << 20);
    let mut most = 0;
    for _ in 0..1_000 {
        while world.go_on(1 << 20) {}
        most = most.max(world.waited);
        world.consume(128 << 10);
    }
    assert!(world.arrived > 100 << 20);
    assert!(most <= 64 << 10, "{most} bytes waited in memory");
}

#[test]
fn the_writer_of_a_slow_reader_gets_credit_by_the_clock_and_nothing_waits_in_memory() {
    let mut world = World::new(1 << 20, 1 << 20);
    for round in 0..2_000 {
        world.now += Duration::from_millis(2);
        while world.go_on(1 << 20) {}
        // Until its pace is known.
        assert!(world.waited == 0 || round < 100, "{} bytes", world.waited);
        // 64 MB/s: the pipe lasts for 16 ms.
        assert!(world.consume(128 << 10) > 0, "the reader never waits");
        if world.reader.is_starved(world.stream) {
            let _again = world.look();
        }
    }
    assert!(world.arrived > 200 << 20);
}

#[test]
fn nothing_passes_by_what_waits_to_be_read() {
    let mut world = World::new(1 << 20, 4_096);
    world.go_on(100_000);
    world.go_on(100_000);
    assert_eq!(world.pipe.level, 4_096);
    assert_eq!(world.reader.passable(world.stream), 0);
    while world.consume(4_096) > 0 {}
    assert_eq!(world.arrived, 200_000);
    assert!(world.reader.passable(world.stream) > 0);
    world.reader.stop(world.stream, code::READER_GONE, "enough");
    assert_eq!(world.reader.passable(world.stream), 0);
}

#[test]
fn a_window_grows_with_its_pipe_while_the_budget_lasts() {
    let budget = Budget::new(1 << 20);
    let mut alone = Alone::new();
    alone.connection = Connection::new(Side::Acceptor, budget.clone());
    alone.hear(open_frame(1, StreamKind::Uni)).unwrap();
    alone.connection.accept().unwrap();
    alone.connection.grant(StreamId(1), 256 << 10);
    assert_eq!(budget.left(), 768 << 10);
    alone.connection.widen(StreamId(1), 4 << 20);
    assert_eq!(budget.left(), 0);
    // Another one gets the least.
    alone.hear(open_frame(3, StreamKind::Uni)).unwrap();
    alone.connection.accept().unwrap();
    alone.connection.grant(StreamId(3), 256 << 10);
    let credit = |frame: &Frame| match frame {
        Frame::Credit { stream, delta } => Some((stream.0, *delta)),
        _ => None,
    };
    let granted: Vec<_> = alone.says().iter().filter_map(credit).collect();
    assert_eq!(granted, [(1, 256 << 10), (3, 64 << 10)]);
    drop(alone);
    assert_eq!(budget.left(), 1 << 20);
}

#[test]
fn on_a_far_path_the_window_grows_with_the_round_trips() {
    const ROUND_TRIP: Duration = Duration::from_millis(100);
    let mut alone = Alone::with_stream(StreamKind::Uni, 256 << 10);
    alone.connection.tick(START).unwrap();
    alone
        .connection
        .receive(Frame::Pong(1), ROUND_TRIP)
        .unwrap();
    // A quick reader: the pipe, which was not enlarged, is always empty.
    let room = Room {
        capacity: 64 << 10,
        free: 64 << 10,
    };
    let mut now = Duration::from_secs(1);
    let mut granted = 256 << 10;
    for _ in 0..12 {
        now += ROUND_TRIP;
        let mut coming = std::mem::take(&mut granted);
        while coming > 0 {
            let piece = coming.min(64 << 10);
            coming -= piece;
            if alone.connection.passed(StreamId(1), piece, now) {
                alone.connection.replenish(StreamId(1), room);
            }
            for frame in alone.says() {
                if let Frame::Credit { delta, .. } = frame {
                    granted += usize::try_from(delta).unwrap();
                }
            }
        }
    }
    assert!(granted >= 4 << 20, "{granted} bytes in a round trip");
}

#[test]
fn what_came_into_a_pipe_meanwhile_makes_its_next_frame_longer() {
    let mut alone = Alone::with_stream(StreamKind::Uni, 0);
    let mut open = || alone.connection.open(StreamKind::Uni, &purpose()).unwrap();
    let (first, second) = (open(), open());
    alone.says();
    for stream in [first, second] {
        let delta = 1 << 20;
        alone.hear(Frame::Credit { stream, delta }).unwrap();
        alone.connection.send(stream, Payload::Piped(20_000));
    }
    assert_eq!(alone.connection.next_announced(), Some((first, 20_000)));
    alone.connection.send(first, Payload::Piped(30_000));
    let next = alone.connection.poll_outgoing();
    let payload = Payload::Piped(50_000);
    let stream = first;
    assert_eq!(next, Some(Outgoing::Data { stream, payload }));
    // The other one is alone then, and has not waited.
    assert_eq!(alone.connection.next_announced(), None);
}
