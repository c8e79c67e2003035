//! Iteration over the rows of a tensor.

use std::panic::Location;

use super::Tensor;
use crate::error::{Code, Error};
use crate::graph::called::called;
use crate::graph::recorder::{self, Side};
use crate::ops::Op;

/// The rows of a tensor, one after another; made by [`Tensor::rows`].
#[derive(Debug)]
pub struct Rows<'a> {
    of: &'a Tensor,
    next: usize,
    end: usize,
    place: &'static Location<'static>,
}

impl Tensor {
    /// The slices along the first axis, without that axis; `for row in &x` is the same.
    ///
    /// How many there are is known at once, and nothing is computed. A failed tensor has one row, which
    /// carries its error; so has a tensor without axes, which has no rows.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let x = Tensor::from([[1.0, 2.0], [3.0, 4.0]]);
    /// let mut sums = Vec::new();
    /// for row in &x {
    ///     sums.push(row.sum().item()?);
    /// }
    /// assert_eq!(sums, [3.0, 7.0]);
    /// assert_eq!(x.rows().len(), 2);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    pub fn rows(&self) -> Rows<'_> {
        let shape = self.peek().shape;
        let end = if shape.rank() == 0 { 1 } else { shape.dim(0) };
        Rows { of: self, next: 0, end, place: Location::caller() }
    }
}

impl Rows<'_> {
    fn row(&self, at: usize) -> Tensor {
        let shape = self.of.peek().shape;
        if self.of.is_failed() {
            return self.of.clone();
        }
        if shape.rank() == 0 {
            let error = Error::new(Code::Shape, "rows: a tensor without axes has no rows")
                .help("`reshape([1])` makes it one row");
            return recorder::failed(error, self.place);
        }
        let _called = called("rows");
        // The line of the loop, not of this one.
        let slice = Op::Slice { axis: 0, start: at, step: 1 };
        let row =
            recorder::record(slice, &[self.of], Some(shape.with(0, 1)), Side::None, self.place);
        recorder::record(Op::Reshape, &[&row], Some(shape.remove(0)), Side::None, self.place)
    }
}

impl Iterator for Rows<'_> {
    type Item = Tensor;

    fn next(&mut self) -> Option<Tensor> {
        let at = self.next;
        (at < self.end).then(|| {
            self.next += 1;
            self.row(at)
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.end - self.next, Some(self.end - self.next))
    }
}

impl DoubleEndedIterator for Rows<'_> {
    fn next_back(&mut self) -> Option<Tensor> {
        (self.next < self.end).then(|| {
            self.end -= 1;
            self.row(self.end)
        })
    }
}

impl ExactSizeIterator for Rows<'_> {}

impl<'a> IntoIterator for &'a Tensor {
    type Item = Tensor;
    type IntoIter = Rows<'a>;

    #[track_caller]
    fn into_iter(self) -> Rows<'a> {
        self.rows()
    }
}
