//! A connection whose peer must take what it has asked for.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

/// How long a peer may leave an answer lying. What a pipe writes, and events, may take as long as they like: these are marked as patient.
const STUCK_AFTER: Duration = Duration::from_secs(30);

/// Whether whoever writes the answer bears with a slow reader. Clones are the same mark.
#[derive(Clone, Debug, Default)]
pub(super) struct Patience(Arc<AtomicBool>);

/// A connection that fails when nothing of an answer is taken for too long.
#[derive(Debug)]
pub(super) struct Unstuck<I> {
    io: I,
    patience: Patience,
    /// Runs while a write waits.
    stuck: Option<Pin<Box<Sleep>>>,
}

// === impl Patience ===

impl Patience {
    /// Bears with the reader from now on, as long as the connection lasts.
    pub(super) fn bear(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

// === impl Unstuck ===

impl<I> Unstuck<I> {
    pub(super) const fn new(io: I, patience: Patience) -> Self {
        Self {
            io,
            patience,
            stuck: None,
        }
    }

    /// What a write has come to, or that it has waited for too long.
    fn judge<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() || self.patience.0.load(Ordering::Relaxed) {
            self.stuck = None;
            return written;
        }
        let until = || Box::pin(sleep_until(Instant::now() + STUCK_AFTER));
        let stuck = self.stuck.get_or_insert_with(until);
        match stuck.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Unstuck<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Unstuck<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(context, bytes);
        self.judge(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(context, pieces);
        self.judge(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(context);
        self.judge(flushed, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_takes_nothing_is_given_up_unless_it_is_borne_with() {
        let (near, _far) = tokio::io::duplex(1 << 10);
        let patience = Patience::default();
        let mut near = Unstuck::new(near, patience.clone());
        let began = Instant::now();
        let error = near.write_all(&[0; 4 << 10]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(began.elapsed(), STUCK_AFTER);
        patience.bear();
        let written = tokio::time::timeout(10 * STUCK_AFTER, near.write_all(&[0; 4 << 10])).await;
        assert!(written.is_err(), "it still waits");
    }
}
