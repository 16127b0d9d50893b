//! The terminal: taken over while it shows the screen, and given back as it was found, however this process ends.

use std::{
    io, panic,
    sync::{Mutex, Once, PoisonError},
    thread,
    time::Duration,
};

use ratatui::{
    backend::{Backend, CrosstermBackend},
    buffer::Buffer,
    crossterm::{
        Command,
        cursor::{Hide, MoveTo, Show},
        style::ResetColor,
        terminal::{Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen},
    },
    layout::Rect,
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Signal, kill_current_process_group},
    stdio::{stdin, stdout},
    termios::{OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize, tcsetattr},
};
use tokio::sync::mpsc;

/// The size where a terminal does not tell it: what terminals have had since they were made of glass.
const USUAL: (u16, u16) = (80, 24);

/// The most lines and columns that are drawn: more than any screen has, and few enough for a frame to cost nothing much.
const LARGEST: u16 = 1_000;

/// Bytes that are read at once: keys are few.
const TYPED: usize = 1 << 10;

/// Pieces of what was typed that wait at most: nobody types ahead more.
const PIECES: usize = 8;

/// How often the thread that reads looks whether anybody listens: it need not end sooner, and costs nothing meanwhile.
const LISTEN: Duration = Duration::from_millis(250);

/// How long a terminal that takes nothing is waited for when it is given back: whoever ends this process waits for that.
const STUCK: Duration = Duration::from_secs(1);

/// How the terminal was found, while it is taken over. Here, and not in [`Taken`], for the sake of a panic.
static FOUND: Mutex<Option<Termios>> = Mutex::new(None);

/// The terminal, taken over. It is given back when this is dropped.
#[derive(Debug)]
pub(super) struct Taken(());

/// What the terminal shows, to write only what changes.
#[derive(Debug)]
pub(super) struct Canvas {
    shown: Buffer,
    is_known: bool,
}

// === impl Taken ===

impl Taken {
    /// Takes the terminal over.
    ///
    /// # Errors
    ///
    /// Returns why it is none, or is gone.
    pub(super) fn new() -> io::Result<Self> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let before = panic::take_hook();
            panic::set_hook(Box::new(move |panic| {
                give_back();
                before(panic);
            }));
        });
        let taken = Self(());
        taken.again()?;
        Ok(taken)
    }

    /// Takes it over once more: this process was stopped, and others have used it meanwhile.
    ///
    /// # Errors
    ///
    /// Returns why it is gone.
    pub(super) fn again(&self) -> io::Result<()> {
        let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
        let is_taken = found.is_some();
        let mut raw = match found.take() {
            Some(before) => before,
            None => tcgetattr(stdin())?,
        };
        *found = Some(raw.clone());
        drop(found);
        raw.make_raw();
        // A read takes what is there and never waits: what was there may have been taken by another process.
        raw.special_codes[SpecialCodeIndex::VMIN] = 0;
        raw.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(stdin(), OptionalActions::Now, &raw)?;
        if is_taken {
            // The place of the cursor is kept by the terminal, and only where the screen is left before it is taken again.
            write(commands(&[&LeaveAlternateScreen]).as_bytes())?;
        }
        write(commands(&[&EnterAlternateScreen, &Hide]).as_bytes())
    }

    /// Stops this process and those that were started with it, as the terminal itself would have. Returns when it is continued.
    pub(super) fn suspend(&self) -> io::Result<()> {
        give_back();
        // Where no shell could continue it, the kernel lets this pass.
        kill_current_process_group(Signal::TSTP)?;
        self.again()
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        give_back();
    }
}

/// Gives the terminal back, if it is taken over.
fn give_back() {
    let found = FOUND.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(found) = found {
        // A terminal that is gone needs nothing more. Its settings come first: what is written may have to wait.
        let _gone = tcsetattr(stdin(), OptionalActions::Now, &found);
        let out = stdout();
        let mut polled = [PollFd::new(&out, PollFlags::OUT)];
        if poll(&mut polled, Some(&time(STUCK))).is_ok_and(|ready| ready > 0) {
            let back = commands(&[&ResetColor, &Show, &LeaveAlternateScreen]);
            let _gone = write(back.as_bytes());
        }
    }
}

