//! Student's tests of means.

use gradus_core::Result;
use libm::sqrt;

use super::special::{t_quantile, t_two_sided};
use super::{Alternative, moments, pairs, sound};

/// What a test of means says.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct TTest {
    /// The difference over its standard error.
    pub statistic: f64,
    /// The probability of a statistic at least as extreme, if there is no difference.
    pub p: f64,
    /// Degrees of freedom.
    pub df: f64,
    /// The mean, or the difference of means, that was found.
    pub estimate: f64,
    /// The standard error of the estimate.
    pub error: f64,
    alternative: Alternative,
}

impl TTest {
    fn new(estimate: f64, null: f64, error: f64, df: f64, alternative: Alternative) -> TTest {
        let statistic = (estimate - null) / error;
        let outside = t_two_sided(statistic, df);
        let p = match alternative {
            Alternative::TwoSided => outside,
            Alternative::Greater if statistic > 0.0 => 0.5 * outside,
            Alternative::Less if statistic < 0.0 => 0.5 * outside,
            Alternative::Greater | Alternative::Less => 1.0 - 0.5 * outside,
        };
        TTest { statistic, p, df, estimate, error, alternative }
    }

    /// Where the true value is with a confidence such as 0.95; open to one side for one-sided tests.
    /// NaN for a confidence that is not between 0 and 1.
    ///
    /// ```
    /// use gradus_train::stats::{Alternative, t_test};
    /// let test = t_test(&[0.91, 0.92, 0.93], 0.9, Alternative::TwoSided)?;
    /// let (low, high) = test.interval(0.95);
    /// assert!(low < 0.9 && high > 0.94, "{low} {high}");
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    pub fn interval(&self, confidence: f64) -> (f64, f64) {
        if !(confidence > 0.0 && confidence < 1.0) {
            return (f64::NAN, f64::NAN);
        }
        let tail = 1.0 - confidence;
        let side = |tail: f64| match tail > 0.5 {
            true => -t_quantile(1.0 - tail, self.df) * self.error,
            false => t_quantile(tail, self.df) * self.error,
        };
        let (mean, inf) = (self.estimate, f64::INFINITY);
        match self.alternative {
            Alternative::TwoSided => (mean - side(0.5 * tail), mean + side(0.5 * tail)),
            Alternative::Less => (-inf, mean + side(tail)),
            Alternative::Greater => (mean - side(tail), inf),
        }
    }
}

/// Whether values come from a normal distribution of a given mean: the one-sample t-test.
///
/// # Errors
/// [`Code::Data`](gradus_core::Code::Data) for fewer than 2 values, or one that is not finite.
///
/// ```
/// use gradus_train::stats::{Alternative, t_test};
/// let test = t_test(&[1.0, 2.0, 3.0, 4.0], 0.0, Alternative::TwoSided)?;
/// assert!((test.statistic - 3.872983346207417).abs() < 1e-12);
/// assert!((test.p - 0.0304662).abs() < 1e-6);
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub fn t_test(x: &[f64], mean: f64, alternative: Alternative) -> Result<TTest> {
    sound("t_test", x, 2)?;
    let n = x.len() as f64;
    let (found, around) = moments(x);
    Ok(TTest::new(found, mean, sqrt(around / (n - 1.0) / n), n - 1.0, alternative))
}

/// Whether two independent samples come from normal distributions of one mean, whatever their
/// variances: Welch's t-test.
///
/// Source: Welch, *The generalization of Student's problem when several different population
/// variances are involved*, 1947.
///
/// # Errors
/// As [`t_test`].
pub fn t_test_two(x: &[f64], y: &[f64], alternative: Alternative) -> Result<TTest> {
    sound("t_test_two", x, 2)?;
    sound("t_test_two", y, 2)?;
    let of = |values: &[f64]| {
        let n = values.len() as f64;
        let (mean, around) = moments(values);
        (mean, around / (n - 1.0) / n, n)
    };
    let ((a, va, n), (b, vb, m)) = (of(x), of(y));
    let df = (va + vb) * (va + vb) / (va * va / (n - 1.0) + vb * vb / (m - 1.0));
    // Two samples without any spread differ surely or not at all.
    let df = if df.is_nan() { n + m - 2.0 } else { df };
    Ok(TTest::new(a - b, 0.0, sqrt(va + vb), df, alternative))
}

/// As [`t_test_two`], of distributions that have the same variance: Student's t-test.
///
/// # Errors
/// As [`t_test`].
pub fn t_test_pooled(x: &[f64], y: &[f64], alternative: Alternative) -> Result<TTest> {
    sound("t_test_pooled", x, 2)?;
    sound("t_test_pooled", y, 2)?;
    let (n, m) = (x.len() as f64, y.len() as f64);
    let ((a, around), (b, other)) = (moments(x), moments(y));
    let df = n + m - 2.0;
    let error = sqrt((around + other) / df * (1.0 / n + 1.0 / m));
    Ok(TTest::new(a - b, 0.0, error, df, alternative))
}

/// Whether the differences of pairs have the mean 0: for two models measured on the same folds or
/// with the same seeds. It sees more than [`t_test_two`], because what pairs have in common drops out.
///
/// # Errors
/// As [`t_test`], and when there are not as many of the one as of the other.
pub fn t_test_paired(x: &[f64], y: &[f64], alternative: Alternative) -> Result<TTest> {
    pairs("t_test_paired", x, y)?;
    sound("t_test_paired", x, 2)?;
    sound("t_test_paired", y, 2)?;
    let differences: Vec<f64> = x.iter().zip(y).map(|(x, y)| x - y).collect();
    t_test(&differences, 0.0, alternative)
}
