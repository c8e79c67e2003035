//! Statistics of measurements: tests of hypotheses, correlations, entropies.
//!
//! For looking at data and comparing models: whether two runs over several seeds differ
//! ([`t_test_two`]), whether a feature drifts ([`ks_test`]), how even classes are ([`entropy`]). All
//! take slices of f64 and compute in f64; nothing here is differentiated. For tensors there are
//! `corrcoef`, `cov`, `entr` and `kl_div`, which are.
//!
//! ```
//! use gradus_train::stats::{Alternative, t_test_two};
//! let (a, b) = ([0.912, 0.921, 0.917, 0.915], [0.903, 0.909, 0.906, 0.911]);
//! let test = t_test_two(&a, &b, Alternative::TwoSided)?;
//! assert!(test.p < 0.05);
//! # Ok::<(), gradus_core::Error>(())
//! ```
//!
//! A p value is the probability of data at least as extreme as these, if the null hypothesis holds.
//! Values agree with SciPy's.

mod correlation;
mod frequency;
mod information;
mod ks;
mod special;
mod t;

pub use correlation::{Correlation, kendall, pearson, spearman};
pub use frequency::{ChiSquare, chi_square, chi_square_independence};
pub use information::{Unit, binary_entropy, cross_entropy, entropy, js_divergence, kl_divergence};
pub use ks::{Ks, ks_test};
pub use t::{TTest, t_test, t_test_paired, t_test_pooled, t_test_two};

use gradus_core::{Code, Error, Result};

/// What would speak against the null hypothesis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Alternative {
    /// A difference to either side.
    #[default]
    TwoSided,
    /// The first is smaller.
    Less,
    /// The first is larger.
    Greater,
}

/// Fails unless there are so many values, all of them finite.
fn sound(what: &str, values: &[f64], least: usize) -> Result<()> {
    if values.len() < least {
        let title = format!("{what}: {} values are too few", values.len());
        return Err(Error::new(Code::Data, title).help(format!("it needs at least {least}")));
    }
    match values.iter().position(|v| !v.is_finite()) {
        None => Ok(()),
        Some(at) => {
            let value = values.get(at).copied().unwrap_or(f64::NAN);
            Err(Error::new(Code::Data, format!("{what}: value {at} is {value}"))
                .help("leave out what is missing first"))
        }
    }
}

/// Fails unless there are as many of the one as of the other.
fn pairs(what: &str, x: &[f64], y: &[f64]) -> Result<()> {
    if x.len() == y.len() {
        return Ok(());
    }
    let title = format!("{what}: {} values and {} do not make pairs", x.len(), y.len());
    Err(Error::new(Code::Data, title))
}

/// Mean, and the sum of squares around it.
fn moments(values: &[f64]) -> (f64, f64) {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    (mean, values.iter().map(|v| (v - mean) * (v - mean)).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of `scipy.stats.kendalltau(.., method="asymptotic")`.
    #[test]
    fn kendalls_tau_is_scipys() {
        let x = [1.0, 2.0, 2.0, 3.0, 4.0, 4.0, 4.0, 5.0, 6.0, 7.0];
        let y = [2.0, 1.0, 3.0, 3.0, 5.0, 4.0, 6.0, 5.0, 5.0, 9.0];
        let tied = kendall(&x, &y).unwrap();
        assert!((tied.coefficient - 0.7560975609756098).abs() < 1e-12, "{tied:?}");
        assert!((tied.p - 0.004002899142590934).abs() < 1e-12, "{tied:?}");
        let plain = kendall(&[1.0, 2.0, 3.0, 4.0, 5.0], &[2.0, 1.0, 4.0, 3.0, 5.0]).unwrap();
        assert!((plain.p - 0.1416446902951368).abs() < 1e-12, "{plain:?}");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let titles = [
            t_test(&[1.0], 0.0, Alternative::TwoSided).unwrap_err(),
            t_test_paired(&[1.0, 2.0], &[1.0], Alternative::Less).unwrap_err(),
            ks_test(&[], &[1.0]).unwrap_err(),
            pearson(&[1.0, f64::NAN], &[1.0, 2.0]).unwrap_err(),
            chi_square(&[1.0, 2.0], Some(&[1.0, 1.0]), 0).unwrap_err(),
            chi_square(&[1.0, 2.0], None, 1).unwrap_err(),
            chi_square_independence(&[&[1.0, 0.0], &[2.0, 0.0]], true).unwrap_err(),
            entropy(&[0.5, -0.5], Unit::Nats).unwrap_err(),
            binary_entropy(1.5, Unit::Bits).unwrap_err(),
        ]
        .map(|error| error.title().to_string());
        let words = [
            "1 values are too few",
            "2 values and 1 do not make pairs",
            "0 values are too few",
            "value 1 is NaN",
            "3 are observed, but 2 expected",
            "2 cells leave nothing",
            "0 are expected in a cell",
            "a probability is -0.5",
            "a probability is 1.5",
        ];
        for (title, words) in titles.iter().zip(words) {
            assert!(title.contains(words), "{title}");
        }
    }

    #[test]
    fn samples_without_spread_are_equal_or_surely_not() {
        let same = pearson(&[1.0, 1.0, 1.0], &[1.0, 2.0, 3.0]).unwrap();
        assert!(same.coefficient.is_nan() && same.p.is_nan());
        let sure = t_test_two(&[1.0, 1.0], &[2.0, 2.0], Alternative::TwoSided).unwrap();
        assert!(sure.statistic.is_infinite() && sure.p == 0.0, "{sure:?}");
        assert_eq!(ks_test(&[1.0, 2.0], &[1.0, 2.0]).unwrap().p, 1.0);
    }
}
