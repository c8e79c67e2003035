//! Random numbers for splits, shuffles and generated data: the same on every machine, for ever.
//!
//! They must not change with a version, a platform or a thread count, because a run that is resumed
//! or repeated has to see the same samples in the same order. So the algorithm is written out here
//! and its results are pinned by tests, instead of coming from a crate that may improve.
//!
//! Draw `n` of a stream is `scramble(key + (n + 1) * GAMMA)` in wrapping 64-bit arithmetic, the
//! generator SplitMix64 (Steele, Lea and Flood, 2014) used by counter: any draw can be computed
//! without the ones before it. The key comes from the seed and the stream's purpose.

/// The odd constant nearest to 2^64 divided by the golden ratio.
const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

/// What a stream of draws is for. One seed gives unrelated streams for different purposes, so
/// `split(0.8, 17)` and `shuffled(17)` do not use the same numbers. The values are fixed for ever.
#[derive(Clone, Copy)]
pub(crate) enum Purpose {
    Shuffle = 1,
    Split = 2,
    Generate = 3,
    Mix = 4,
    Noise = 5,
}

/// The finalizer of SplitMix64: a bijection in which every input bit changes every output bit.
fn scramble(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// A stream of draws, addressed by number.
#[derive(Clone, Copy)]
pub(crate) struct Draws {
    key: u64,
}

impl Draws {
    pub(crate) fn new(purpose: Purpose, seed: u64) -> Draws {
        let purpose = scramble((purpose as u64).wrapping_mul(GAMMA));
        Draws { key: scramble(seed.wrapping_add(purpose)) }
    }

    /// 64 random bits.
    pub(crate) fn at(self, n: u64) -> u64 {
        scramble(self.key.wrapping_add(n.wrapping_add(1).wrapping_mul(GAMMA)))
    }

    /// A number below `bound` (0 if that is 0), from one draw: the high half of `draw * bound`. Its
    /// bias is at most `bound / 2^64`, too small to notice; rejecting would cost the fixed numbering.
    fn below(self, n: u64, bound: u64) -> u64 {
        ((u128::from(self.at(n)) * u128::from(bound)) >> 64) as u64
    }

    /// A real number in `[0, 1)`, from one draw.
    pub(crate) fn uniform(self, n: u64) -> f64 {
        (self.at(n) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A standard normal number, from draws `2n` and `2n + 1` (Box and Muller, 1958). `libm` rather
    /// than the system's mathematics, whose last bits differ between platforms.
    pub(crate) fn normal(self, n: u64) -> f64 {
        let n = n.wrapping_mul(2);
        let radius = (-2.0 * libm::log(1.0 - self.uniform(n))).sqrt();
        radius * libm::cos(std::f64::consts::TAU * self.uniform(n.wrapping_add(1)))
    }

    /// The numbers `0..len` in random order.
    pub(crate) fn permutation(self, len: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..len).collect();
        for last in (1..len).rev() {
            order.swap(last, self.below(last as u64, last as u64 + 1) as usize);
        }
        order
    }
}

/// The order in which [`Dataset::shuffled`](crate::Dataset::shuffled) visits `len` samples.
///
/// It depends on `len` and `seed` only, and never changes between versions or platforms: the
/// shuffle of Fisher and Yates, from the last place to the first, over SplitMix64 by counter
/// (place `i` is swapped with place `floor(draw_i * (i + 1) / 2^64)`).
///
/// ```
/// assert_eq!(gradus_data::permutation(8, 0), [3, 4, 6, 7, 5, 2, 0, 1]);
/// ```
pub fn permutation(len: usize, seed: u64) -> Vec<usize> {
    Draws::new(Purpose::Shuffle, seed).permutation(len)
}

/// One seed from two numbers, for example a run's seed and its epoch:
/// `train.shuffled(mix(seed, epoch))`. Never changes between versions or platforms.
///
/// ```
/// use gradus_data::mix;
/// assert_ne!(mix(17, 0), mix(0, 17));
/// ```
pub fn mix(seed: u64, n: u64) -> u64 {
    Draws::new(Purpose::Mix, seed).at(n)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// These numbers are a promise: a change breaks every run that is resumed.
    #[test]
    fn pinned_for_ever() {
        assert_eq!(permutation(10, 0), PERMUTATION_0);
        assert_eq!(permutation(10, 17), PERMUTATION_17);
        let folded = permutation(60_000, 3)
            .iter()
            .fold(0u64, |h, &i| scramble(h.wrapping_add(GAMMA).wrapping_add(i as u64)));
        assert_eq!(folded, FOLDED);
        assert_eq!(mix(17, 3), MIXED);
        let d = Draws::new(Purpose::Generate, 5);
        assert_eq!((d.uniform(0), d.normal(0)), DRAWN);
    }
    const PERMUTATION_0: [usize; 10] = [3, 8, 6, 7, 5, 9, 0, 1, 4, 2];
    const PERMUTATION_17: [usize; 10] = [5, 3, 8, 1, 6, 7, 0, 2, 4, 9];
    const FOLDED: u64 = 0xcca9ddea60ceaf1b;
    const MIXED: u64 = 0xcc46304fa899199b;
    const DRAWN: (f64, f64) = (0.3834518772113463, -0.9578171885411529);

    #[test]
    fn permutations_hold_every_number_once() {
        for len in [0, 1, 2, 3, 100, 1797] {
            for seed in [0, 1, u64::MAX] {
                let mut order = permutation(len, seed);
                order.sort_unstable();
                assert_eq!(order, (0..len).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn every_order_of_four_is_as_likely() {
        let mut counts = std::collections::HashMap::new();
        let rounds = 24_000u64;
        for seed in 0..rounds {
            *counts.entry(permutation(4, seed)).or_insert(0i64) += 1;
        }
        assert_eq!(counts.len(), 24);
        // 1000 expected, standard deviation 31.
        assert!(counts.values().all(|c| (c - 1000).abs() < 160), "{counts:?}");
    }

    #[test]
    fn normal_draws_have_mean_0_and_variance_1() {
        let d = Draws::new(Purpose::Generate, 1);
        let n = 100_000;
        let mean = (0..n).map(|i| d.normal(i)).sum::<f64>() / n as f64;
        let var = (0..n).map(|i| d.normal(i).powi(2)).sum::<f64>() / n as f64;
        assert!(mean.abs() < 0.015 && (var - 1.0).abs() < 0.02, "{mean} {var}");
    }
}
