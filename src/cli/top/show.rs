//! The loop of the screen: answers, keys, signals and the clock come in, frames go out.

use std::{
    io,
    time::{Duration, Instant, SystemTime},
};

use rustix::process::Signal;
use tokio::{
    signal::unix::{Signal as Signals, SignalKind, signal},
    sync::mpsc,
    task::JoinHandle,
    time::{Interval, timeout},
};

use super::{
    ask::{Asker, News, obey, ticks},
    dialog::{Effect, Order},
    keys::{Decoder, action},
    model::{Answer, Model},
    screen::{self, Clock},
    short::Look,
    terminal::{self, Canvas, Taken},
};
use crate::{
    cli::{args::TopArgs, caret::Message, engine, exit},
    wire::message::milliseconds,
};

/// News on their way to the screen at most: whoever asks waits until the last was shown.
const NEWS: usize = 1;

/// Orders on their way to the entry at most: nobody presses keys that much faster than it answers.
const ORDERS: usize = 8;

/// How often the age of the last answer is drawn anew.
const REDRAW: Duration = Duration::from_secs(1);

/// How long a terminal may take for the frame that it is being shown, when this process ends or is suspended.
const LAST_FRAME: Duration = Duration::from_secs(1);

/// The screen and all that reaches it.
struct Show {
    model: Model,
    look: Look,
    canvas: Canvas,
    decoder: Decoder,
    answered: Instant,
    orders: mpsc::Sender<Order>,
    /// The frame that is being written.
    writing: Option<JoinHandle<io::Result<()>>>,
    /// Whether what is shown is not what is to be shown.
    is_stale: bool,
    taken: Taken,
}

/// What reaches the screen from outside.
struct Outside {
    typed: mpsc::Receiver<Vec<u8>>,
    signals: mpsc::Receiver<Signal>,
    resized: Signals,
    continued: Signals,
    news: mpsc::Receiver<News>,
    redraw: Interval,
}

/// Why the screen ends.
enum End {
    Quit,
    Signal(Signal),
    /// The terminal is gone.
    Gone,
}

/// Shows what the entry tells, until a key or a signal ends it, and returns the exit status.
///
/// # Errors
///
/// Returns why there is nothing to show or nowhere to show it.
pub(super) async fn show(asker: Asker, args: &TopArgs, look: Look) -> Result<u8, Message> {
    let first = asker.ask().await?;
    let cannot = |error: io::Error| {
        Message::new(format!("cannot use the terminal: {error}"))
            .with_help("without it: dpipes top --plain")
    };
    let (news, incoming) = mpsc::channel(NEWS);
    let (orders, ordered) = mpsc::channel(ORDERS);
    // Signals are heard before there is anything to give back.
    let mut outside = Outside::new(incoming).map_err(cannot)?;
    let taken = Taken::new().map_err(cannot)?;
    let mut show = Show::new(first, args, look, orders, taken);
    let mut ticks = ticks(args.interval);
    ticks.reset();
    tokio::spawn(obey(asker.session(), ordered, news.clone()));
    tokio::spawn(asker.watch(ticks, news));
    let end = show.until_end(&mut outside).await;
    show.last_frame().await;
    drop(show);
    match end {
        Ok(End::Quit) => Ok(exit::OK),
        Ok(End::Signal(signal)) => Ok(exit::of_signal(signal.as_raw())),
        Ok(End::Gone) => Ok(exit::of_signal(Signal::HUP.as_raw())),
        Err(error) => Err(cannot(error)),
    }
}

// === impl Outside ===

impl Outside {
    fn new(news: mpsc::Receiver<News>) -> io::Result<Self> {
        Ok(Self {
            typed: terminal::typed()?,
            signals: engine::signals(false)?,
            resized: signal(SignalKind::window_change())?,
            continued: signal(SignalKind::from_raw(Signal::CONT.as_raw()))?,
            news,
            redraw: tokio::time::interval(REDRAW),
        })
    }
}

// === impl Show ===

