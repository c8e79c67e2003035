//! How two columns go together.

use gradus_core::Result;
use libm::{atanh, sqrt, tanh};

use super::special::{normal_quantile, normal_tail, t_two_sided};
use super::{moments, pairs, sound};

/// A correlation, from -1 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Correlation {
    /// The coefficient; NaN where a column is constant.
    pub coefficient: f64,
    /// The probability of one at least as far from 0, if the columns are independent.
    pub p: f64,
    /// How many pairs.
    pub pairs: usize,
}

impl Correlation {
    /// Where Pearson's true coefficient is with a confidence such as 0.95, by Fisher's `atanh`; all
    /// of -1 to 1 for fewer than 4 pairs, NaN for a confidence that is not between 0 and 1.
    pub fn interval(&self, confidence: f64) -> (f64, f64) {
        if !(confidence > 0.0 && confidence < 1.0) {
            return (f64::NAN, f64::NAN);
        }
        if self.pairs < 4 {
            return (-1.0, 1.0);
        }
        let half = normal_quantile(0.5 * (1.0 - confidence)) / sqrt((self.pairs - 3) as f64);
        let z = atanh(self.coefficient);
        (tanh(z - half), tanh(z + half))
    }
}

/// Pearson's correlation: how near pairs are to a straight line. Its `p` takes both as normal.
///
/// # Errors
/// [`Code::Data`](gradus_core::Code::Data) for fewer than 2 pairs, values that are not finite, or
/// columns of different length.
///
/// ```
/// use gradus_train::stats::pearson;
/// let r = pearson(&[1.0, 2.0, 3.0, 4.0], &[1.0, 3.0, 2.0, 4.0])?;
/// assert!((r.coefficient - 0.8).abs() < 1e-12 && (r.p - 0.2).abs() < 1e-12);
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub fn pearson(x: &[f64], y: &[f64]) -> Result<Correlation> {
    checked("pearson", x, y)?;
    Ok(linear(x, y))
}

/// Spearman's correlation: that of the ranks, so of any rising or falling relation. Equal values have
/// their mean rank. `p` is by Student's distribution, good from about 10 pairs on.
///
/// # Errors
/// As [`pearson`].
///
/// ```
/// use gradus_train::stats::spearman;
/// assert_eq!(spearman(&[1.0, 2.0, 3.0], &[1.0, 10.0, 1000.0])?.coefficient, 1.0);
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub fn spearman(x: &[f64], y: &[f64]) -> Result<Correlation> {
    checked("spearman", x, y)?;
    Ok(linear(&ranks(x), &ranks(y)))
}

/// Kendall's tau-b: of two pairs, how much more often both columns order them alike than not; equal
/// values are accounted for. `p` is by the normal approximation, good from about 10 pairs on. Takes
/// time as the square of the number of pairs.
///
/// Source: Kendall, *The treatment of ties in ranking problems*, 1945.
///
/// # Errors
/// As [`pearson`].
///
/// ```
/// use gradus_train::stats::kendall;
/// let tau = kendall(&[1.0, 2.0, 3.0, 4.0], &[1.0, 3.0, 2.0, 4.0])?;
/// assert!((tau.coefficient - 4.0 / 6.0).abs() < 1e-12);
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub fn kendall(x: &[f64], y: &[f64]) -> Result<Correlation> {
    checked("kendall", x, y)?;
    let (mut alike, mut of_x, mut of_y) = (0i64, 0i64, 0i64);
    for (i, (a, b)) in x.iter().zip(y).enumerate() {
        for (c, d) in x.iter().zip(y).take(i) {
            let (u, v) = (order(*a, *c), order(*b, *d));
            alike += u * v;
            of_x += u * u;
            of_y += v * v;
        }
    }
    let n = x.len() as f64;
    let coefficient = alike as f64 / (sqrt(of_x as f64) * sqrt(of_y as f64));
    // Kendall, *Rank correlation methods*, 4.9: the variance with ties in both.
    let ties = |values: &[f64]| {
        let (mut sum, mut pairs, mut triples) = (0.0, 0.0, 0.0);
        for t in groups(values) {
            sum += t * (t - 1.0) * (2.0 * t + 5.0);
            pairs += t * (t - 1.0);
            triples += t * (t - 1.0) * (t - 2.0);
        }
        (sum, pairs, triples)
    };
    let ((xs, xp, xt), (ys, yp, yt)) = (ties(x), ties(y));
    let mut variance = (n * (n - 1.0) * (2.0 * n + 5.0) - xs - ys) / 18.0;
    variance += xp * yp / (2.0 * n * (n - 1.0));
    if n > 2.0 {
        variance += xt * yt / (9.0 * n * (n - 1.0) * (n - 2.0));
    }
    let p = 2.0 * normal_tail((alike as f64).abs() / sqrt(variance));
    Ok(Correlation { coefficient, p, pairs: x.len() })
}

fn order(a: f64, b: f64) -> i64 {
    i64::from(a > b) - i64::from(a < b)
}

fn checked(what: &str, x: &[f64], y: &[f64]) -> Result<()> {
    pairs(what, x, y)?;
    sound(what, x, 2)?;
    sound(what, y, 2)
}

fn linear(x: &[f64], y: &[f64]) -> Correlation {
    let n = x.len();
    let ((mx, vx), (my, vy)) = (moments(x), moments(y));
    let both: f64 = x.iter().zip(y).map(|(x, y)| (x - mx) * (y - my)).sum();
    // The root of the product is exact where both are equal, but the product may leave the range.
    let spread = if (vx * vy).is_normal() { sqrt(vx * vy) } else { sqrt(vx) * sqrt(vy) };
    let r = (both / spread).clamp(-1.0, 1.0);
    let df = n as f64 - 2.0;
    let p = if n < 3 { 1.0 } else { t_two_sided(r * sqrt(df / ((1.0 - r) * (1.0 + r))), df) };
    Correlation { coefficient: r, p: if r.is_nan() { r } else { p }, pairs: n }
}

/// Ranks from 1, the mean one for equal values.
fn ranks(values: &[f64]) -> Vec<f64> {
    let value = |i: &usize| values.get(*i).copied().unwrap_or(f64::NAN);
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| value(a).total_cmp(&value(b)));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    for group in order.chunk_by(|a, b| value(a) == value(b)) {
        let rank = before as f64 + (group.len() as f64 + 1.0) / 2.0;
        for &i in group {
            if let Some(place) = ranks.get_mut(i) {
                *place = rank;
            }
        }
        before += group.len();
    }
    ranks
}

/// How many there are of each value.
fn groups(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.chunk_by(|a, b| a == b).map(|group| group.len() as f64).collect()
}
