//! Reductions of what a program computes, over any axes, without storing it first.
//!
//! The order of the sums is that of `lanes`, on the logical numbers of the elements, so it
//! is the same for rows, columns and anything between. Two shapes of work exist: where the innermost
//! axis is reduced, 16 lanes run along it; where it is kept, the lanes are 16 rows of accumulators
//! and elements of a row are added to them side by side.

mod arg;
mod bound;
mod geometry;
mod side;

pub use arg::{ArgKind, argreduce};
pub(crate) use bound::Bound;

use crate::gemm::simd::prefetch;
use crate::lanes::{
    CHUNK, Fold, LANES, Max, Min, Num, Pairwise, Prod, Stream, Sum, feed_four, fold_run,
    short_tree, tree,
};
use crate::levels::leveled;
use crate::map::{BLOCK, BlockEval, Compiled};
use crate::memory::{Element, KernelError, Mem, Shared, Truth, Ty};
use crate::pool;
use crate::program::{RandomKey, Source};
use geometry::Geometry;
use std::cell::Cell;
use std::sync::{Mutex, PoisonError};

/// How elements are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ReduceKind {
    /// The sum; 0 for nothing.
    Sum,
    /// The largest, NaN if there is one; for booleans "any".
    Max,
    /// The smallest, NaN if there is one; for booleans "all".
    Min,
    /// The product; 1 for nothing.
    Prod,
}

/// Columns that are reduced side by side; 16 rows of accumulators of this width stay in L1.
const TILE: usize = 256;
/// About how many elements a piece of a job has.
const PIECE: usize = 32 * 1024;

/// As many results of short rows as most small reductions have.
const FEW: usize = 16;

/// The most results that one run reduces.
pub const MOST: usize = 4;

/// Reduces each result of `program`, all of one type, over the iteration space `dims`, along the axes
/// whose bits are set in `axes`, in one pass over the operands; each of `outs` is row-major over the
/// other axes. Says whether all results whose bits are set in `watch` are finite.
///
/// # Errors
/// [`KernelError`] for windows that do not fit, the largest of nothing, and integer divisions by 0.
#[allow(clippy::too_many_arguments)] // a step of a plan has that many parts
pub fn run(
    kind: ReduceKind,
    program: &Compiled,
    dims: &[usize],
    axes: u8,
    operands: &[Mem<'_>],
    outs: &[Mem<'_>],
    slots: &[f64],
    keys: &[RandomKey],
    watch: u8,
) -> Result<bool, KernelError> {
    let geometry = Geometry::new(dims, axes)?;
    let ty = program.result_ty(0).ok_or(KernelError::Type("reduction without a result"))?;
    if outs.len() != program.results() || outs.len() > MOST {
        return Err(KernelError::Bounds("outputs of a reduction"));
    }
    for (k, out) in outs.iter().enumerate() {
        if out.ty() != ty || !out.writable() || program.result_ty(k) != Some(ty) {
            return Err(KernelError::Type("output of a reduction"));
        }
        if out.len() != geometry.kept() {
            return Err(KernelError::Bounds("output of a reduction"));
        }
        if operands.iter().chain(&outs[..k]).any(|m| m.overlaps(out)) {
            return Err(KernelError::Overlap("output of a reduction"));
        }
    }
    if geometry.reduced() == 0
        && geometry.kept() > 0
        && matches!(kind, ReduceKind::Max | ReduceKind::Min)
    {
        return Err(KernelError::Bounds("the largest or smallest of nothing"));
    }
    let job = Job { program, dims, operands, slots, keys, geometry };
    use ReduceKind as K;
    macro_rules! number {
        ($t:ty, $kind:ident) => {
            match $kind {
                K::Sum => job.run::<$t, Sum>(outs)?,
                K::Max => job.run::<$t, Max>(outs)?,
                K::Min => job.run::<$t, Min>(outs)?,
                K::Prod => job.run::<$t, Prod>(outs)?,
            }
        };
    }
    match (kind, ty) {
        (kind, Ty::F32) => number!(f32, kind),
        (kind, Ty::F64) => number!(f64, kind),
        (kind, Ty::I64) => number!(i64, kind),
        (kind, Ty::I32) => number!(i32, kind),
        (kind, Ty::U8) => number!(u8, kind),
        (K::Max, Ty::Bool) => job.run::<Truth, Max>(outs)?,
        (K::Min, Ty::Bool) => job.run::<Truth, Min>(outs)?,
        _ => return Err(KernelError::Type("this reduction of this type")),
    }
    // All pieces have ended, and `outs` overlap nothing that anybody writes now.
    let mut watched = outs.iter().enumerate().filter(|(k, _)| watch >> k & 1 == 1);
    Ok(watched.all(|(_, out)| crate::scan::all_finite(*out)))
}

/// An element whose blocks a program can give.
trait Eval: Element + Num {}
impl<T: Element + Num> Eval for T {}

/// Where elements come from: memory that holds them in order, or a program.
enum Blocks<'a, T> {
    Memory(&'a [T], std::ops::Range<usize>),
    Program(BlockEval<'a>),
}

impl<T: Eval> Blocks<'_, T> {
    /// How many elements one call may ask for.
    fn most(&self) -> usize {
        match self {
            Blocks::Memory(..) => usize::MAX,
            Blocks::Program(_) => BLOCK,
        }
    }

    /// Makes a range ready to be looked at.
    fn evaluate(&mut self, start: usize, len: usize) {
        match self {
            Blocks::Memory(_, range) => *range = start..start + len,
            Blocks::Program(eval) => eval.evaluate(start, len),
        }
    }

    /// Result `k` of that range.
    fn result(&mut self, k: usize) -> &[T] {
        match self {
            Blocks::Memory(xs, range) => xs.get(range.clone()).unwrap_or_default(),
            Blocks::Program(eval) => eval.result::<T>(k),
        }
    }

    /// The first error met so far; ask once at the end.
    fn error(&self) -> Result<(), KernelError> {
        match self {
            Blocks::Program(eval) => eval.error().map_or(Ok(()), Err),
            Blocks::Memory(..) => Ok(()),
        }
    }
}

/// The operand that the program merely gives back, and its offset, if that lies in order.
fn plain_operand(program: &Compiled, dims: &[usize]) -> Option<(usize, usize)> {
    let Some(Source::Operand { operand, offset, strides, .. }) = program.plain_source() else {
        return None;
    };
    let mut step = 1;
    for (&d, &s) in dims.iter().zip(strides).rev() {
        if d != 1 && s != step {
            return None;
        }
        step *= d as isize;
    }
    Some((usize::from(*operand), *offset))
}

struct Job<'a> {
    program: &'a Compiled,
    dims: &'a [usize],
    operands: &'a [Mem<'a>],
    slots: &'a [f64],
    keys: &'a [RandomKey],
    geometry: Geometry,
}

