//! Running the steps of a program over one block of lanes.

use super::BLOCK;
use super::compile::{Compiled, Home, Step};
use super::lease::{Kept, Lease, Shelf};
use super::load::Cursor;
use super::ops;
use super::prepare::{Line, Mode, Plan, Prepared, reserve};
use crate::memory::{Element, KernelError, Mem};
use crate::philox;
use crate::program::RandomKey;

/// What a thread works in: registers, where each value is now, and where each walk stands.
#[derive(Default)]
pub(super) struct Work {
    registers: Vec<Line>,
    places: Vec<*mut u8>,
    cursors: Vec<Cursor>,
}

impl Kept for Work {
    fn shelf<R>(f: impl FnOnce(&Shelf<Work>) -> R) -> Option<R> {
        thread_local! {
            static WORKS: Shelf<Work> = const { Shelf::new(Vec::new()) };
        }
        WORKS.try_with(f).ok()
    }
}

/// One thread's evaluation of a [`Prepared`] program. Every call takes that same program.
pub(super) struct Worker {
    work: Lease<Work>,
}

impl Worker {
    pub(super) fn new(prepared: &Prepared<'_>) -> Worker {
        let mut work = Lease::<Work>::take();
        let program = prepared.program;
        // One more register of the widest type, for a scalar result.
        reserve(&mut work.registers, program.register_bytes + BLOCK * 8);
        let registers = work.registers.as_mut_ptr().cast::<u8>();
        work.places.clear();
        work.places.extend(program.homes.iter().map(|home| match *home {
            Home::Dead => std::ptr::null_mut(),
            Home::Scalar(i) => prepared.scalar(i).cast_mut(),
            Home::Register(at) => registers.wrapping_add(at as usize),
        }));
        work.cursors.clear();
        work.cursors.resize(prepared.plans().len(), Cursor::START);
        Worker { work }
    }

    /// Evaluates elements `start..start + n`, at most [`BLOCK`], and leaves each result in its
    /// place, which for a direct output is the output.
    ///
    /// # Safety
    /// `prepared` is the one this worker was made for, `start + n` is at most its number of
    /// elements, and `n <= BLOCK`.
    #[inline]
    unsafe fn block(&mut self, prepared: &Prepared<'_>, start: usize, n: usize) {
        let Work { registers, places, cursors } = &mut *self.work;
        for plan in prepared.plans() {
            let (from, index) = match plan.mode {
                Mode::Direct => (plan.base, start),
                Mode::Pattern { line, period, .. } => (prepared.pattern(line), start % period),
                _ => continue,
            };
            places[plan.value as usize] = from.wrapping_add(index * plan.size).cast_mut();
        }
        for out in prepared.outs() {
            if out.direct {
                places[out.value as usize] = out.base.wrapping_add(start * out.ty.size());
            }
        }
        let program = prepared.program;
        for step in &program.steps {
            match step {
                Step::Call(call) => {
                    let [a, b, c] = call.args.map(|v| places[v as usize].cast_const());
                    let out = places[call.out as usize];
                    // SAFETY: a place is a register (BLOCK lanes), a scalar where the kernel wants
                    // one, or checked memory from element `start` on. The result's register is
                    // nobody else's now, or that of an operand with the same lane size, which is
                    // read before it is written; a direct output overlaps no operand that is still
                    // read, except in place. The level is the machine's.
                    unsafe { call.kernels[prepared.level](out, a, b, c, n) };
                }
                Step::Load(i) => {
                    let plan = &prepared.plans()[*i as usize];
                    if let Home::Register(at) = program.homes[plan.value as usize] {
                        let to = registers.as_mut_ptr().cast::<u8>().wrapping_add(at as usize);
                        let cursor = &mut cursors[*i as usize];
                        // SAFETY: the register has BLOCK lanes of the plan's type, and slack.
                        let place = unsafe { load(prepared, plan, cursor, start, n, to) };
                        if let Some(place) = place {
                            places[plan.value as usize] = place.cast_mut();
                        }
                    }
                }
                Step::Divisor(v) => {
                    let lanes =
                        if matches!(program.homes[*v as usize], Home::Scalar(_)) { 1 } else { n };
                    let p = places[*v as usize].cast_const();
                    // SAFETY: a value has n lanes of its type at its place, a scalar one.
                    let zero = unsafe {
                        match program.tys[*v as usize].size() {
                            1 => first_zero::<u8>(p, lanes),
                            4 => first_zero::<u32>(p.cast(), lanes),
                            _ => first_zero::<u64>(p.cast(), lanes),
                        }
                    };
                    if let Some(i) = zero {
                        prepared.report_zero_divisor(start + i);
                    }
                }
            }
        }
    }

    /// Evaluates elements `start..end` and writes the outputs.
    ///
    /// # Safety
    /// As [`Worker::block`], and nobody else uses these elements of the outputs now.
    pub(super) unsafe fn map(&mut self, prepared: &Prepared<'_>, start: usize, end: usize) {
        let mut at = start;
        while at < end {
            let n = (end - at).min(BLOCK);
            // SAFETY: the caller's promise.
            unsafe { self.block(prepared, at, n) };
            for out in prepared.outs() {
                if out.direct {
                    continue;
                }
                let from = self.work.places[out.value as usize].cast_const();
                let to = out.base.wrapping_add(at * out.ty.size());
                // SAFETY: the output has elements at..at + n; a place has n lanes, a scalar one. An
                // operand that shares memory with an output was copied to its register, so the
                // place overlaps no output.
                unsafe {
                    if matches!(prepared.program.homes[out.value as usize], Home::Scalar(_)) {
                        ops::fill(out.ty)[prepared.level](to, to, from, to, n);
                    } else {
                        std::ptr::copy_nonoverlapping(from, to, n * out.ty.size());
                    }
                }
            }
            at += n;
        }
    }
}

