//! Reductions bound to places once, for the small steps of a plan: see [`crate::bound`].

use super::geometry::Geometry;
use super::{MOST, PIECE, ReduceKind, TILE, plain_operand, short_rows};
use crate::bound::{At, Binder, Place, Table};
use crate::lanes::{CHUNK, Fold, LANES, Max, Min, Num, Prod, Sum};
use crate::levels::{leveled, one_vector_a_turn};
use crate::map::{self, Compiled};
use crate::memory::Ty;
use crate::scan;

/// Folds elements that lie in order: `(elements, size, results)`, where the size is that of a row
/// that becomes one result, or the number of results that lie side by side.
type FoldAll = fn(&[f32], usize, &mut [f32]);

/// Where elements come from.
enum From {
    Memory(At),
    Program(map::Bound),
}

/// A reduction with its places.
pub(crate) struct Bound {
    from: From,
    fold: FoldAll,
    size: usize,
    total: usize,
    kept: usize,
    outs: Vec<At>,
    watch: u8,
}

impl Bound {
    /// Binds what [`super::run`] would run. `None` but for few f32 in order, of which either rows or
    /// whole columns are reduced.
    #[allow(clippy::too_many_arguments)] // as `super::run`
    pub(crate) fn new(
        b: &mut Binder<'_>,
        kind: ReduceKind,
        program: &Compiled,
        dims: &[usize],
        axes: u8,
        operands: &[Place],
        outs: &[Place],
        watch: u8,
    ) -> Option<Bound> {
        let g = Geometry::new(dims, axes).ok()?;
        let (kept, reduced) = (g.kept(), g.reduced());
        let total = kept.checked_mul(reduced)?;
        if total == 0 || total > PIECE || g.groups() != 1 || reduced > CHUNK {
            return None;
        }
        if outs.len() != program.results() || outs.is_empty() || outs.len() > MOST {
            return None;
        }
        let (fold, size) = if g.rows_follow() {
            (rows(kind), g.run())
        } else if g.columns_follow() && g.width <= TILE {
            (columns(kind), g.width)
        } else {
            return None;
        };
        let mut places = Vec::new();
        for (k, out) in outs.iter().enumerate() {
            let float = out.ty == Ty::F32 && program.result_ty(k) == Some(Ty::F32);
            if !float
                || out.len != kept
                || operands.iter().chain(&outs[..k]).any(|p| p.overlaps(out))
            {
                return None;
            }
            places.push(b.written(out)?);
        }
        let from = match plain_operand(program, dims) {
            Some((operand, offset)) if outs.len() == 1 => {
                let place = operands.get(operand).filter(|p| p.ty == Ty::F32)?;
                if offset.checked_add(total)? > place.len {
                    return None;
                }
                From::Memory(b.at(place)?.moved(offset * size_of::<f32>(), 0)?)
            }
            _ => {
                let map = map::Bound::new(b, program, dims, operands, None)?;
                // A scalar would have to be spread first.
                (0..outs.len()).try_for_each(|k| map.result(k).map(|_| ()))?;
                From::Program(map)
            }
        };
        Some(Bound { from, fold, size, total, kept, outs: places, watch })
    }

    /// How many run-time numbers it needs.
    pub(crate) fn slots(&self) -> usize {
        match &self.from {
            From::Memory(_) => 0,
            From::Program(map) => map.slots(),
        }
    }

