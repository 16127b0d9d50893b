//! Why a stream or a session ended, for programs. The numbers are part of the protocol.

/// In Reset and Stop: given up, without a better reason.
pub const CANCELLED: u32 = 1;
/// In Reset: the answer to a Stop, and nothing else.
pub const STOPPED: u32 = 2;
/// In Stop: the agreements of the two ends differ.
pub const DIGEST: u32 = 3;
/// In Stop: nobody here waits for a stream of this pipe.
pub const UNKNOWN_PIPE: u32 = 4;
/// In Stop and Reset: a purpose this peer does not know or does not serve.
pub const UNKNOWN_PURPOSE: u32 = 5;
/// In Stop and Reset: no room; another peer may have some.
pub const BUSY: u32 = 6;
/// In Stop and Reset: more was sent, or granted, than is allowed.
pub const FLOW_CONTROL: u32 = 7;
/// In Stop and Reset: this peer accepts no new streams.
pub const GOING_AWAY: u32 = 8;
/// In Stop: what should have read the data has closed its input.
pub const READER_GONE: u32 = 9;
/// In Reset and Stop: something local failed; the reason says what.
pub const FAILED: u32 = 10;

/// In GoAway: the session ends now, as intended.
pub const AWAY_CLOSED: u32 = 1;
/// In GoAway: no new streams; the others go on.
pub const AWAY_DRAINING: u32 = 2;
/// In GoAway: the receiver has broken the protocol.
pub const AWAY_PROTOCOL: u32 = 3;
/// In GoAway: the receiver sends too much of something that costs it nothing.
pub const AWAY_FLOOD: u32 = 4;
/// In GoAway: nothing was heard of the receiver for too long.
pub const AWAY_SILENT: u32 = 5;
