//! JSON as a document in block style, as people like to read it.

use super::{
    super::{Limits, Metadata, Problem},
    Fault,
    emit::Emitter,
    plain, to_json,
};
use crate::media::Format;

/// Writes JSON text, which was found to be JSON before, as one document with its markers.
///
/// Numbers keep their spelling. Readers of YAML 1.1 take some of them for strings (`1e5`); those of 1.2 do not.
///
/// # Errors
///
/// YAML cannot say it: half of a surrogate pair, a key that is there twice.
pub(in crate::object) fn from_json(json: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
    let json = str::from_utf8(json).map_err(|error| (error.valid_up_to(), Problem::NotUtf8))?;
    let mut reader = Reader {
        json,
        at: 0,
        string: String::new(),
    };
    let mut emitter = Emitter::new();
    reader.document(&mut emitter)?;
    out.extend_from_slice(b"---\n");
    out.extend_from_slice(emitter.text().as_bytes());
    out.extend_from_slice(b"...\n");
    Ok(())
}

/// Writes a document whose root is no mapping as the member `value` of a mapping with metadata, by way of JSON.
///
/// # Errors
///
/// The text is not YAML, or JSON cannot say it.
pub(in crate::object) fn wrap(
    text: &[u8],
    add: &Metadata,
    limits: Limits,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    let mut json = br#"{"value":"#.to_vec();
    to_json(text, limits, &mut json)?;
    json.push(b'}');
    let mut document = Vec::new();
    from_json(&json, &mut document).map_err(|(_, problem)| (0, problem))?;
    out.extend_from_slice(b"---\n");
    out.extend_from_slice(add.lines().as_bytes());
    out.extend_from_slice(document.strip_prefix(b"---\n").unwrap_or(&document));
    Ok(())
}

struct Reader<'a> {
    json: &'a str,
    at: usize,
    /// The string that was read last, without quotes and escapes.
    string: String,
}

impl Reader<'_> {
    fn document(&mut self, emitter: &mut Emitter) -> Result<(), Fault> {
        while let Some(byte) = self.peek() {
            let at = self.at;
            match byte {
                b'{' | b'[' => {
                    self.at += 1;
                    let is_object = byte == b'{';
                    if matches!(self.peek(), Some(b'}' | b']')) {
                        self.at += 1;
                        emitter.scalar(if is_object { "{}" } else { "[]" });
                    } else {
                        emitter.begin(is_object);
                    }
                }
                b'}' | b']' => {
                    self.at += 1;
                    emitter.end().map_err(|(at, key)| (at, repeated(&key)))?;
                }
                b',' | b':' => self.at += 1,
                b'"' => {
                    self.string()?;
                    if emitter.wants_key() {
                        emitter.key(&self.string, at);
                    } else {
                        let is_flow = emitter.is_flow();
                        emitter.scalar_with(|text| {
                            if is_flow {
                                plain::write_quoted(&self.string, text);
                            } else {
                                plain::write(&self.string, text);
                            }
                        });
                    }
                }
                _ => {
                    let rest = &self.json[at..];
                    let is_end = |c: char| matches!(c, ',' | ']' | '}') || c.is_ascii_whitespace();
                    let token = &rest[..rest.find(is_end).unwrap_or(rest.len())];
                    self.at += token.len();
                    emitter.scalar(token);
                }
            }
        }
        Ok(())
    }

    /// The next byte that is not blank.
    fn peek(&mut self) -> Option<u8> {
        let rest = &self.json.as_bytes()[self.at..];
        let blank = rest.iter().take_while(|byte| byte.is_ascii_whitespace());
        self.at += blank.count();
        self.json.as_bytes().get(self.at).copied()
    }

    /// Reads a string whose opening quote is here.
    fn string(&mut self) -> Result<(), Fault> {
        self.string.clear();
        self.at += 1;
        loop {
            let rest = &self.json[self.at..];
            let length = rest.find(['"', '\\']).ok_or_else(|| self.ended())?;
            self.string.push_str(&rest[..length]);
            self.at += length + 1;
            if rest.as_bytes()[length] == b'"' {
                return Ok(());
            }
            let c = self.escape()?;
            self.string.push(c);
        }
    }

    /// Reads what follows a backslash.
    fn escape(&mut self) -> Result<char, Fault> {
        let start = self.at - 1;
        let letter = *self
            .json
            .as_bytes()
            .get(self.at)
            .ok_or_else(|| self.ended())?;
        self.at += 1;
        Ok(match letter {
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.unit()?;
                let mut units = [first, 0];
                let mut count = 1;
                if (0xd800..0xdc00).contains(&first) && self.json[self.at..].starts_with("\\u") {
                    self.at += 2;
                    units[1] = self.unit()?;
                    count = 2;
                }
                let mut decoded = char::decode_utf16(units[..count].iter().copied());
                match (decoded.next(), decoded.next()) {
                    (Some(Ok(c)), None) => c,
                    _ => {
                        let problem = Problem::Inexpressible {
                            what: "half of a surrogate pair".to_owned(),
                            to: Format::Yaml,
                        };
                        return Err((start, problem));
                    }
                }
            }
            other => char::from(other),
        })
    }

    /// Reads four digits.
    fn unit(&mut self) -> Result<u16, Fault> {
        let digits = self.json.get(self.at..self.at + 4);
        let unit = digits.and_then(|digits| u16::from_str_radix(digits, 16).ok());
        let unit = unit.ok_or_else(|| self.ended())?;
        self.at += 4;
        Ok(unit)
    }

    fn ended(&self) -> Fault {
        let wanted = "the rest of a string";
        (self.at, Problem::Ended { wanted })
    }
}

fn repeated(key: &str) -> Problem {
    Problem::Inexpressible {
        what: format!("the key {key:?} twice in one object"),
        to: Format::Yaml,
    }
}