/// Fills an input's register, or finds a place where the values already are.
///
/// # Safety
/// `start + n` is at most the number of elements and `to` is a register of the plan's type.
#[inline]
unsafe fn load(
    prepared: &Prepared<'_>,
    plan: &Plan,
    cursor: &mut Cursor,
    start: usize,
    n: usize,
    to: *mut u8,
) -> Option<*const u8> {
    // SAFETY: the axes were checked against the operand's window when the plan was made; the
    // register is this thread's own.
    unsafe {
        match plan.mode {
            Mode::Direct | Mode::Pattern { .. } => None,
            Mode::Copied => {
                let from = plan.base.wrapping_add(start * plan.size);
                std::ptr::copy_nonoverlapping(from, to, n * plan.size);
                None
            }
            Mode::Walk { axes } => {
                let axes = prepared.axes(axes);
                Some(match plan.size {
                    1 => cursor.load::<u8>(axes, plan.base, start, n, to),
                    2 => cursor.load::<u16>(axes, plan.base.cast(), start, n, to.cast()).cast(),
                    4 => cursor.load::<u32>(axes, plan.base.cast(), start, n, to.cast()).cast(),
                    _ => cursor.load::<u64>(axes, plan.base.cast(), start, n, to.cast()).cast(),
                })
            }
            Mode::Random { key, dist } => {
                let lanes = std::slice::from_raw_parts_mut(to.cast::<f32>(), n);
                philox::fill(key, dist, start as u64, lanes);
                None
            }
            Mode::Index { inner, dim } => {
                let lanes = std::slice::from_raw_parts_mut(to.cast::<i64>(), n);
                indices(inner, dim, start, lanes);
                None
            }
        }
    }
}

/// The first of n lanes that is 0.
///
/// # Safety
/// `p` is valid for reading n lanes.
#[inline]
unsafe fn first_zero<T: Copy + Default + PartialEq>(p: *const T, n: usize) -> Option<usize> {
    // SAFETY: the caller's promise.
    (0..n).find(|&i| unsafe { p.add(i).read_unaligned() } == T::default())
}

/// The index along an axis, for the elements from `start` on.
fn indices(inner: usize, dim: usize, start: usize, mut lanes: &mut [i64]) {
    let mut index = start / inner % dim;
    let mut left = inner - start % inner;
    while !lanes.is_empty() {
        let n = left.min(lanes.len());
        let (now, later) = lanes.split_at_mut(n);
        now.fill(index as i64);
        lanes = later;
        left = inner;
        index = if index + 1 == dim { 0 } else { index + 1 };
    }
}

/// Evaluates the results of a program block by block, for fused reductions. One evaluator a thread:
/// make it inside the pool piece.
pub(crate) struct BlockEval<'a> {
    prepared: Prepared<'a>,
    worker: Worker,
    /// Lanes of the range that was evaluated last.
    len: usize,
}

impl<'a> BlockEval<'a> {
    /// Checks types and bounds. The type of result `k` is `program.result_ty(k)`.
    pub(crate) fn new(
        program: &'a Compiled,
        dims: &[usize],
        operands: &'a [Mem<'a>],
        slots: &'a [f64],
        keys: &'a [RandomKey],
    ) -> Result<BlockEval<'a>, KernelError> {
        if program.results.is_empty() {
            return Err(KernelError::Type("the program has no result"));
        }
        let mut prepared = Prepared::unbound(program);
        prepared.bind(dims, operands, slots, keys)?;
        let worker = Worker::new(&prepared);
        Ok(BlockEval { prepared, worker, len: 0 })
    }

    /// Evaluates the linear range, unless `len > BLOCK` or the range leaves the space.
    #[inline]
    pub(crate) fn evaluate(&mut self, start: usize, len: usize) {
        let inside = start.checked_add(len).is_some_and(|end| end <= self.prepared.elements);
        self.len = 0;
        if len <= BLOCK && inside {
            // SAFETY: the range was checked, and the worker was made for this program.
            unsafe { self.worker.block(&self.prepared, start, len) };
            self.len = len;
        }
    }

    /// Result `k` for the range that was evaluated; may be the operand's own memory. Empty if there
    /// is none or it has another type.
    #[inline]
    pub(crate) fn result<T: Element>(&mut self, k: usize) -> &[T] {
        let (program, len) = (self.prepared.program, self.len);
        let Some(&(value, _)) = program.results.get(k) else { return &[] };
        if len == 0 || program.tys[value as usize] != T::TY {
            return &[];
        }
        // SAFETY: the place has len lanes: a register that stays as it is until the next range, or
        // memory that the caller lends for 'a and nobody writes while a reduction reads it. A scalar
        // is spread over the spare register.
        unsafe {
            let work = &mut self.worker.work;
            let mut from = work.places[value as usize].cast_const();
            if matches!(program.homes[value as usize], Home::Scalar(_)) {
                let spare = work.registers.as_mut_ptr().cast::<u8>();
                let spare = spare.wrapping_add(program.register_bytes);
                ops::fill(T::TY)[self.prepared.level](spare, spare, from, spare, len);
                from = spare;
            }
            std::slice::from_raw_parts(from.cast::<T>(), len)
        }
    }

    /// The first division by zero met so far; ask once at the end.
    pub(crate) fn error(&self) -> Option<KernelError> {
        self.prepared.error()
    }
}