/// Where results go: to the output, or to a row of partial results for each group.
#[derive(Clone, Copy)]
struct Target<T> {
    ptr: *mut T,
    len: usize,
}

impl<T: Copy> Target<T> {
    /// # Safety
    /// No two threads may write the same place at a time.
    #[inline(always)]
    unsafe fn put(self, at: usize, values: &[T]) {
        let fits = at.checked_add(values.len()).is_some_and(|end| end <= self.len);
        debug_assert!(fits);
        if fits {
            // SAFETY: inside the target; values are elsewhere (a stack or scratch array).
            unsafe {
                std::ptr::copy_nonoverlapping(values.as_ptr(), self.ptr.add(at), values.len());
            }
        }
    }
}

/// Where each of the results goes.
type Targets<T> = [Target<T>; MOST];

impl Job<'_> {
    fn run<T: Eval, F: Fold<T>>(&self, outs: &[Mem<'_>]) -> Result<(), KernelError> {
        let g = &self.geometry;
        let (kept, reduced) = (g.kept(), g.reduced());
        if kept == 0 {
            return Ok(());
        }
        let wrong = KernelError::Type("output of a reduction");
        let groups = g.groups();
        let mut targets = [Target { ptr: std::ptr::null_mut(), len: 0 }; MOST];
        for (target, out) in targets.iter_mut().zip(outs) {
            // SAFETY: `outs` overlap no operand nor each other, and windows are used by one kernel
            // at a time.
            let Some(result) = (unsafe { out.slice_of_mut::<T>() }) else { return Err(wrong) };
            if reduced == 0 {
                result.fill(F::IDENTITY);
            }
            *target = Target { ptr: result.as_mut_ptr(), len: result.len() };
        }
        if reduced == 0 {
            return Ok(());
        }
        if groups == 1 {
            return match g.lane_parts() {
                1 => self.pieces::<T, F>(targets, 1),
                parts => self.lanes_apart::<T, F>(targets, parts),
            };
        }
        // Few results of many elements: groups of chunks, each a whole subtree, then the top.
        with_scratch(&PARTIALS, self.count() * groups * kept, |partial: &mut [T]| {
            let mut parts = targets;
            for (part, own) in parts.iter_mut().zip(partial.chunks_exact_mut(groups * kept)) {
                *part = Target { ptr: own.as_mut_ptr(), len: own.len() };
            }
            self.pieces::<T, F>(parts, groups)?;
            for (target, own) in targets.iter().zip(partial.chunks_exact(groups * kept)) {
                for i in 0..kept {
                    let mut top = Pairwise::<T, F>::new();
                    for value in own.iter().skip(i).step_by(kept) {
                        top.push(*value);
                    }
                    // SAFETY: the pieces have ended.
                    unsafe { target.put(i, &[F::finish(top.finish())]) };
                }
            }
            Ok(())
        })
    }

    /// How many results a run has.
    fn count(&self) -> usize {
        self.program.results().min(MOST)
    }

    fn pieces<T: Eval, F: Fold<T>>(
        &self,
        targets: Targets<T>,
        groups: usize,
    ) -> Result<(), KernelError> {
        let g = &self.geometry;
        let items = g.outers() * g.tiles();
        let length = g.reduced().div_ceil(groups);
        let a_piece = (PIECE / (length * g.tile(0).1).max(1)).clamp(1, items);
        let split = items.div_ceil(a_piece);
        // SAFETY: pieces read the windows and write different results.
        let shared = unsafe { Shared::new((self, targets)) };
        self.fork(split * groups, &|piece| {
            let (job, targets) = shared.get();
            let (group, part) = (piece / split, piece % split);
            let items = part * a_piece..((part + 1) * a_piece).min(items);
            job.piece::<T, F>(targets, groups, group, items)
        })
    }

    /// Runs pieces of the whole reduction; the error is the one that one thread alone would meet first.
    fn fork(
        &self,
        pieces: usize,
        piece: &(dyn Fn(usize) -> Result<(), KernelError> + Sync),
    ) -> Result<(), KernelError> {
        let trouble: Mutex<Option<KernelError>> = Mutex::new(None);
        let each = f64::from(self.program.cost_ns()) + 0.1;
        let cost = ((self.geometry.kept() * self.geometry.reduced()) as f64 * each) as u64;
        pool::run(pieces, cost, &|i| {
            if let Err(error) = piece(i) {
                let mut trouble = trouble.lock().unwrap_or_else(PoisonError::into_inner);
                let at = |e: &KernelError| match e {
                    KernelError::DivisionByZero { position } => *position,
                    _ => 0,
                };
                if trouble.as_ref().is_none_or(|old| at(&error) < at(old)) {
                    *trouble = Some(error);
                }
            }
        })?;
        trouble.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }

    /// Results `items` of one group of chunks.
    fn piece<T: Eval, F: Fold<T>>(
        &self,
        targets: &Targets<T>,
        groups: usize,
        group: usize,
        items: std::ops::Range<usize>,
    ) -> Result<(), KernelError> {
        let g = &self.geometry;
        let mut blocks = self.blocks::<T>()?;
        let (count, range) = (self.count(), g.group(groups, group));
        // Partial results wait for the top of the tree; others get their last touch here.
        let finish = |v: T| if groups == 1 { F::finish(v) } else { v };
        let base = group * g.kept();
        if g.width == 1 && g.rows_follow() && groups == 1 && g.run() <= CHUNK.min(blocks.most()) {
            let n = g.run();
            // A few results do not wait until room for many is filled.
            let (mut few, mut many);
            let results: &mut [T] = if items.len() <= FEW {
                few = [F::IDENTITY; FEW];
                &mut few
            } else {
                many = [F::IDENTITY; BLOCK];
                &mut many
            };
            let mut item = items.start;
            while item < items.end {
                let rows = (blocks.most() / n).min(results.len()).min(items.end - item);
                let done = results.get_mut(..rows).unwrap_or_default();
                blocks.evaluate(item * n, rows * n);
                for (k, target) in targets.iter().enumerate().take(count) {
                    short_rows::<T, F>(blocks.result(k), n, done);
                    // SAFETY: pieces have different items.
                    unsafe { target.put(item, done) };
                }
                item += rows;
            }
        } else if g.width == 1 {
            for item in items {
                let start = g.outer_start(item);
                if count > 1 {
                    let all = self.several::<T, F>(&mut blocks, start, range.clone());
                    for (target, result) in targets.iter().zip(all).take(count) {
                        // SAFETY: pieces have different items or groups.
                        unsafe { target.put(base + item, &[finish(result)]) };
                    }
                    continue;
                }
                let result = self.one::<T, F>(&mut blocks, start, range.clone());
                // SAFETY: pieces have different items or groups.
                unsafe { targets[0].put(base + item, &[finish(result)]) };
            }
        } else {
            let most = g.tile(0).1;
            let chunks = (range.end - range.start).div_ceil(CHUNK);
            let levels = chunks.ilog2() as usize + 2;
            let each = (LANES + levels) * most;
            with_scratch(&SCRATCH, count * each, |scratch: &mut [T]| {
                for item in items {
                    let (outer, tile) = (item / g.tiles(), item % g.tiles());
                    let (column, w) = g.tile(tile);
                    let start = g.outer_start(outer) + column;
                    self.columns::<T, F>(&mut blocks, start, range.clone(), w, scratch, each);
                    for (own, target) in scratch.chunks_exact_mut(each).zip(targets) {
                        let result = own.get_mut(..w).unwrap_or_default();
                        for v in result.iter_mut() {
                            *v = finish(*v);
                        }
                        // SAFETY: pieces have different items or groups.
                        unsafe { target.put(base + outer * g.width + column, result) };
                    }
                }
            });
        }
        blocks.error()
    }

    /// Where this piece's elements come from.
    fn blocks<T: Eval>(&self) -> Result<Blocks<'_, T>, KernelError> {
        if let Some(xs) = self.in_order::<T>() {
            return Ok(Blocks::Memory(xs, 0..0));
        }
        let (program, dims) = (self.program, self.dims);
        BlockEval::new(program, dims, self.operands, self.slots, self.keys).map(Blocks::Program)
    }

    /// The operand's elements, if the program gives back one that lies in order.
    fn in_order<T: Eval>(&self) -> Option<&[T]> {
        let total = self.geometry.kept() * self.geometry.reduced();
        let (operand, offset) = plain_operand(self.program, self.dims)?;
        if self.count() > 1 {
            return None;
        }
        let window = self.operands.get(operand)?.slice(offset, total)?;
        // SAFETY: operands do not overlap the output, which alone is written.
        unsafe { window.slice_of::<T>() }
    }

    /// One result, elements lying one after the other in each run.
    fn one<T: Eval, F: Fold<T>>(
        &self,
        blocks: &mut Blocks<'_, T>,
        start: usize,
        range: std::ops::Range<usize>,
    ) -> T {
        let (g, most) = (&self.geometry, blocks.most());
        if g.run() == g.reduced() && most == usize::MAX {
            blocks.evaluate(start + range.start, range.end - range.start);
            return long_run::<T, F>(blocks.result(0));
        }
        let mut stream = Stream::<T, F>::new();
        let mut r = range.start;
        while r < range.end {
            let (at, left) = g.reduced_start(r);
            let len = left.min(range.end - r).min(most);
            blocks.evaluate(start + at, len);
            feed_stream::<T, F>(&mut stream, blocks.result(0));
            r += len;
        }
        stream.finish()
    }

    /// The same of several results.
    fn several<T: Eval, F: Fold<T>>(
        &self,
        blocks: &mut Blocks<'_, T>,
        start: usize,
        range: std::ops::Range<usize>,
    ) -> [T; MOST] {
        let (g, most, count) = (&self.geometry, blocks.most(), self.count());
        let mut streams: [_; MOST] = std::array::from_fn(|_| Stream::<T, F>::new());
        let mut r = range.start;
        while r < range.end {
            let (at, left) = g.reduced_start(r);
            let len = left.min(range.end - r).min(most);
            blocks.evaluate(start + at, len);
            for (k, stream) in streams.iter_mut().enumerate().take(count) {
                feed_stream::<T, F>(stream, blocks.result(k));
            }
            r += len;
        }
        streams.map(Stream::finish)
    }

    /// `w` results side by side, left in the first row of the scratch memory: of that, each of the
    /// program's results has `each` elements, first the lanes, then the levels of the tree.
    fn columns<T: Eval, F: Fold<T>>(
        &self,
        blocks: &mut Blocks<'_, T>,
        start: usize,
        range: std::ops::Range<usize>,
        w: usize,
        scratch: &mut [T],
        each: usize,
    ) {
        let (g, most) = (&self.geometry, blocks.most());
        // Rows that one call may ask for: whole rows lie one after the other, parts of rows only
        // memory can give several at a time.
        let rows = if w == g.width {
            (most / w).max(1)
        } else if most == usize::MAX {
            most
        } else {
            1
        };
        let mut chunks = 0usize;
        let mut r = range.start;
        for own in scratch.chunks_exact_mut(each) {
            own.get_mut(..LANES * w).unwrap_or_default().fill(F::IDENTITY);
        }
        while r < range.end {
            let (at, left) = g.reduced_start(r);
            let to_chunk_end = CHUNK - r % CHUNK;
            let n = left.min(range.end - r).min(to_chunk_end).min(rows);
            blocks.evaluate(start + at, (n - 1) * g.width + w);
            let lane = r % LANES;
            r += n;
            let whole = r.is_multiple_of(CHUNK) && r < range.end;
            for (k, own) in scratch.chunks_exact_mut(each).enumerate() {
                let (lanes, levels) = own.split_at_mut(LANES * w);
                let xs = blocks.result(k);
                if w == g.width {
                    add_flat::<T, F>(lanes, lane * w, xs);
                } else {
                    add_rows::<T, F>(lanes, w, lane, xs, g.width);
                }
                if whole {
                    join_lanes::<T, F>(lanes, w);
                    push_row::<T, F>(lanes, levels, w, chunks);
                    lanes.fill(F::IDENTITY);
                }
            }
            chunks += usize::from(whole);
        }
        for own in scratch.chunks_exact_mut(each) {
            let (lanes, levels) = own.split_at_mut(LANES * w);
            join_lanes::<T, F>(lanes, w);
            // The last chunk is the latest of what is left over: join with the earlier from low to
            // high.
            for level in 0..usize::BITS as usize - chunks.leading_zeros() as usize {
                if chunks >> level & 1 == 1 {
                    let (Some(later), Some(earlier)) =
                        (lanes.get_mut(..w), levels.get(level * w..(level + 1) * w))
                    else {
                        return;
                    };
                    join_before::<T, F>(later, earlier);
                }
            }
        }
    }
}

