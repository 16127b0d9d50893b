//! What a transform makes of a stream, whatever its format.

use dpipes::{
    media::Counts,
    object::{BadObject, Plan, Transform},
};

/// What comes of a stream: what goes out, what was counted, and how it ended.
pub type Outcome = (Vec<u8>, Counts, Result<(), BadObject>);

/// What a plan makes of a stream that comes in pieces of such a length.
pub fn outcome(plan: &Plan, stream: &[u8], piece: usize) -> Outcome {
    let mut transform = Transform::new(plan.clone());
    let mut out = Vec::new();
    let mut push = |mut piece: &[u8]| {
        while !piece.is_empty() {
            transform.push(&mut piece, &mut out)?;
        }
        Ok(())
    };
    let pushed = stream.chunks(piece).try_for_each(&mut push);
    let result = pushed.and_then(|()| transform.finish(&mut out));
    (out, transform.counts(), result)
}
