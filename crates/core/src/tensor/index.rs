//! What stands between the brackets of an index: `x.i((1..3, -1, .., &mask, NewAxis, Ellipsis))`.

use std::ops::{Range, RangeFrom, RangeFull, RangeInclusive, RangeTo, RangeToInclusive};

use super::Tensor;

/// Inserts an axis of size 1 (`None` and `np.newaxis` in Python).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewAxis;

/// Stands for all axes that the other parts of an index leave (`...` in Python).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ellipsis;

/// One part of an index; made from what [`Tensor::i`] lists.
#[derive(Clone, Debug)]
pub enum IndexItem {
    /// One position; the axis disappears. Negative ones count from the end.
    At(isize),
    /// A range with a step.
    Span(Span),
    /// An axis of size 1.
    NewAxis,
    /// The axes that are left.
    Ellipsis,
    /// Positions (integers), or a mask (bool).
    Tensor(Tensor),
}

/// A range of positions with a step, as Python's slices: ends may be negative or open, and are
/// limited to the axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub(super) start: Option<isize>,
    pub(super) end: Option<isize>,
    pub(super) inclusive: bool,
    pub(super) step: isize,
}

/// The positions from `start` up to, not including, `end`; negative ends count from the size.
///
/// The same as `start..end`, for literals such as `1..-1`, which clippy takes for a mistake.
///
/// ```
/// use gradus_core::{Tensor, span};
/// let x = Tensor::arange(0, 5);
/// assert_eq!(x.i(span(1, -1)).to_vec::<i64>()?, [1, 2, 3]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub fn span(start: isize, end: isize) -> IndexItem {
    IndexItem::Span(Span { start: Some(start), end: Some(end), inclusive: false, step: 1 })
}

impl Span {
    /// First position, number of positions and step on an axis of that size.
    pub(super) fn on(&self, size: usize) -> (usize, usize, isize) {
        let (n, step) = (size as isize, self.step);
        let wrap = |i: isize| if i < 0 { i.saturating_add(n) } else { i };
        // The last position that counts, not the one after it.
        let last = self.end.map(|end| match (self.inclusive, step > 0) {
            (true, _) => wrap(end),
            (false, true) => wrap(end).saturating_sub(1),
            (false, false) => wrap(end).saturating_add(1),
        });
        let (first, distance) = if step > 0 {
            let first = self.start.map_or(0, wrap).max(0);
            (first, last.unwrap_or(n - 1).min(n - 1).saturating_sub(first))
        } else {
            let first = self.start.map_or(n - 1, wrap).min(n - 1);
            (first, first.saturating_sub(last.unwrap_or(0).max(0)))
        };
        if distance < 0 || n == 0 {
            return (0, 0, step);
        }
        (first as usize, distance as usize / step.unsigned_abs() + 1, step)
    }
}

/// A range with a step: `(0..10).by(2)`, `(..).by(-1)`, `(-3..).by(2)`.
///
/// (`step_by` of the standard library makes an iterator, which cannot be open or count from the end.)
pub trait By {
    /// Every `step`-th position; a negative step walks backwards from the first to the second bound.
    fn by(self, step: isize) -> IndexItem;
}