/// Puts the first row of `lanes` into the tree of rows, as [`Pairwise::push`] does.
fn push_row<T: Num, F: Fold<T>>(lanes: &mut [T], levels: &mut [T], w: usize, count: usize) {
    let level = count.trailing_ones() as usize;
    let Some(row) = lanes.get_mut(..w) else { return };
    for earlier in levels.chunks(w).take(level) {
        join_before::<T, F>(row, earlier);
    }
    if let Some(slot) = levels.get_mut(level * w..(level + 1) * w) {
        slot.copy_from_slice(row);
    }
}

leveled!(fn long_run[T: Num, F: Fold<T>](xs: &[T]) -> T => long_run_body);
#[inline(always)]
fn long_run_body<const FMA: bool, T: Num, F: Fold<T>>(xs: &[T]) -> T {
    fold_run::<T, F>(xs)
}

leveled!(fn feed_stream[T: Num, F: Fold<T>](stream: &mut Stream<T, F>, xs: &[T])
    => feed_stream_body);
#[inline(always)]
fn feed_stream_body<const FMA: bool, T: Num, F: Fold<T>>(stream: &mut Stream<T, F>, xs: &[T]) {
    stream.feed(xs);
}

leveled!(
    /// One result for each row of `n <= 4096` elements.
    fn short_rows[T: Num, F: Fold<T>](xs: &[T], n: usize, out: &mut [T]) => short_rows_body);
