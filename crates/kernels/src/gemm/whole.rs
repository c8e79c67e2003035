//! Matrix products of integers, which wrap; so the order of the sums is free.

use crate::levels::leveled;
use crate::memory::{Element, Shared};
use crate::pool::{self, PiecePanicked};

/// What is multiplied and added here.
pub(super) trait Whole: Element {
    /// `self + a * b`.
    fn plus_product(self, a: Self, b: Self) -> Self;
}
macro_rules! whole {
    ($($t:ty),*) => {$(impl Whole for $t {
        #[inline(always)]
        fn plus_product(self, a: $t, b: $t) -> $t {
            self.wrapping_add(a.wrapping_mul(b))
        }
    })*};
}
whole!(i64, i32, u8);

/// A product whose windows were checked.
pub(super) struct Job<T> {
    pub(super) m: usize,
    pub(super) k: usize,
    pub(super) n: usize,
    pub(super) a: *const T,
    pub(super) a_strides: [usize; 2],
    pub(super) b: *const T,
    pub(super) b_strides: [usize; 2],
    pub(super) c: *mut T,
    pub(super) c_row: usize,
    pub(super) accumulate: bool,
}

/// Rows of B that are used again while they are near.
const DEPTH: usize = 16;
/// Columns whose sums are near.
const COLUMNS: usize = 256;

/// Computes one product.
///
/// # Safety
/// All elements of A and B can be read, those of C written, and C overlaps neither.
pub(super) unsafe fn run<T: Whole>(job: &Job<T>) -> Result<(), PiecePanicked> {
    let work = job.n.saturating_mul(job.k.max(1));
    let rows = ((1 << 19) / work).clamp(8, 256);
    // SAFETY: pieces write different rows.
    let shared = unsafe { Shared::new(job) };
    pool::run(job.m.div_ceil(rows), job.m.saturating_mul(work) as u64 / 4, &|piece| {
        let job = *shared.get();
        let own = piece * rows..((piece + 1) * rows).min(job.m);
        // SAFETY: the contract above; these rows are this piece's.
        unsafe { band(job, own) };
    })
}

/// # Safety
/// As for [`run`], and nobody else writes these rows.
unsafe fn band<T: Whole>(job: &Job<T>, own: std::ops::Range<usize>) {
    let [a_row, a_col] = job.a_strides;
    let [b_row, b_col] = job.b_strides;
    let mut block = [T::default(); DEPTH * COLUMNS];
    for column in (0..job.n).step_by(COLUMNS) {
        let width = COLUMNS.min(job.n - column);
        for first in (0..job.k.max(1)).step_by(DEPTH) {
            let depth = DEPTH.min(job.k - first);
            for (p, row) in block.chunks_exact_mut(width).take(depth).enumerate() {
                for (j, x) in row.iter_mut().enumerate() {
                    // SAFETY: inside B.
                    *x = unsafe { *job.b.add((first + p) * b_row + (column + j) * b_col) };
                }
            }
            for i in own.clone() {
                // SAFETY: inside C, and this piece's.
                let to = unsafe {
                    std::slice::from_raw_parts_mut(job.c.add(i * job.c_row + column), width)
                };
                if first == 0 && !job.accumulate {
                    to.fill(T::default());
                }
                let a = job.a.wrapping_add(i * a_row + first * a_col);
                for (p, row) in block.chunks_exact(width).take(depth).enumerate() {
                    // SAFETY: inside A.
                    add_row(to, unsafe { *a.add(p * a_col) }, row);
                }
            }
        }
    }
}

leveled!(fn add_row[T: Whole](to: &mut [T], a: T, row: &[T]) => add_row_body);
#[inline(always)]
fn add_row_body<const FMA: bool, T: Whole>(to: &mut [T], a: T, row: &[T]) {
    for (c, &b) in to.iter_mut().zip(row) {
        *c = c.plus_product(a, b);
    }
}