    /// Reduces; says whether all watched results are finite.
    ///
    /// # Safety
    /// The table has the memories that this was bound to, and nobody else uses what is written.
    #[inline]
    pub(crate) unsafe fn run(&self, table: &Table, slots: &[f64]) -> bool {
        if let From::Program(map) = &self.from {
            // SAFETY: the contract above.
            unsafe { map.run(table, slots) };
        }
        let mut finite = true;
        for (k, out) in self.outs.iter().enumerate() {
            let at = match &self.from {
                From::Memory(at) => *at,
                From::Program(map) => map.result(k).unwrap_or_default(),
            };
            // SAFETY: each result has `total` elements, in an operand or a register, and each output
            // `kept`; outputs overlap no operand.
            let (xs, results) = unsafe {
                let xs = at.ptr(table).cast_const().cast::<f32>();
                (
                    std::slice::from_raw_parts(xs, self.total),
                    std::slice::from_raw_parts_mut(out.ptr(table).cast::<f32>(), self.kept),
                )
            };
            (self.fold)(xs, self.size, results);
            if self.watch >> k & 1 == 1 {
                finite &= scan::finite_f32(results);
            }
        }
        finite
    }
}

fn rows(kind: ReduceKind) -> FoldAll {
    match kind {
        ReduceKind::Sum => short_rows::<f32, Sum>,
        ReduceKind::Max => short_rows::<f32, Max>,
        ReduceKind::Min => short_rows::<f32, Min>,
        ReduceKind::Prod => short_rows::<f32, Prod>,
    }
}

fn columns(kind: ReduceKind) -> FoldAll {
    match kind {
        ReduceKind::Sum => whole_columns::<f32, Sum>,
        ReduceKind::Max => whole_columns::<f32, Max>,
        ReduceKind::Min => whole_columns::<f32, Min>,
        ReduceKind::Prod => whole_columns::<f32, Prod>,
    }
}

/// Columns that are reduced side by side.
const WIDTH: usize = 16;

leveled!(
    /// One result for each of `width` columns of at most [`CHUNK`] rows.
    fn whole_columns[T: Num, F: Fold<T>](xs: &[T], width: usize, out: &mut [T])
        => whole_columns_body);
#[inline(always)]
fn whole_columns_body<const FMA: bool, T: Num, F: Fold<T>>(xs: &[T], width: usize, out: &mut [T]) {
    // Lanes that have no row hold the identity, which changes nothing when it is joined: the tree
    // starts where there are rows.
    let used = (xs.len() / width.max(1)).min(LANES).next_power_of_two();
    for (tile, out) in out.chunks_mut(WIDTH).enumerate() {
        let mut lanes = [[F::IDENTITY; WIDTH]; LANES];
        let mut rest = xs;
        if out.len() == WIDTH && xs.len() >= LANES * width {
            let mut blocks = xs.chunks_exact(LANES * width);
            // Sixteen rows a turn, so that the lanes stay in registers.
            let mut sums = lanes;
            for block in &mut blocks {
                for (l, sums) in sums.iter_mut().enumerate() {
                    let row = block.get(l * width + tile * WIDTH..).unwrap_or_default();
                    if let Some(row) = row.first_chunk::<WIDTH>() {
                        for (a, &x) in sums.iter_mut().zip(row) {
                            *a = F::join(*a, x);
                        }
                    }
                }
                one_vector_a_turn();
            }
            (lanes, rest) = (sums, blocks.remainder());
        }
        for (r, row) in rest.chunks_exact(width).enumerate() {
            let row = row.get(tile * WIDTH..).unwrap_or_default();
            let lane = &mut lanes[r % LANES];
            match row.first_chunk::<WIDTH>() {
                Some(row) => {
                    for (a, &x) in lane.iter_mut().zip(row) {
                        *a = F::join(*a, x);
                    }
                }
                None => {
                    for (a, &x) in lane.iter_mut().zip(row) {
                        *a = F::join(*a, x);
                    }
                }
            }
        }
        let mut half = used / 2;
        while half > 0 {
            for l in 0..half {
                let later = lanes[(l + half) % LANES];
                for (a, &b) in lanes[l % LANES].iter_mut().zip(&later) {
                    *a = F::join(*a, b);
                }
            }
            half /= 2;
        }
        for (slot, &v) in out.iter_mut().zip(&lanes[0]) {
            *slot = F::finish(v);
        }
    }
}