impl Show {
    fn new(
        first: Answer,
        args: &TopArgs,
        look: Look,
        orders: mpsc::Sender<Order>,
        taken: Taken,
    ) -> Self {
        let mut model = Model::new(args.cluster);
        model.take(first);
        Self {
            model,
            look,
            canvas: Canvas::new(terminal::size()),
            decoder: Decoder::default(),
            answered: Instant::now(),
            orders,
            writing: None,
            is_stale: true,
            taken,
        }
    }

    async fn until_end(&mut self, outside: &mut Outside) -> io::Result<End> {
        loop {
            self.draw()?;
            tokio::select! {
                Some(signal) = outside.signals.recv() => return Ok(End::Signal(signal)),
                written = written(&mut self.writing) => {
                    if written.is_err() {
                        return Ok(End::Gone);
                    }
                }
                typed = outside.typed.recv() => {
                    let Some(bytes) = typed else {
                        return Ok(End::Gone);
                    };
                    if let Some(end) = self.press(&bytes).await {
                        return Ok(end);
                    }
                }
                news = outside.news.recv() => match news {
                    Some(news) => self.hear(news),
                    None => return Err(io::Error::other("nobody asks the entry any more")),
                },
                Some(()) = outside.resized.recv() => self.forget(),
                Some(()) = outside.continued.recv() => {
                    // The end of a terminal continues its processes, too.
                    if self.taken.again().is_err() {
                        return Ok(End::Gone);
                    }
                    self.forget();
                }
                _ = outside.redraw.tick() => self.is_stale = true,
            }
        }
    }

    /// Draws, unless the frame before is still being written: a terminal that is slow sees fewer of them.
    fn draw(&mut self) -> io::Result<()> {
        if !self.is_stale || self.writing.is_some() {
            return Ok(());
        }
        let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        let clock = Clock {
            now: now.split('T').next_back().unwrap_or_default().to_owned(),
            answered_ms: milliseconds(self.answered.elapsed()),
        };
        let bytes = self.canvas.frame(|area, buffer| {
            screen::draw(&self.model, &clock, self.look, area, buffer);
        })?;
        self.is_stale = false;
        self.writing = Some(tokio::task::spawn_blocking(move || terminal::write(&bytes)));
        Ok(())
    }

    fn hear(&mut self, news: News) {
        match news {
            News::Answer(answer) => {
                self.answered = Instant::now();
                self.model.take(answer);
            }
            News::Lost(why) => self.model.lose(&why),
            News::Done(what) => self.model.status = Some(what),
        }
        self.is_stale = true;
    }

    /// Does what was typed.
    async fn press(&mut self, bytes: &[u8]) -> Option<End> {
        for key in self.decoder.keys(bytes) {
            let Some(action) = action(&self.model.mode, key) else {
                continue;
            };
            self.is_stale = true;
            match self.model.act(action, screen::page(self.canvas.area())) {
                Effect::None => {}
                Effect::Quit => return Some(End::Quit),
                Effect::Redraw => self.forget(),
                Effect::Suspend => {
                    self.last_frame().await;
                    if self.taken.suspend().is_err() {
                        return Some(End::Gone);
                    }
                    self.forget();
                }
                Effect::Order(order) => {
                    if self.orders.try_send(order).is_err() {
                        let busy = "the entry has not answered the orders before; nothing was done";
                        self.model.status = Some(busy.to_owned());
                    }
                }
            }
        }
        None
    }

    /// Takes it that the terminal shows anything, in any size.
    fn forget(&mut self) {
        self.canvas = Canvas::new(terminal::size());
        self.is_stale = true;
    }

    /// Waits until the terminal has what is being written.
    async fn last_frame(&mut self) {
        // Whether it is stuck or gone, there is nothing more to do for it.
        let _ = timeout(LAST_FRAME, written(&mut self.writing)).await;
    }
}

/// Waits for the end of what is being written, if anything is. Cancel safe.
async fn written(writing: &mut Option<JoinHandle<io::Result<()>>>) -> io::Result<()> {
    let Some(task) = writing else {
        return std::future::pending().await;
    };
    let done = task
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)));
    *writing = None;
    done
}
