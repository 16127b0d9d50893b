//! Numbers that look random and are the same everywhere.

/// SplitMix64. Written out here because the samples must have the same bytes on every machine and in every version, which no crate of
/// random numbers promises; there is nothing to guess that were worth guessing.
pub(super) struct Random(u64);

/// A choice of which some outcomes are likelier than others. Whole numbers only: what `powf` gives differs between machines.
pub(super) struct Chances {
    /// For each outcome the weights up to and including its own.
    sums: Vec<u64>,
}

/// The weight of the first rank of [`Chances::zipf`]: divided by some thousand ranks it is still exact to a thousandth.
const FIRST_RANK: u64 = 1 << 32;

// === impl Random ===

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// One of the numbers from 0 up to this one without it.
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(limit)) >> 64) as u64
    }

    /// One of these, each as likely as the others.
    pub(super) fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }
}

// === impl Chances ===

impl Chances {
    /// The second half as likely as the first, the third a third, as words are in a text.
    pub(super) fn zipf(outcomes: usize) -> Self {
        Self::weighing((1..=outcomes as u64).map(|rank| FIRST_RANK / rank))
    }

    /// As likely as these weights say.
    pub(super) fn weighing(weights: impl IntoIterator<Item = u64>) -> Self {
        let sums = weights.into_iter().scan(0, |sum, weight| {
            *sum += weight;
            Some(*sum)
        });
        Self {
            sums: sums.collect(),
        }
    }

    /// The place of the outcome that it is this time.
    pub(super) fn draw(&self, random: &mut Random) -> usize {
        let drawn = random.below(self.sums.last().copied().unwrap_or_default());
        self.sums.partition_point(|&sum| sum <= drawn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first numbers of the published reference for seed 1234567.
    #[test]
    fn the_numbers_are_those_of_splitmix64() {
        let mut random = Random::new(1_234_567);
        let first = [random.next(), random.next(), random.next()];
        let published = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
        ];
        assert_eq!(first, published);
    }

    #[test]
    fn every_outcome_is_drawn_as_often_as_it_weighs() {
        let chances = Chances::weighing([6, 0, 3, 1]);
        let mut random = Random::new(1);
        let mut drawn = [0_u32; 4];
        for _ in 0..10_000 {
            drawn[chances.draw(&mut random)] += 1;
        }
        for (times, wanted) in drawn.into_iter().zip([6_000, 0, 3_000, 1_000]) {
            assert!(times.abs_diff(wanted) < 200, "{drawn:?}");
        }
    }
}
