//! Parts and orders of a dataset: lists of row numbers, no copies.

use gradus_core::{Code, Error, Result};

use crate::dataset::Dataset;
use crate::rng::{Draws, Purpose, permutation};

impl Dataset {
    /// Splits into a first part of `fraction` of the samples and the rest, for example to train and
    /// to test: `split(0.8, 17)`.
    ///
    /// The same data, fraction and seed give the same parts for ever. With class targets each part
    /// has the classes in the proportion of the whole, as exactly as whole samples allow (largest
    /// remainder). Both parts are in random order, so a file sorted by class does no harm.
    ///
    /// ```
    /// let digits = gradus_data::digits()?;
    /// let (train, test) = digits.split(0.8, 17)?;
    /// assert_eq!(train.len() + test.len(), digits.len());
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Code::Argument`] when the fraction is not between 0 and 1, or a part would be empty.
    pub fn split(&self, fraction: f64, seed: u64) -> Result<(Dataset, Dataset)> {
        let first = self.part("split", "the first part", fraction)?;
        let mut parts = self.stratify(&[first, self.len() - first], seed)?.into_iter();
        match (parts.next(), parts.next()) {
            (Some(first), Some(second)) => Ok((first, second)),
            _ => Err(Error::internal("split: a part is missing")),
        }
    }

    /// Splits into three: to train on, to choose settings by (`valid` of the samples), and to
    /// measure the result once (`test` of the samples). As [`split`](Dataset::split) otherwise.
    ///
    /// ```
    /// let (train, valid, test) = gradus_data::digits()?.split3(0.1, 0.2, 17)?;
    /// assert_eq!((train.len(), valid.len(), test.len()), (1258, 180, 359));
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Code::Argument`] when a fraction is not between 0 and 1, they leave nothing to train on,
    /// or a part would be empty.
    pub fn split3(&self, valid: f64, test: f64, seed: u64) -> Result<(Dataset, Dataset, Dataset)> {
        let held_v = self.part("split3", "the validation part", valid)?;
        let held_t = self.part("split3", "the test part", test)?;
        let train = self.len().checked_sub(held_v.saturating_add(held_t)).filter(|&n| n > 0);
        let Some(train) = train else {
            return Err(Error::new(
                Code::Argument,
                format!("split3: fractions {valid} and {test} leave nothing to train on"),
            )
            .line("samples", self.len().to_string())
            .help("the two fractions must add up to less than 1"));
        };
        let mut parts = self.stratify(&[train, held_v, held_t], seed)?.into_iter();
        match (parts.next(), parts.next(), parts.next()) {
            (Some(train), Some(valid), Some(test)) => Ok((train, valid, test)),
            _ => Err(Error::internal("split3: a part is missing")),
        }
    }

    /// The samples of a fraction, checked: neither none nor all.
    fn part(&self, call: &str, what: &str, fraction: f64) -> Result<usize> {
        let n = self.len();
        if !(fraction > 0.0 && fraction < 1.0) {
            return Err(Error::new(
                Code::Argument,
                format!("{call}: the fraction of {what} is {fraction}, it must be between 0 and 1"),
            )
            .help("0.8 keeps 80 % of the samples"));
        }
        let part = (fraction * n as f64).round() as usize;
        if part == 0 || part >= n {
            return Err(Error::new(
                Code::Argument,
                format!("{call}: {fraction} of {n} samples would leave a part empty"),
            )
            .line("parts", format!("{} and {}", part.min(n), n.saturating_sub(part)))
            .line("in", format!("`{}`", self.name()))
            .help("use more samples or another fraction"));
        }
        Ok(part)
    }

    /// Parts of the given sizes, which add up to all samples, each with the classes in proportion.
    ///
    /// One walk through a random order gives each sample to the first part that still wants one of
    /// its class.
    fn stratify(&self, sizes: &[usize], seed: u64) -> Result<Vec<Dataset>> {
        // Regression is the case of one class.
        let classes = self.classes().unwrap_or(1);
        let class_of = |position: usize| {
            self.rows.get(position).and_then(|row| self.class_of(row)).unwrap_or(0)
        };
        let mut left = vec![0usize; classes];
        for position in 0..self.len() {
            if let Some(count) = left.get_mut(class_of(position)) {
                *count += 1;
            }
        }
        let mut wanted: Vec<Vec<usize>> = Vec::with_capacity(sizes.len());
        for &size in sizes {
            let quotas = apportion(size, &left);
            for (count, quota) in left.iter_mut().zip(&quotas) {
                *count -= (*quota).min(*count);
            }
            wanted.push(quotas);
        }
        let mut members: Vec<Vec<usize>> = sizes.iter().map(|&n| Vec::with_capacity(n)).collect();
        for position in Draws::new(Purpose::Split, seed).permutation(self.len()) {
            let class = class_of(position);
            for (member, quotas) in members.iter_mut().zip(&mut wanted) {
                match quotas.get_mut(class) {
                    Some(quota) if *quota > 0 => {
                        *quota -= 1;
                        member.push(position);
                        break;
                    }
                    _ => {}
                }
            }
        }
        if members.iter().map(Vec::len).ne(sizes.iter().copied()) {
            return Err(Error::internal("split: the parts have other sizes than planned"));
        }
        members.iter().map(|positions| self.subset(positions)).collect()
    }

    /// The samples at these positions, in their order; a position may appear more than once.
    ///
    /// ```
    /// let odd: Vec<usize> = (0..100).filter(|i| i % 2 == 1).collect();
    /// assert_eq!(gradus_data::digits()?.subset(&odd)?.len(), 50);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Code::Index`] when a position is not below [`len`](Dataset::len).
    pub fn subset(&self, positions: &[usize]) -> Result<Dataset> {
        match self.rows.select(positions) {
            Ok(rows) => Ok(self.view(rows)),
            Err(position) => Err(self.no_such_sample(position)),
        }
    }

