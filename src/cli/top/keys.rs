//! Keys: from the bytes of a terminal to what is meant by them.

use super::{dialog::Mode, model::Sort};

/// Bytes of an escape sequence at most: what is longer is none that is known, and is dropped.
const LONGEST: usize = 32;

/// A key, as a terminal tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// A character.
    Char(char),
    /// Control and a letter.
    Control(char),
    /// A function key.
    F(u8),
    Enter,
    Escape,
    Tab,
    Backspace,
    Up,
    Down,
    Left,
    Right,
    PageUp,
    PageDown,
    Home,
    End,
}

/// What a key means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Quit,
    Suspend,
    Redraw,
    Step(isize),
    Page(isize),
    First,
    Last,
    Stage { forward: bool },
    Sort(Sort),
    NextSort { forward: bool },
    Invert,
    SwitchPane,
    Pause,
    Help,
    Filter,
    Kill,
    Signal,
    Yes,
    Cancel,
    Accept,
    Type(char),
    Erase,
}

/// Makes keys of bytes, which may be cut anywhere.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    pending: Vec<u8>,
}

/// What a key means now.
pub(super) fn action(mode: &Mode, key: Key) -> Option<Action> {
    match key {
        Key::Control('c') | Key::F(10) => return Some(Action::Quit),
        Key::Control('z') => return Some(Action::Suspend),
        Key::Control('l') => return Some(Action::Redraw),
        _ => {}
    }
    match mode {
        Mode::Table => in_table(key),
        Mode::Help => Some(Action::Cancel),
        Mode::Filter { .. } => match key {
            Key::Char(c) => Some(Action::Type(c)),
            Key::Backspace => Some(Action::Erase),
            Key::Enter => Some(Action::Accept),
            Key::Escape => Some(Action::Cancel),
            Key::Up => Some(Action::Step(-1)),
            Key::Down => Some(Action::Step(1)),
            _ => None,
        },
        // Whatever is not a clear yes is a no, but for keys that slip.
        Mode::Kill(_) => match key {
            Key::Char('y' | 'Y') => Some(Action::Yes),
            Key::Char(_) | Key::Escape | Key::Enter => Some(Action::Cancel),
            _ => None,
        },
        Mode::Signal { .. } => match key {
            Key::Enter => Some(Action::Accept),
            Key::Up => Some(Action::Step(-1)),
            Key::Down => Some(Action::Step(1)),
            Key::Left => Some(Action::Stage { forward: false }),
            Key::Right => Some(Action::Stage { forward: true }),
            Key::Escape | Key::Char('q' | 'n') => Some(Action::Cancel),
            _ => None,
        },
    }
}

fn in_table(key: Key) -> Option<Action> {
    Some(match key {
        Key::Char('q') => Action::Quit,
        Key::Char('k') | Key::F(9) => Action::Kill,
        Key::Char('s') => Action::Signal,
        Key::Char(' ') => Action::Pause,
        Key::Char('h' | '?') | Key::F(1) => Action::Help,
        Key::Char('/') | Key::F(4) => Action::Filter,
        Key::Char('P') => Action::Sort(Sort::Age),
        Key::Char('T') => Action::Sort(Sort::Time),
        Key::Char('R') => Action::Sort(Sort::Rate),
        Key::Char('I') => Action::Invert,
        Key::Char('>') | Key::F(6) => Action::NextSort { forward: true },
        Key::Char('<') => Action::NextSort { forward: false },
        Key::Char('n') | Key::Tab => Action::SwitchPane,
        Key::Up => Action::Step(-1),
        Key::Down => Action::Step(1),
        Key::PageUp => Action::Page(-1),
        Key::PageDown => Action::Page(1),
        Key::Home | Key::Char('g') => Action::First,
        Key::End | Key::Char('G') => Action::Last,
        Key::Left => Action::Stage { forward: false },
        Key::Right => Action::Stage { forward: true },
        Key::Escape => Action::Cancel,
        _ => return None,
    })
}

// === impl Decoder ===

