//! What the levels of a value are: a bit for each.

/// Levels in a word.
const WORD: usize = u64::BITS as usize;

/// What a level is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    /// Values.
    List,
    /// Members.
    Object,
}

/// The levels that are open. A hundred thousand of them take 12 KiB.
#[derive(Debug, Default)]
pub(super) struct Levels {
    /// The innermost ones, the very innermost in the lowest bit.
    near: u64,
    /// How many there are.
    depth: usize,
    /// The outer ones, by 64.
    far: Vec<u64>,
}

// === impl Levels ===

impl Levels {
    pub(super) const fn depth(&self) -> usize {
        self.depth
    }

    /// The innermost one; of none, this says that it is a list.
    #[inline(always)]
    pub(super) const fn innermost(&self) -> Level {
        if self.near & 1 == 1 {
            Level::Object
        } else {
            Level::List
        }
    }

    #[inline(always)]
    pub(super) fn open(&mut self, level: Level) {
        if self.depth > 0 && self.depth.is_multiple_of(WORD) {
            self.far.push(self.near);
        }
        self.near = (self.near << 1) | u64::from(level == Level::Object);
        self.depth += 1;
    }

    /// Closes the innermost one.
    #[inline(always)]
    pub(super) fn close(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        self.near >>= 1;
        if self.depth > 0 && self.depth.is_multiple_of(WORD) {
            self.near = self.far.pop().unwrap_or_default();
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self {
            far: std::mem::take(&mut self.far),
            ..Self::default()
        };
        self.far.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_come_back_in_the_order_in_which_they_were_opened() {
        let kind = |depth: usize| match (depth * depth / 7) % 2 {
            0 => Level::List,
            _ => Level::Object,
        };
        let mut levels = Levels::default();
        for depth in 0..1000 {
            assert_eq!(levels.depth(), depth);
            levels.open(kind(depth));
            assert_eq!(levels.innermost(), kind(depth));
        }
        for depth in (0..1000).rev() {
            assert_eq!(levels.innermost(), kind(depth));
            levels.close();
            assert_eq!(levels.depth(), depth);
        }
    }
}
