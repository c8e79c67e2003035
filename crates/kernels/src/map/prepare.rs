//! What one run of a program needs besides the program: every check, the operands' axes, the
//! scalars, and short operands that repeat (a bias), written out once.

use super::BLOCK;
use super::compile::{Compiled, Home, Input, Step};
use super::lease::{Kept, Lease, Shelf};
use super::load::{Axes, Cursor, SLACK};
use crate::convert::Convert;
use crate::isa;
use crate::memory::{KernelError, Mem, Ty};
use crate::program::{Dist, MAX_RANK, RandomKey, Source};
use half::{bf16, f16};
use std::sync::atomic::{AtomicUsize, Ordering};

/// How an input reaches the kernels.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mode {
    /// Kernels read the operand's memory.
    Direct,
    /// Kernels read a written-out copy that repeats with this period (its place in the patterns,
    /// in lines).
    Pattern { line: usize, period: usize, axes: u32 },
    /// Copied to a register, because an output is about to replace it.
    Copied,
    /// Walked through by strides, run by run, into a register, or read in place where one run is
    /// long enough; the number of its axes.
    Walk { axes: u32 },
    /// Random numbers are made in a register.
    Random { key: RandomKey, dist: Dist },
    /// The index along an axis of `dim` elements, each `inner` elements long.
    Index { inner: usize, dim: usize },
}

/// An input of this run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) value: u16,
    pub(super) size: usize,
    pub(super) base: *const u8,
    pub(super) mode: Mode,
}

/// An output of this run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Out {
    pub(super) value: u16,
    pub(super) ty: Ty,
    pub(super) base: *mut u8,
    /// Whether the call that makes the value may write it to the output at once.
    pub(super) direct: bool,
}

/// Aligned memory for registers, a cache line at a time.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Line([u8; 64]);

/// Makes `lines` hold at least `bytes`.
pub(super) fn reserve(lines: &mut Vec<Line>, bytes: usize) {
    let need = bytes.div_ceil(64);
    if lines.len() < need {
        lines.resize(need, Line([0; 64]));
    }
}

/// The vectors of a [`Prepared`], kept by the thread for the next run.
#[derive(Default)]
pub(super) struct Store {
    plans: Vec<Plan>,
    axes: Vec<Axes>,
    outs: Vec<Out>,
    scalars: Vec<u64>,
    patterns: Vec<Line>,
}

impl Kept for Store {
    fn shelf<R>(f: impl FnOnce(&Shelf<Store>) -> R) -> Option<R> {
        thread_local! {
            static STORES: Shelf<Store> = const { Shelf::new(Vec::new()) };
        }
        STORES.try_with(f).ok()
    }
}

/// A program, bound to operands and outputs that were checked.
pub(super) struct Prepared<'a> {
    pub(super) program: &'a Compiled,
    pub(super) elements: usize,
    /// Index into the kernel tables.
    pub(super) level: usize,
    store: Lease<Store>,
    /// The first element whose divisor was 0; `usize::MAX` if none was.
    zero_divisor: AtomicUsize,
}

// SAFETY: after binding the vectors and what the operand pointers point to are only read, except for
// output elements, of which each piece writes its own. The caller of the run holds the windows.
unsafe impl Sync for Prepared<'_> {}

impl<'a> Prepared<'a> {
    /// Nothing bound yet. Binding is a second step so that the value is built where it stays: moving
    /// it costs more than the checks of a small run.
    #[inline]
    pub(super) fn unbound(program: &'a Compiled) -> Self {
        Prepared {
            program,
            elements: 0,
            level: isa::active() as usize - 1,
            store: Lease::take(),
            zero_divisor: AtomicUsize::new(usize::MAX),
        }
    }