/// An integer as a position.
trait Position: Copy {
    fn position(self) -> isize;
}
macro_rules! positions {
    ($($t:ty),*) => {$(
        impl Position for $t {
            fn position(self) -> isize {
                // A position that is too large lies outside every axis, as the largest does.
                isize::try_from(self).unwrap_or(isize::MAX)
            }
        }
        impl From<$t> for IndexItem {
            fn from(at: $t) -> IndexItem {
                IndexItem::At(at.position())
            }
        }
        spans! { $t:
            Range<$t>, |r| (Some(r.start), Some(r.end), false);
            RangeInclusive<$t>, |r| (Some(*r.start()), Some(*r.end()), true);
            RangeFrom<$t>, |r| (Some(r.start), None, false);
            RangeTo<$t>, |r| (None, Some(r.end), false);
            RangeToInclusive<$t>, |r| (None, Some(r.end), true)
        }
        lists!($t);
    )*};
}
macro_rules! spans {
    ($t:ty: $($range:ty, |$r:ident| $parts:expr);*) => {$(
        impl By for $range {
            fn by(self, step: isize) -> IndexItem {
                let $r = self;
                let (start, end, inclusive): (Option<$t>, Option<$t>, bool) = $parts;
                let (start, end) = (start.map(Position::position), end.map(Position::position));
                IndexItem::Span(Span { start, end, inclusive, step })
            }
        }
        impl From<$range> for IndexItem {
            fn from(range: $range) -> IndexItem {
                range.by(1)
            }
        }
    )*};
}
macro_rules! lists {
    ($t:ty) => {
        impl<const N: usize> From<[$t; N]> for IndexItem {
            #[track_caller]
            fn from(list: [$t; N]) -> IndexItem {
                IndexItem::from(&list[..])
            }
        }
        impl From<&[$t]> for IndexItem {
            #[track_caller]
            fn from(list: &[$t]) -> IndexItem {
                let ids: Vec<i64> = list.iter().map(|i| i.position() as i64).collect();
                IndexItem::Tensor(Tensor::from(ids))
            }
        }
        impl From<&Vec<$t>> for IndexItem {
            #[track_caller]
            fn from(list: &Vec<$t>) -> IndexItem {
                IndexItem::from(&list[..])
            }
        }
        impl From<Vec<$t>> for IndexItem {
            #[track_caller]
            fn from(list: Vec<$t>) -> IndexItem {
                IndexItem::from(&list[..])
            }
        }
    };
}
positions!(i32, i64, isize, usize);

impl By for RangeFull {
    fn by(self, step: isize) -> IndexItem {
        IndexItem::Span(Span { start: None, end: None, inclusive: false, step })
    }
}
impl From<RangeFull> for IndexItem {
    fn from(all: RangeFull) -> IndexItem {
        all.by(1)
    }
}
impl From<NewAxis> for IndexItem {
    fn from(_: NewAxis) -> IndexItem {
        IndexItem::NewAxis
    }
}
impl From<Ellipsis> for IndexItem {
    fn from(_: Ellipsis) -> IndexItem {
        IndexItem::Ellipsis
    }
}
impl From<Tensor> for IndexItem {
    fn from(index: Tensor) -> IndexItem {
        IndexItem::Tensor(index)
    }
}
impl From<&Tensor> for IndexItem {
    fn from(index: &Tensor) -> IndexItem {
        IndexItem::Tensor(index.clone())
    }
}

/// An index: one part, a tuple of up to ten, or a list of [`IndexItem`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no index of a tensor",
    note = "an index is a position, a range, `(range).by(step)`, a list, an index tensor, a mask, \
            `NewAxis`, `Ellipsis`, or a tuple of these"
)]
pub trait Index {
    /// Its parts.
    #[doc(hidden)]
    #[track_caller]
    fn items(self) -> Vec<IndexItem>;
}
impl<T: Into<IndexItem>> Index for T {
    #[track_caller]
    fn items(self) -> Vec<IndexItem> {
        vec![self.into()]
    }
}
impl Index for Vec<IndexItem> {
    fn items(self) -> Vec<IndexItem> {
        self
    }
}
impl Index for &[IndexItem] {
    fn items(self) -> Vec<IndexItem> {
        self.to_vec()
    }
}
impl Index for () {
    fn items(self) -> Vec<IndexItem> {
        Vec::new()
    }
}
macro_rules! tuples {
    ($($($t:ident)+;)*) => {$(
        impl<$($t: Into<IndexItem>),+> Index for ($($t,)+) {
            #[allow(non_snake_case)]
            #[track_caller]
            fn items(self) -> Vec<IndexItem> {
                let ($($t,)+) = self;
                vec![$($t.into()),+]
            }
        }
    )*};
}
tuples! {
    A; A B; A B C; A B C D; A B C D E; A B C D E F; A B C D E F G; A B C D E F G H;
    A B C D E F G H I; A B C D E F G H I J;
}