#[inline(always)]
fn short_rows_body<const FMA: bool, T: Num, F: Fold<T>>(xs: &[T], n: usize, out: &mut [T]) {
    if n > LANES {
        let (mut fours, mut rows) = (out.chunks_exact_mut(4), xs.chunks_exact(4 * n));
        for (slots, four) in (&mut fours).zip(&mut rows) {
            let (a, rest) = four.split_at(n);
            let (b, rest) = rest.split_at(n);
            let (c, d) = rest.split_at(n);
            for (slot, lanes) in slots.iter_mut().zip(feed_four::<T, F>([a, b, c, d])) {
                *slot = F::finish(tree::<T, F>(lanes));
            }
        }
        let rest = rows.remainder().chunks_exact(n);
        for (slot, row) in fours.into_remainder().iter_mut().zip(rest) {
            *slot = F::finish(fold_run::<T, F>(row));
        }
        return;
    }
    for (i, slot) in out.iter_mut().enumerate() {
        let mut lanes = [F::IDENTITY; LANES];
        if let Some(wide) = xs.get(i * n..).and_then(|rest| rest.first_chunk::<LANES>()) {
            // Reading on into the next row and dropping that is faster than a loop of `n`.
            for l in 0..LANES {
                lanes[l] = if l < n { F::join(F::IDENTITY, wide[l]) } else { F::IDENTITY };
            }
        } else {
            for (lane, &x) in lanes.iter_mut().zip(xs.get(i * n..(i + 1) * n).unwrap_or_default()) {
                *lane = F::join(F::IDENTITY, x);
            }
        }
        *slot = F::finish(short_tree::<T, F>(lanes));
    }
}