    /// Checks everything but the outputs and reads the scalars.
    pub(super) fn bind(
        &mut self,
        dims: &[usize],
        operands: &[Mem<'a>],
        slots: &[f64],
        keys: &[RandomKey],
    ) -> Result<(), KernelError> {
        let Some(elements) = count(dims) else {
            return Err(KernelError::Bounds("the iteration space is too large"));
        };
        let needs = &self.program.needs;
        if needs.operands > operands.len() || needs.slots > slots.len() || needs.keys > keys.len() {
            return Err(KernelError::Bounds("operands, slots or random keys are missing"));
        }
        if dims.len() > MAX_RANK || needs.rank > dims.len() {
            return Err(KernelError::Bounds("the rank is wrong"));
        }
        self.elements = elements;
        let store = &mut *self.store;
        store.plans.clear();
        store.axes.clear();
        store.outs.clear();
        store.scalars.clear();
        store.scalars.resize(self.program.scalar_count, 0);
        self.bind_inputs(dims, operands, keys)?;
        if elements > 0 {
            self.read_scalars(dims, operands, slots)?;
            self.write_patterns();
        }
        Ok(())
    }

    /// Checks the outputs, after [`Prepared::bind`].
    pub(super) fn bind_outputs(
        &mut self,
        operands: &[Mem<'a>],
        outputs: &[Mem<'a>],
    ) -> Result<(), KernelError> {
        let program = self.program;
        if program.results.len() != outputs.len() {
            return Err(KernelError::Bounds("as many outputs as results are needed"));
        }
        for (k, (mem, &(value, made_by))) in outputs.iter().zip(&program.results).enumerate() {
            let ty = program.tys[value as usize];
            if mem.ty() != ty || !mem.writable() {
                return Err(KernelError::Type("an output has the wrong type or is read-only"));
            }
            if mem.len() < self.elements {
                return Err(KernelError::Bounds("an output is too short"));
            }
            if outputs[..k].iter().any(|o| o.overlaps(mem)) {
                return Err(KernelError::Overlap("two outputs overlap"));
            }
            // A value that is written twice goes to the first output at once, then is copied.
            let mut direct =
                made_by != u32::MAX && program.results[..k].iter().all(|r| r.0 != value);
            for (plan, input) in self.store.plans.iter_mut().zip(&program.inputs) {
                let Source::Operand { operand, offset, .. } = input.source else { continue };
                let from = &operands[operand as usize];
                if !from.overlaps(mem) {
                    continue;
                }
                let plain = matches!(plan.mode, Mode::Direct | Mode::Copied);
                if !(from.same(mem) && offset == 0 && plain) {
                    return Err(KernelError::Overlap("an output overlaps an operand"));
                }
                // In place: whoever still reads the operand must come before the write. An operand
                // that is itself a result is read at the end, so it is copied to its register.
                if input.last_read == u32::MAX {
                    plan.mode = Mode::Copied;
                }
                direct &= input.last_read <= made_by;
            }
            for &(_, source) in &program.scalars {
                if let Source::Operand { operand, .. } = source {
                    let from = &operands[operand as usize];
                    if from.overlaps(mem) && !(from.same(mem) && self.elements == 1) {
                        return Err(KernelError::Overlap("an output overlaps an operand"));
                    }
                }
            }
            self.store.outs.push(Out { value, ty, base: mem.ptr_bytes(), direct });
        }
        Ok(())
    }

    fn bind_inputs(
        &mut self,
        dims: &[usize],
        operands: &[Mem<'a>],
        keys: &[RandomKey],
    ) -> Result<(), KernelError> {
        let mut lines = 0;
        for &Input { value, source, .. } in &self.program.inputs {
            let size = self.program.tys[value as usize].size();
            let mut plan = Plan { value, size, base: std::ptr::null(), mode: Mode::Direct };
            match source {
                Source::Operand { operand, ty, offset, ref strides } => {
                    let mem = &operands[operand as usize];
                    if mem.ty() != ty {
                        return Err(WRONG_TYPE);
                    }
                    // Inside the window if there is any element.
                    plan.base = mem.ptr_bytes().wrapping_add(offset.wrapping_mul(size));
                    if contiguous(dims, strides) {
                        if offset.checked_add(self.elements).is_none_or(|end| end > mem.len())
                            && self.elements > 0
                        {
                            return Err(OUTSIDE);
                        }
                    } else if self.elements > 0 {
                        check(mem.len(), offset, dims, strides)?;
                        let axes = Axes::merged(dims, strides);
                        plan.mode = self.mode(axes, lines);
                        if let Mode::Pattern { period, .. } = plan.mode {
                            lines +=
                                (size * (pattern_len(period, self.elements) + SLACK)).div_ceil(64);
                        }
                    }
                }
                Source::Random { key, dist } => {
                    plan.mode = Mode::Random { key: keys[key as usize], dist };
                }
                Source::Index { axis } => {
                    let (outer, inner) = dims.split_at(axis as usize + 1);
                    let dim = outer.last().copied().unwrap_or(1);
                    plan.mode = Mode::Index { inner: count(inner).unwrap_or(0), dim };
                }
                Source::Slot { .. } | Source::Const { .. } => {}
            }
            self.store.plans.push(plan);
        }
        reserve(&mut self.store.patterns, lines * 64);
        Ok(())
    }

    /// How an operand that is not contiguous is read.
    fn mode(&mut self, axes: Axes, line: usize) -> Mode {
        let period = self.elements / axes.dims[0];
        // The pattern is walked through without its outermost axis, which repeats.
        let repeats = axes.rank > 1 && axes.strides[0] == 0 && period <= BLOCK;
        self.store.axes.push(axes);
        let axes = self.store.axes.len() as u32 - 1;
        if repeats { Mode::Pattern { line, period, axes } } else { Mode::Walk { axes } }
    }

    fn read_scalars(
        &mut self,
        dims: &[usize],
        operands: &[Mem<'a>],
        slots: &[f64],
    ) -> Result<(), KernelError> {
        let program = self.program;
        for &(v, source) in &program.scalars {
            let at = scalar_index(program, v);
            self.store.scalars[at] = match source {
                Source::Const { bits, ty } => lane(f64::from_bits(bits), ty),
                Source::Slot { slot, ty } => lane(slots[slot as usize], ty),
                Source::Operand { operand, ty, offset, ref strides } => {
                    let mem = &operands[operand as usize];
                    if mem.ty() != ty {
                        return Err(WRONG_TYPE);
                    }
                    check(mem.len(), offset, dims, strides)?;
                    let p = mem.ptr_bytes().wrapping_add(offset * ty.size());
                    // SAFETY: `check` found the element inside the window.
                    unsafe {
                        match ty.size() {
                            4 => u64::from(p.cast::<u32>().read()),
                            1 => u64::from(p.read()),
                            2 => u64::from(p.cast::<u16>().read()),
                            _ => p.cast::<u64>().read(),
                        }
                    }
                }
                Source::Random { .. } | Source::Index { .. } => 0,
            };
        }
        for step in &program.prelude {
            match step {
                Step::Divisor(v) => {
                    if self.store.scalars[scalar_index(program, *v)] == 0 {
                        return Err(KernelError::DivisionByZero { position: 0 });
                    }
                }
                Step::Call(call) => {
                    let table = self.store.scalars.as_mut_ptr();
                    let at = |v: u16| table.wrapping_add(scalar_index(program, v)).cast::<u8>();
                    let [a, b, c] = call.args.map(at);
                    // SAFETY: each pointer is to an entry of the table, which holds one lane of any
                    // type, and the result's entry is no operand's. The level is the machine's.
                    unsafe { call.kernels[self.level](at(call.out), a, b, c, 1) };
                }
                Step::Load(_) => {}
            }
        }
        Ok(())
    }

    /// Writes out the operands that repeat: one period by strides, then copies of it, so that a
    /// block can start anywhere in the period.
    fn write_patterns(&mut self) {
        let Store { plans, axes, patterns, .. } = &mut *self.store;
        for plan in plans {
            let Mode::Pattern { line, period, axes: k } = plan.mode else { continue };
            let len = pattern_len(period, self.elements);
            // The outermost axis is the one that repeats.
            let inner = axes[k as usize].inner();
            let to = patterns[line..].as_mut_ptr().cast::<u8>();
            // SAFETY: `bind_inputs` reserved `len + SLACK` elements at this line, and period <= len; the
            // axes were checked against the operand's window.
            unsafe {
                match plan.size {
                    1 => load::<u8>(&inner, plan.base, period, to),
                    2 => load::<u16>(&inner, plan.base, period, to),
                    4 => load::<u32>(&inner, plan.base, period, to),
                    _ => load::<u64>(&inner, plan.base, period, to),
                }
                let mut done = period;
                while done < len {
                    let n = done.min(len - done);
                    std::ptr::copy_nonoverlapping(to, to.add(done * plan.size), n * plan.size);
                    done += n;
                }
            }
        }
    }

    #[inline]
    pub(super) fn axes(&self, i: u32) -> &Axes {
        &self.store.axes[i as usize]
    }

    pub(super) fn plans(&self) -> &[Plan] {
        &self.store.plans
    }

    pub(super) fn outs(&self) -> &[Out] {
        &self.store.outs
    }

    /// The address of a scalar.
    pub(super) fn scalar(&self, i: u32) -> *const u8 {
        self.store.scalars[i as usize..].as_ptr().cast()
    }

    /// The address of a pattern.
    pub(super) fn pattern(&self, line: usize) -> *const u8 {
        self.store.patterns[line..].as_ptr().cast()
    }

    /// Remembers a division by zero; the first element wins, however the work is cut.
    pub(super) fn report_zero_divisor(&self, position: usize) {
        self.zero_divisor.fetch_min(position, Ordering::Relaxed);
    }

    /// The division by zero that was met, if any.
    pub(super) fn error(&self) -> Option<KernelError> {
        match self.zero_divisor.load(Ordering::Relaxed) {
            usize::MAX => None,
            position => Some(KernelError::DivisionByZero { position }),
        }
    }
}

/// Copies the first `n` elements by strides.
///
/// # Safety
/// As [`Cursor::load`], from the first element on.
pub(super) unsafe fn load<T: Copy>(axes: &Axes, base: *const u8, n: usize, to: *mut u8) {
    let mut cursor = Cursor::START;
    // SAFETY: the caller's promise; elements that were found in place lie outside `to`.
    unsafe {
        let at = cursor.load::<T>(axes, base.cast(), 0, n, to.cast());
        if at.cast::<u8>() != to.cast_const() {
            std::ptr::copy_nonoverlapping(at, to.cast(), n);
        }
    }
}

/// Elements of the space; `None` if they cannot be counted.
pub(super) fn count(dims: &[usize]) -> Option<usize> {
    if dims.contains(&0) {
        return Some(0);
    }
    dims.iter().try_fold(1_usize, |n, &d| n.checked_mul(d)).filter(|&n| n <= isize::MAX as usize)
}

fn scalar_index(program: &Compiled, v: u16) -> usize {
    match program.homes[v as usize] {
        Home::Scalar(i) => i as usize,
        _ => 0,
    }
}

/// The bits of a number as a lane of that type.
pub(super) fn lane(x: f64, ty: Ty) -> u64 {
    match ty {
        Ty::F32 => u64::from((x as f32).to_bits()),
        Ty::I64 => x as i64 as u64,
        Ty::I32 => u64::from(x as i32 as u32),
        Ty::U8 => u64::from(x as u8),
        Ty::Bool => u64::from(x != 0.0),
        Ty::F64 => x.to_bits(),
        Ty::BF16 => u64::from(Convert::<bf16>::convert(x).to_bits()),
        Ty::F16 => u64::from(Convert::<f16>::convert(x).to_bits()),
    }
}

/// Elements of a written-out pattern: enough for a block that starts at the period's end.
fn pattern_len(period: usize, elements: usize) -> usize {
    (period + BLOCK).min(elements)
}

/// Whether the elements lie one after the other, in row-major order.
#[inline]
pub(super) fn contiguous(dims: &[usize], strides: &[isize; MAX_RANK]) -> bool {
    let mut step = 1_isize;
    for (&d, &s) in dims.iter().zip(strides).rev() {
        if d != 1 {
            if s != step {
                return false;
            }
            step = step.wrapping_mul(d as isize);
        }
    }
    true
}

const OUTSIDE: KernelError = KernelError::Bounds("an operand leaves its window");
const WRONG_TYPE: KernelError = KernelError::Type("an operand has the wrong type");

/// Whether every element of the axes is inside the window; no size is 0.
pub(super) fn check(
    len: usize,
    offset: usize,
    dims: &[usize],
    strides: &[isize; MAX_RANK],
) -> Result<(), KernelError> {
    let first = isize::try_from(offset).map_err(|_| OUTSIDE)?;
    let (mut low, mut high) = (first, first);
    for (&d, &s) in dims.iter().zip(strides) {
        let span = isize::try_from(d - 1).ok().and_then(|d| d.checked_mul(s)).ok_or(OUTSIDE)?;
        let end = if s < 0 { &mut low } else { &mut high };
        *end = end.checked_add(span).ok_or(OUTSIDE)?;
    }
    if low < 0 || high as usize >= len {
        return Err(OUTSIDE);
    }
    Ok(())
}
