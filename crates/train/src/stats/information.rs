//! Entropy and what follows from it.

use gradus_core::{Code, Error, Result};
use libm::log;

use super::{pairs, sound};

/// In what information is measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unit {
    /// By natural logarithms, as losses are.
    #[default]
    Nats,
    /// By logarithms to base 2: yes or no questions.
    Bits,
}

impl Unit {
    fn of(self, nats: f64) -> f64 {
        match self {
            Unit::Nats => nats,
            Unit::Bits => nats / std::f64::consts::LN_2,
        }
    }
}

/// Weights as probabilities: not negative, divided by their sum.
fn distribution(what: &str, weights: &[f64]) -> Result<Vec<f64>> {
    sound(what, weights, 1)?;
    let sum: f64 = weights.iter().sum();
    match weights.iter().find(|&&w| w < 0.0) {
        Some(w) => Err(Error::new(Code::Data, format!("{what}: a probability is {w}"))),
        None if sum <= 0.0 => Err(Error::new(Code::Data, format!("{what}: all weights are 0"))),
        None => Ok(weights.iter().map(|w| w / sum).collect()),
    }
}

fn two(what: &str, p: &[f64], q: &[f64]) -> Result<(Vec<f64>, Vec<f64>)> {
    pairs(what, p, q)?;
    Ok((distribution(what, p)?, distribution(what, q)?))
}

/// Shannon's entropy of a distribution, or of counts: `-sum(p ln p)`, with `0 ln 0 = 0`. It is 0 where
/// one thing is sure and `ln n` where n things are equally likely. Weights are divided by their sum.
///
/// # Errors
/// [`Code::Data`] for weights that are negative, not finite, or all 0.
///
/// ```
/// use gradus_train::stats::{Unit, entropy};
/// assert_eq!(entropy(&[5.0, 5.0, 5.0, 5.0], Unit::Bits)?, 2.0);
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub fn entropy(p: &[f64], unit: Unit) -> Result<f64> {
    let p = distribution("entropy", p)?;
    Ok(unit.of(p.iter().map(|&p| surprise(p, p)).sum()))
}

/// The entropy of a coin that falls on one side with probability `p`.
///
/// # Errors
/// [`Code::Argument`] when `p` is not in 0 to 1.
pub fn binary_entropy(p: f64, unit: Unit) -> Result<f64> {
    if !(0.0..=1.0).contains(&p) {
        let title = format!("binary_entropy: a probability is {p}");
        return Err(Error::new(Code::Argument, title));
    }
    Ok(unit.of(surprise(p, p) + surprise(1.0 - p, 1.0 - p)))
}

/// `-p ln q`, 0 where `p` is.
fn surprise(p: f64, q: f64) -> f64 {
    if p > 0.0 { -p * log(q) } else { 0.0 }
}

/// The mean surprise at things that come as `p` says of somebody who believes `q`:
/// `-sum(p ln q)`. Not the same the other way round. Infinite where `q` rules out what `p` does not.
///
/// # Errors
/// As [`entropy`], and when the lengths differ.
///
/// ```
/// use gradus_train::stats::{Unit, cross_entropy};
/// assert_eq!(cross_entropy(&[1.0, 0.0], &[0.25, 0.75], Unit::Bits)?, 2.0);
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub fn cross_entropy(p: &[f64], q: &[f64], unit: Unit) -> Result<f64> {
    let (p, q) = two("cross_entropy", p, q)?;
    Ok(unit.of(p.iter().zip(&q).map(|(&p, &q)| surprise(p, q)).sum()))
}

/// Kullback and Leibler's divergence: what `q` costs beyond the entropy of `p`, `sum(p ln(p / q))`.
///
/// # Errors
/// As [`cross_entropy`].
pub fn kl_divergence(p: &[f64], q: &[f64], unit: Unit) -> Result<f64> {
    let (p, q) = two("kl_divergence", p, q)?;
    Ok(unit.of(divergence(&p, &q)))
}

fn divergence(p: &[f64], q: &[f64]) -> f64 {
    p.iter().zip(q).map(|(&p, &q)| if p > 0.0 { p * log(p / q) } else { 0.0 }).sum()
}

/// Jensen and Shannon's divergence: the mean divergence of both from their mean. The same both ways,
/// and at most 1 bit. (SciPy's `jensenshannon` is its root.)
///
/// # Errors
/// As [`cross_entropy`].
pub fn js_divergence(p: &[f64], q: &[f64], unit: Unit) -> Result<f64> {
    let (p, q) = two("js_divergence", p, q)?;
    let mean: Vec<f64> = p.iter().zip(&q).map(|(p, q)| 0.5 * (p + q)).collect();
    Ok(unit.of(0.5 * (divergence(&p, &mean) + divergence(&q, &mean))))
}
