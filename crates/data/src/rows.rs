//! Which rows of a store a dataset shows, in which order. Copying it shares.

use std::sync::Arc;

/// A run of rows, or a part of a list of row numbers.
///
/// A run is kept apart because reading one is a single copy.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    list: Option<Arc<[usize]>>,
    start: usize,
    len: usize,
}

impl Rows {
    /// The rows `0..len`.
    pub(crate) fn first(len: usize) -> Rows {
        Rows { list: None, start: 0, len }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Row number at a position; `None` past the end.
    pub(crate) fn get(&self, at: usize) -> Option<usize> {
        if at >= self.len {
            return None;
        }
        let at = self.start.checked_add(at)?;
        match &self.list {
            None => Some(at),
            Some(list) => list.get(at).copied(),
        }
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = usize> + '_ {
        // Positions below `len` always have a row.
        (0..self.len).map(|at| self.get(at).unwrap_or(usize::MAX))
    }

    /// The positions `start..start + len`, cut off at the end.
    pub(crate) fn slice(&self, start: usize, len: usize) -> Rows {
        let start = start.min(self.len);
        let len = len.min(self.len - start);
        Rows { list: self.list.clone(), start: self.start + start, len }
    }

    /// The rows at these positions, in their order; `Err` gives the first position that is not there.
    pub(crate) fn select(&self, positions: &[usize]) -> Result<Rows, usize> {
        let list =
            positions.iter().map(|&p| self.get(p).ok_or(p)).collect::<Result<Vec<_>, _>>()?;
        Ok(Rows { len: list.len(), list: Some(list.into()), start: 0 })
    }

    /// The same as [`Rows::iter`] in the form that copies fastest.
    pub(crate) fn runs(&self) -> Run<'_> {
        match &self.list {
            None => Run::Range(self.start, self.len),
            Some(list) => {
                let end = self.start.saturating_add(self.len);
                Run::List(list.get(self.start..end).unwrap_or(&[]))
            }
        }
    }
}

/// Rows as a run (first row, number of rows) or as a list.
pub(crate) enum Run<'a> {
    Range(usize, usize),
    List(&'a [usize]),
}