leveled!(
    /// Adds rows that follow each other to 16 rows of accumulators, round and round from `at` on.
    fn add_flat[T: Num, F: Fold<T>](lanes: &mut [T], at: usize, xs: &[T]) => add_flat_body);
#[inline(always)]
fn add_flat_body<const FMA: bool, T: Num, F: Fold<T>>(lanes: &mut [T], at: usize, xs: &[T]) {
    let (mut at, mut xs) = (at, xs);
    while !xs.is_empty() {
        let (now, later) = xs.split_at((lanes.len() - at).min(xs.len()));
        for (a, &x) in lanes.iter_mut().skip(at).zip(now) {
            *a = F::join(*a, x);
        }
        (at, xs) = (0, later);
    }
}

/// Rows by which parts of rows are asked for in advance, and from how many bytes on.
const AHEAD: usize = 4;
const FAR: usize = 512 << 10;

leveled!(
    /// Adds parts of rows, `stride` apart, to 16 rows of accumulators of width `w`.
    fn add_rows[T: Num, F: Fold<T>](lanes: &mut [T], w: usize, lane: usize, xs: &[T],
        stride: usize) => add_rows_body);
#[inline(always)]
fn add_rows_body<const FMA: bool, T: Num, F: Fold<T>>(
    lanes: &mut [T],
    w: usize,
    lane: usize,
    xs: &[T],
    stride: usize,
) {
    let mut lane = lane;
    let far = size_of_val(xs) > FAR;
    for row in xs.chunks(stride) {
        if far {
            // The machine's own prefetching ends with a page, which may be a row.
            let later = row.as_ptr().wrapping_add(AHEAD * stride);
            for i in (0..w).step_by(64 / size_of::<T>()) {
                prefetch(later.wrapping_add(i).cast());
            }
        }
        for (a, &x) in lanes.iter_mut().skip(lane * w).zip(row.get(..w).unwrap_or_default()) {
            *a = F::join(*a, x);
        }
        lane = (lane + 1) % LANES;
    }
}