/// Writes to the terminal, past the lock of standard output: whoever holds that may be stuck.
///
/// # Errors
///
/// Returns why it is gone.
pub(super) fn write(mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(stdout(), bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::INTR) => {}
            // Whoever shares the terminal has set it so.
            Err(Errno::AGAIN) => {
                let out = stdout();
                poll(&mut [PollFd::new(&out, PollFlags::OUT)], None)?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// What is typed from now on, until the terminal is gone. It is read on a thread, for a terminal can be waited for in no other safe way.
///
/// # Errors
///
/// Returns why there is no thread.
pub(super) fn typed() -> io::Result<mpsc::Receiver<Vec<u8>>> {
    let (typed, incoming) = mpsc::channel(PIECES);
    thread::Builder::new()
        .name("dpipes-keys".to_owned())
        .spawn(move || listen(&typed))?;
    Ok(incoming)
}

/// Reads what is typed, until the terminal is gone or nobody listens.
fn listen(typed: &mpsc::Sender<Vec<u8>>) {
    let input = stdin();
    let look = time(LISTEN);
    let mut buffer = [0; TYPED];
    while !typed.is_closed() {
        let mut polled = [PollFd::new(&input, PollFlags::IN)];
        match poll(&mut polled, Some(&look)) {
            Ok(0) | Err(Errno::INTR) => continue,
            Ok(_) => {}
            Err(_) => return,
        }
        match rustix::io::read(input, &mut buffer) {
            Ok(0) if polled[0].revents() != PollFlags::IN => return,
            Ok(0) | Err(Errno::AGAIN | Errno::INTR) => {}
            Ok(length) => {
                if typed.blocking_send(buffer[..length].to_vec()).is_err() {
                    return;
                }
            }
            Err(_) => return,
        }
    }
}

/// The size of the terminal.
pub(super) fn size() -> Rect {
    let (columns, rows) = match tcgetwinsize(stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col, size.ws_row),
        _ => USUAL,
    };
    Rect::new(0, 0, columns.min(LARGEST), rows.min(LARGEST))
}

fn time(duration: Duration) -> Timespec {
    Timespec::try_from(duration).expect("what is waited for a terminal is a short time")
}

/// The bytes of commands to a terminal.
fn commands(commands: &[&dyn ToAnsi]) -> String {
    let mut bytes = String::new();
    for command in commands {
        command.append_to(&mut bytes);
    }
    bytes
}

/// A command, as an object.
trait ToAnsi {
    fn append_to(&self, bytes: &mut String);
}

impl<C: Command> ToAnsi for C {
    fn append_to(&self, bytes: &mut String) {
        // A text takes whatever is written to it.
        let _ = self.write_ansi(bytes);
    }
}

// === impl Canvas ===

impl Canvas {
    /// A canvas of which nothing is known.
    pub(super) fn new(area: Rect) -> Self {
        Self {
            shown: Buffer::empty(area),
            is_known: false,
        }
    }

    /// Its place and size.
    pub(super) const fn area(&self) -> Rect {
        self.shown.area
    }

    /// The bytes that make the terminal show what `draw` draws.
    pub(super) fn frame(&mut self, draw: impl FnOnce(Rect, &mut Buffer)) -> io::Result<Vec<u8>> {
        let area = self.area();
        let mut wanted = Buffer::empty(area);
        draw(area, &mut wanted);
        let mut bytes = Vec::new();
        if !self.is_known {
            let clean: [&dyn ToAnsi; 3] = [&ResetColor, &Clear(ClearType::All), &MoveTo(0, 0)];
            bytes.extend_from_slice(commands(&clean).as_bytes());
        }
        let changes = self.shown.diff(&wanted);
        if !changes.is_empty() {
            CrosstermBackend::new(&mut bytes).draw(changes.into_iter())?;
        }
        self.shown = wanted;
        self.is_known = true;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use ratatui::style::Style;

    use super::*;

    #[test]
    fn only_what_changes_is_written() {
        let mut canvas = Canvas::new(Rect::new(0, 0, 10, 2));
        let mut frame = |text: &str| {
            let bytes = canvas.frame(|_, buffer| {
                buffer.set_string(0, 0, text, Style::new());
            });
            String::from_utf8(bytes.unwrap()).unwrap()
        };
        assert!(frame("abc").starts_with("\u{1b}[0m\u{1b}[2J\u{1b}[1;1H"));
        assert_eq!(frame("abc"), "");
        let changed = frame("abd");
        assert!(changed.starts_with("\u{1b}[1;3Hd"), "{changed:?}");
    }

    #[test]
    fn what_is_given_back_twice_was_given_back() {
        give_back();
        give_back();
    }
}
