//! How large things on the wire may be. A length is compared with its limit before anything is allocated for it.

/// Bytes of a frame's header.
pub const HEADER: usize = 8;

/// Longest payload of a Data frame: one megabyte is the largest pipe an unprivileged user gets, so nothing longer can be waiting in one.
/// The decoder never buffers a Data payload whole.
pub const MAX_DATA: usize = 1 << 20;

/// Longest control message. The terms of a pipe with a thousand stages are about 600 KiB.
pub const MAX_MESSAGE: usize = 1 << 20;

/// Longest payload of an Open frame. A purpose is at most about 400 bytes; the rest is room for later members.
pub const MAX_OPEN: usize = 4 << 10;

/// Longest reason in Reset, Stop and GoAway: a few lines for a human.
pub const MAX_REASON: usize = 1 << 10;

/// Longest payload of a Finish frame: the count, and tagged items of which the digest is one.
pub const MAX_FINISH: usize = 8 + 256;

/// Longest frame of a type this version does not know. It is skipped without being buffered, so this bounds wasted time, not memory.
pub const MAX_UNKNOWN: usize = 64 << 10;

/// Longest Hello, which is read before anything is known of the peer. A node that lists a thousand apps needs about 30 KiB.
pub const MAX_HELLO: usize = 64 << 10;

/// Longest first line of a peer that speaks something else, and longest refusal: enough to show, too little to hurt.
pub const MAX_FIRST_LINE: usize = 1 << 10;

/// Most credit a writer may hold, over all grants: twice the largest window that a reader may choose. More is an overflow.
pub const MAX_CREDIT: u64 = 32 << 20;

/// Largest window a reader may choose.
pub const MAX_WINDOW: u32 = 16 << 20;

/// What each message costs beside its length when it is counted against credit, so that a flood of tiny messages cannot take up
/// much more memory than the window says.
pub const MESSAGE_OVERHEAD: u32 = 64;

/// Credit with which both halves of a two-way stream begin. Half of it, the most that is consumed but not yet returned, plus the
/// largest message with its overhead must fit, or a writer would wait for ever.
pub const MESSAGE_WINDOW: u32 = (2 << 20) + 2 * MESSAGE_OVERHEAD;