leveled!(
    /// The tree over 16 rows of accumulators; the result is in the first.
    fn join_lanes[T: Num, F: Fold<T>](lanes: &mut [T], w: usize) => join_lanes_body);
#[inline(always)]
fn join_lanes_body<const FMA: bool, T: Num, F: Fold<T>>(lanes: &mut [T], w: usize) {
    for half in [8, 4, 2, 1] {
        let (low, high) = lanes.split_at_mut(half * w);
        for (a, &b) in low.iter_mut().zip(high.iter()) {
            *a = F::join(*a, b);
        }
    }
}

leveled!(fn join_before[T: Num, F: Fold<T>](later: &mut [T], earlier: &[T]) => join_before_body);
#[inline(always)]
fn join_before_body<const FMA: bool, T: Num, F: Fold<T>>(later: &mut [T], earlier: &[T]) {
    for (b, &a) in later.iter_mut().zip(earlier) {
        *b = F::join(a, *b);
    }
}

thread_local! {
    static PARTIALS: Cell<Vec<u64>> = const { Cell::new(Vec::new()) };
    static SCRATCH: Cell<Vec<u64>> = const { Cell::new(Vec::new()) };
}

/// Runs `f` on `len` elements that this thread keeps for the next time.
fn with_scratch<T: Eval, R>(
    from: &'static std::thread::LocalKey<Cell<Vec<u64>>>,
    len: usize,
    f: impl FnOnce(&mut [T]) -> R,
) -> R {
    let mut words = from.take();
    let wanted = (len * size_of::<T>()).div_ceil(size_of::<u64>());
    if words.len() < wanted {
        words.resize(wanted, 0);
    }
    // SAFETY: elements are plain numbers no larger and no stricter aligned than u64, any bits are
    // valid, and there are at least `len` of them.
    let elements = unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast::<T>(), len) };
    let result = f(elements);
    from.set(words);
    result
}