    /// The first `n` samples, or all if there are fewer.
    #[must_use]
    pub fn take(&self, n: usize) -> Dataset {
        self.view(self.rows.slice(0, n))
    }

    /// All but the first `n` samples.
    #[must_use]
    pub fn skip(&self, n: usize) -> Dataset {
        self.view(self.rows.slice(n, self.len()))
    }

    /// The same samples in random order: another order for each `seed`, for example the number of
    /// the epoch, and the same order for ever for the same seed and number of samples
    /// (see [`permutation`]). With several runs in one program, `shuffled(mix(seed, epoch))`.
    #[must_use]
    pub fn shuffled(&self, seed: u64) -> Dataset {
        // A permutation has no position that is not there.
        match self.rows.select(&permutation(self.len(), seed)) {
            Ok(rows) => self.view(rows),
            Err(_) => self.clone(),
        }
    }
}

/// Shares `size` seats among classes in proportion to `counts` by largest remainder; equal
/// remainders go to the lower class id. In whole numbers, so exact. No class gets more than it has.
fn apportion(size: usize, counts: &[usize]) -> Vec<usize> {
    let total: usize = counts.iter().sum();
    let (size, total) = (size as u128, (total as u128).max(1));
    let mut quotas: Vec<usize> = Vec::with_capacity(counts.len());
    let mut remainders: Vec<(u128, usize)> = Vec::with_capacity(counts.len());
    for (class, &count) in counts.iter().enumerate() {
        let product = size * count as u128; // both below 2^64
        quotas.push((product / total) as usize);
        remainders.push((product % total, class));
    }
    let given: usize = quotas.iter().sum();
    remainders.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    for &(_, class) in remainders.iter().take((size as usize).saturating_sub(given)) {
        if let Some(quota) = quotas.get_mut(class) {
            *quota += 1;
        }
    }
    quotas
}

#[cfg(test)]
mod tests {
    use super::apportion;

    #[test]
    fn seats_are_shared_by_largest_remainder() {
        assert_eq!(apportion(8, &[5, 5]), [4, 4]);
        assert_eq!(apportion(5, &[3, 3, 3]), [2, 2, 1]);
        assert_eq!(apportion(9, &[100, 1, 0]), [9, 0, 0]);
        assert_eq!(apportion(101, &[100, 1, 0]), [100, 1, 0]);
        assert_eq!(apportion(0, &[4]), [0]);
        assert_eq!(apportion(3, &[]), Vec::<usize>::new());
    }
}
