//! Eight bytes at a time, in a word of the machine.

/// Bytes in a word.
const LANES: usize = size_of::<u64>();

/// The lowest bit of each byte.
const LOW: u64 = u64::from_le_bytes([0x01; LANES]);

/// The highest bit of each byte.
const HIGH: u64 = u64::from_le_bytes([0x80; LANES]);

/// Where the first byte from here on is that means something in a string: a quotation mark, a backslash or a control character.
#[inline(always)]
pub(super) fn find_special(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while let Some(lanes) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        let found = special(u64::from_le_bytes(*lanes));
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        at += LANES;
    }
    let tail = bytes.get(at..)?;
    let is_special = |&byte: &u8| byte < 0x20 || byte == b'"' || byte == b'\\';
    Some(at + tail.iter().position(is_special)?)
}

/// The highest bit of each byte that is special. A borrow may mark a byte after one that is, so only the first one counts.
#[inline(always)]
const fn special(word: u64) -> u64 {
    let quotation = word ^ (LOW * b'"' as u64);
    let backslash = word ^ (LOW * b'\\' as u64);
    let control = word.wrapping_sub(LOW * 0x20) & !word;
    let zero =
        (quotation.wrapping_sub(LOW) & !quotation) | (backslash.wrapping_sub(LOW) & !backslash);
    (control | zero) & HIGH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_special_byte_is_found_wherever_it_stands_and_whatever_is_around_it() {
        for byte in 0..=u8::MAX {
            let special = byte < 0x20 || byte == b'"' || byte == b'\\';
            for around in [b'a', b' ', b'!', b'#', b'[', b']', 0x7f, 0x80, 0xff] {
                for at in 0..20 {
                    let mut bytes = [around; 20];
                    bytes[at] = byte;
                    let expected = special.then_some(at);
                    assert_eq!(find_special(&bytes, 0), expected, "{byte} in {around}");
                    assert_eq!(find_special(&bytes, at), expected);
                    assert_eq!(find_special(&bytes, at + 1), None);
                }
            }
        }
        assert_eq!(find_special(b"abc", 7), None);
    }
}
