//! Optional abilities of the protocol, by their names in Hello and in an offer.

/// What a pipe needs in which objects flow.
pub const OBJECTS: &str = "objects";

/// What a pipe needs whose links end with a digest.
pub const DIGEST: &str = "digest";

/// What both ends of a link must have that is compressed.
pub const ZSTD: &str = "zstd";