impl Decoder {
    /// The keys in these bytes. An escape at their end is the key of that name: terminals write sequences at once.
    pub(super) fn keys(&mut self, bytes: &[u8]) -> Vec<Key> {
        self.pending.extend_from_slice(bytes);
        let all = std::mem::take(&mut self.pending);
        let mut rest = all.as_slice();
        let mut keys = Vec::new();
        while !rest.is_empty() {
            let Some((key, length)) = first(rest) else {
                break;
            };
            keys.extend(key);
            rest = &rest[length..];
        }
        if rest.len() <= LONGEST {
            self.pending = rest.to_vec();
        }
        keys
    }
}

/// The first key and how many bytes it takes; no key where there is none for what stands there, and nothing where more must come.
fn first(bytes: &[u8]) -> Option<(Option<Key>, usize)> {
    Some(match bytes {
        [b'\x1b'] => (Some(Key::Escape), 1),
        // Some terminals write the escape of Alt before the sequence of a key.
        [b'\x1b', b'\x1b', ..] => (Some(Key::Escape), 1),
        [b'\x1b', b'[', b'[', rest @ ..] => (console_key(*rest.first()?), 4),
        [b'\x1b', b'[', rest @ ..] => {
            let end = rest.iter().position(|byte| (0x40..=0x7e).contains(byte))?;
            (sequence(&rest[..end], rest[end]), end + 3)
        }
        [b'\x1b', b'O', rest @ ..] => (sequence(&[], *rest.first()?), 3),
        // Alt and a character means nothing here.
        [b'\x1b', ..] => (None, 2),
        [b'\r' | b'\n', ..] => (Some(Key::Enter), 1),
        [b'\t', ..] => (Some(Key::Tab), 1),
        [0x7f | 0x08, ..] => (Some(Key::Backspace), 1),
        [byte @ 0x01..=0x1a, ..] => (Some(Key::Control(char::from(byte + b'a' - 1))), 1),
        _ => return character(bytes),
    })
}

/// A character of UTF-8; bytes that are none are passed over.
fn character(bytes: &[u8]) -> Option<(Option<Key>, usize)> {
    let chunk = bytes.utf8_chunks().next()?;
    let Some(c) = chunk.valid().chars().next() else {
        let broken = chunk.invalid().len();
        let may_go_on = broken == bytes.len() && broken < 4 && bytes[0] >= 0xc2;
        return (!may_go_on).then_some((None, broken));
    };
    let key = (!c.is_control()).then_some(Key::Char(c));
    Some((key, c.len_utf8()))
}

/// A key of the kind `ESC [ 5 ; 2 ~`. What was held down with it is of no concern.
fn sequence(parameters: &[u8], end: u8) -> Option<Key> {
    Some(match end {
        b'A' => Key::Up,
        b'B' => Key::Down,
        b'C' => Key::Right,
        b'D' => Key::Left,
        b'H' => Key::Home,
        b'F' => Key::End,
        b'P'..=b'S' => Key::F(end - b'P' + 1),
        b'~' => {
            let first = parameters.split(|byte| *byte == b';').next()?;
            match std::str::from_utf8(first).ok()?.parse().ok()? {
                1 | 7 => Key::Home,
                4 | 8 => Key::End,
                5 => Key::PageUp,
                6 => Key::PageDown,
                number @ 11..=15 => Key::F(number - 10),
                number @ 17..=21 => Key::F(number - 11),
                _ => return None,
            }
        }
        _ => return None,
    })
}

