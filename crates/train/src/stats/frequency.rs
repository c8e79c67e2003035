//! Pearson's tests of counts.

use gradus_core::{Code, Error, Result};

use super::special::chi_square_tail;
use super::{pairs, sound};

/// What a chi-square test says.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ChiSquare {
    /// The sum of `(observed - expected)² / expected`.
    pub statistic: f64,
    /// The probability of a sum at least as large, if the expectation holds. An approximation that
    /// wants at least about 5 expected in each cell.
    pub p: f64,
    /// Degrees of freedom.
    pub df: f64,
    /// What was expected, in the order of the observed.
    pub expected: Vec<f64>,
}

/// Whether counts are as expected; as many in each cell if nothing is given. `fitted` is the number
/// of parameters that the expectation was fitted with, 0 if none.
///
/// # Errors
/// [`Code::Data`] for fewer than 2 cells, negative counts, an expectation that is not positive, or
/// sums that differ by more than a part in 10^8.
///
/// ```
/// use gradus_train::stats::chi_square;
/// let dice = chi_square(&[16.0, 18.0, 16.0, 14.0, 12.0, 12.0], None, 0)?;
/// assert!((dice.statistic - 2.0).abs() < 1e-12 && (dice.p - 0.849145).abs() < 1e-6);
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub fn chi_square(observed: &[f64], expected: Option<&[f64]>, fitted: usize) -> Result<ChiSquare> {
    let what = "chi_square";
    counts(what, observed)?;
    let total: f64 = observed.iter().sum();
    let even = vec![total / observed.len() as f64; observed.len()];
    let expected = expected.map_or(even, <[f64]>::to_vec);
    pairs(what, observed, &expected)?;
    sound(what, &expected, 2)?;
    let sum: f64 = expected.iter().sum();
    if (total - sum).abs() > 1e-8 * total.min(sum) {
        let title = format!("{what}: {total} are observed, but {sum} expected");
        return Err(Error::new(Code::Data, title).help("scale the expected to the same sum"));
    }
    let statistic = distance(what, observed, &expected, 0.0)?;
    let cells = observed.len();
    if cells < fitted + 2 {
        let title = format!("{what}: {cells} cells leave nothing after {fitted} fitted parameters");
        return Err(Error::new(Code::Data, title));
    }
    let df = (cells - 1 - fitted) as f64;
    Ok(ChiSquare { statistic, p: chi_square_tail(statistic, df), df, expected })
}

/// Whether the rows and columns of a table of counts have nothing to do with each other. `yates`
/// corrects two by two tables for the whole numbers that counts are, as SciPy does by default.
///
/// # Errors
/// [`Code::Data`] when rows differ in length, counts are negative, or a row or column is all 0.
///
/// ```
/// use gradus_train::stats::chi_square_independence;
/// let test = chi_square_independence(&[&[10.0, 20.0], &[20.0, 10.0]], false)?;
/// assert!((test.statistic - 20.0 / 3.0).abs() < 1e-12 && test.df == 1.0);
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub fn chi_square_independence(table: &[&[f64]], yates: bool) -> Result<ChiSquare> {
    let what = "chi_square_independence";
    let columns = table.first().map_or(0, |row| row.len());
    if let Some(row) = table.iter().find(|row| row.len() != columns) {
        let title = format!("{what}: rows of {columns} and {} columns", row.len());
        return Err(Error::new(Code::Data, title));
    }
    if table.len() < 2 || columns < 2 {
        let title = format!("{what}: a table of {} rows and {columns} columns", table.len());
        return Err(Error::new(Code::Data, title).help("it needs at least 2 of each"));
    }
    let observed: Vec<f64> = table.concat();
    counts(what, &observed)?;
    let total: f64 = observed.iter().sum();
    let of_column =
        |c: usize| -> f64 { observed.iter().skip(c).step_by(columns).copied().sum::<f64>() };
    let down: Vec<f64> = (0..columns).map(of_column).collect();
    let across = table.iter().map(|row| row.iter().sum::<f64>());
    let expected: Vec<f64> =
        across.flat_map(|row| down.iter().map(move |column| row * column / total)).collect();
    let df = ((table.len() - 1) * (columns - 1)) as f64;
    let shift = if yates && df == 1.0 { 0.5 } else { 0.0 };
    let statistic = distance(what, &observed, &expected, shift)?;
    Ok(ChiSquare { statistic, p: chi_square_tail(statistic, df), df, expected })
}

fn counts(what: &str, observed: &[f64]) -> Result<()> {
    sound(what, observed, 2)?;
    match observed.iter().find(|&&n| n < 0.0) {
        None => Ok(()),
        Some(n) => Err(Error::new(Code::Data, format!("{what}: a count is {n}"))),
    }
}

/// The sum of squares over what is expected, each difference made smaller by up to `shift`.
fn distance(what: &str, observed: &[f64], expected: &[f64], shift: f64) -> Result<f64> {
    if let Some(e) = expected.iter().find(|&&e| e <= 0.0) {
        let title = format!("{what}: {e} are expected in a cell");
        return Err(Error::new(Code::Data, title).help("leave out what cannot occur"));
    }
    let cell = |(&o, &e): (&f64, &f64)| {
        let apart = (o - e).abs();
        let apart = apart - shift.min(apart);
        apart * apart / e
    };
    Ok(observed.iter().zip(expected).map(cell).sum())
}
