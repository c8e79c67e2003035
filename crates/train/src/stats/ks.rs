//! Whether two samples come from one distribution, of whatever form.

use gradus_core::Result;
use libm::sqrt;

use super::sound;
use super::special::kolmogorov_tail;

/// What the test of Kolmogorov and Smirnov says.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Ks {
    /// The largest distance of the two cumulative distributions.
    pub statistic: f64,
    /// The probability of a distance at least as large, if the distribution is one.
    pub p: f64,
    /// Whether `p` is exact; for more than 10 million pairs it is the limit of large samples.
    pub exact: bool,
}

/// The test of Kolmogorov and Smirnov of two samples, to either side: whether a column in new data
/// still has the distribution that it had in training.
///
/// Values are taken as continuous; equal ones make `p` too large, if anything. Source: Smirnov, 1939;
/// the exact probability is that of a random path leaving a band (Hodges, 1958).
///
/// # Errors
/// [`Code::Data`](gradus_core::Code::Data) for an empty sample, or a value that is not finite.
///
/// ```
/// use gradus_train::stats::ks_test;
/// let test = ks_test(&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0])?;
/// assert!((test.statistic, test.exact) == (1.0, true) && (test.p - 0.1).abs() < 1e-12);
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub fn ks_test(x: &[f64], y: &[f64]) -> Result<Ks> {
    sound("ks_test", x, 1)?;
    sound("ks_test", y, 1)?;
    let sorted = |values: &[f64]| {
        let mut values = values.to_vec();
        values.sort_unstable_by(f64::total_cmp);
        values
    };
    let (x, y) = (sorted(x), sorted(y));
    let (n, m) = (x.len(), y.len());
    // The distance times n m is a whole number.
    let (mut i, mut j, mut most) = (0, 0, 0);
    while let (Some(a), Some(b)) = (x.get(i), y.get(j)) {
        let at = a.min(*b);
        i += x.iter().skip(i).take_while(|v| **v <= at).count();
        j += y.iter().skip(j).take_while(|v| **v <= at).count();
        most = most.max((i * m).abs_diff(j * n));
    }
    let statistic = most as f64 / (n as f64 * m as f64);
    let exact = n.saturating_mul(m) <= 10_000_000;
    let p = if exact {
        outside(n, m, most)
    } else {
        let (n, m) = (n as f64, m as f64);
        kolmogorov_tail(statistic * sqrt(n * m / (n + m)))
    };
    Ok(Ks { statistic, p, exact })
}

/// The probability that a random path of `n` steps right and `m` up is ever at least `most` from the
/// diagonal: at each point, that of where it came from.
fn outside(n: usize, m: usize, most: usize) -> f64 {
    let mut row = vec![0.0; m + 1];
    for i in 0..=n {
        for j in 0..=m {
            let left = if i > 0 { row.get(j).copied().unwrap_or(0.0) } else { 0.0 };
            let below = if j > 0 { row.get(j - 1).copied().unwrap_or(0.0) } else { 0.0 };
            let here = if (i * m).abs_diff(j * n) >= most {
                1.0
            } else {
                (left * i as f64 + below * j as f64) / (i + j).max(1) as f64
            };
            if let Some(cell) = row.get_mut(j) {
                *cell = here;
            }
        }
    }
    row.last().copied().unwrap_or(f64::NAN)
}