/// The first five function keys of the console of Linux.
fn console_key(byte: u8) -> Option<Key> {
    matches!(byte, b'A'..=b'E').then(|| Key::F(byte - b'A' + 1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cli::top::dialog::Target;

    fn keys(bytes: &[u8]) -> Vec<Key> {
        Decoder::default().keys(bytes)
    }

    #[test]
    fn keys_of_all_usual_terminals_are_known() {
        assert_eq!(
            keys(b"q \r\t\x7f\x03"),
            [
                Key::Char('q'),
                Key::Char(' '),
                Key::Enter,
                Key::Tab,
                Key::Backspace,
                Key::Control('c'),
            ]
        );
        for (bytes, key) in [
            ("\x1b[A", Key::Up),
            ("\x1bOB", Key::Down),
            ("\x1b[1;5C", Key::Right),
            ("\x1b[5~", Key::PageUp),
            ("\x1b[6~", Key::PageDown),
            ("\x1b[1~", Key::Home),
            ("\x1bOH", Key::Home),
            ("\x1b[F", Key::End),
            ("\x1bOP", Key::F(1)),
            ("\x1b[11~", Key::F(1)),
            ("\x1b[[A", Key::F(1)),
            ("\x1b[17~", Key::F(6)),
            ("\x1b[20~", Key::F(9)),
            ("\x1b[21~", Key::F(10)),
            ("\x1b", Key::Escape),
            ("é", Key::Char('é')),
        ] {
            assert_eq!(keys(bytes.as_bytes()), [key], "{bytes:?}");
        }
        for nothing in ["\x1bq", "\x1b[99~", "\x1b[200~", "\x1b[?1;2c", "\u{85}"] {
            assert_eq!(keys(nothing.as_bytes()), [], "{nothing:?}");
        }
        assert_eq!(keys(b"\xffa\xc3"), [Key::Char('a')]);
    }

    #[test]
    fn a_sequence_without_an_end_is_given_up() {
        let mut decoder = Decoder::default();
        assert_eq!(decoder.keys(b"\x1b["), []);
        assert_eq!(decoder.keys(&[b'1'; 100]), []);
        assert_eq!(decoder.keys(b"q"), [Key::Char('q')]);
    }

    #[test]
    fn a_key_means_what_its_mode_says() {
        let target = || Target {
            pipe: crate::id::PipeId::from_u128(7),
            pipeline: "cat".to_owned(),
        };
        let kill = Mode::Kill(target());
        let signal = Mode::Signal {
            target: target(),
            at: 0,
        };
        let filter = Mode::Filter {
            text: String::new(),
        };
        for (mode, key, meant) in [
            (&Mode::Table, Key::Char('k'), Some(Action::Kill)),
            (&Mode::Table, Key::Up, Some(Action::Step(-1))),
            (&Mode::Table, Key::Char('y'), None),
            (&kill, Key::Char('y'), Some(Action::Yes)),
            (&kill, Key::Char('k'), Some(Action::Cancel)),
            (&kill, Key::Enter, Some(Action::Cancel)),
            (&kill, Key::Down, None),
            (&filter, Key::Char('q'), Some(Action::Type('q'))),
            (&filter, Key::Escape, Some(Action::Cancel)),
            (&signal, Key::Enter, Some(Action::Accept)),
            (&signal, Key::Char('q'), Some(Action::Cancel)),
            (&Mode::Help, Key::Char('q'), Some(Action::Cancel)),
        ] {
            assert_eq!(action(mode, key), meant, "{mode:?} {key:?}");
        }
        for mode in [&Mode::Table, &kill, &filter, &signal, &Mode::Help] {
            assert_eq!(
                action(mode, Key::Control('c')),
                Some(Action::Quit),
                "{mode:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_bytes_break_the_decoder(pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..8)) {
            let mut decoder = Decoder::default();
            for piece in &pieces {
                let keys = decoder.keys(piece);
                prop_assert!(keys.len() <= piece.len() + LONGEST);
                prop_assert!(decoder.pending.len() <= LONGEST);
            }
        }

        #[test]
        fn text_comes_through_however_it_is_cut(text in "[a-zé€😀]{0,20}", cut in 0_usize..80) {
            let (left, right) = text.as_bytes().split_at(cut.min(text.len()));
            let mut decoder = Decoder::default();
            let keys = [decoder.keys(left), decoder.keys(right)].concat();
            prop_assert_eq!(keys, text.chars().map(Key::Char).collect::<Vec<_>>());
        }
    }
}
