//! Whether there is colour: the flag, then `NO_COLOR`, `CLICOLOR_FORCE` and `TERM`, then whether the stream is a terminal.

use super::args::When;

/// Decides for all streams of this process. The environment's words are read by the streams themselves, for `auto`.
pub(crate) fn choose(when: When) {
    match when {
        When::Auto => anstream::ColorChoice::Auto,
        When::Always => anstream::ColorChoice::Always,
        When::Never => anstream::ColorChoice::Never,
    }
    .write_global();
}
