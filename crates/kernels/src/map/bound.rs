//! A program bound to places once, for the small steps of a plan: see [`crate::bound`].

use super::compile::{Compiled, Home, Step};
use super::kernels::Kernel;
use super::load::{Axes, SLACK};
use super::ops;
use super::prepare::{check, contiguous, count, lane, load};
use super::{BLOCK, PIECE};
use crate::bound::{At, Binder, Place, Table};
use crate::memory::Ty;
use crate::program::{MAX_RANK, Source};

/// One instruction.
struct Call {
    kernel: Kernel,
    out: At,
    args: [At; 3],
}

/// An operand that is walked through by strides, into a register.
struct Walk {
    axes: Axes,
    size: usize,
    from: At,
    to: At,
}

enum Do {
    Call(Call),
    Walk(Box<Walk>),
}

/// A result that is written after its block.
struct Out {
    from: At,
    to: At,
    size: usize,
    /// For a scalar: what spreads it.
    fill: Option<Kernel>,
}

/// A scalar that is brought to working memory before the first block.
enum Bring {
    Slot { slot: usize, ty: Ty, to: At },
    Copy { from: At, to: At, size: usize },
}

/// A program with its places.
pub(crate) struct Bound {
    elements: usize,
    scalars: Vec<Bring>,
    /// Calls on scalars.
    prelude: Vec<Call>,
    steps: Vec<Do>,
    outs: Vec<Out>,
    /// Where each result is after its block; `None` for a scalar.
    results: Vec<Option<At>>,
}

impl Bound {
    /// Binds what [`super::run`] would run, or with no outputs what a
    /// [`BlockEval`](super::BlockEval) would evaluate in one block. `None` for what has to be cut
    /// into pieces, may fail, or draws random numbers.
    pub(crate) fn new(
        b: &mut Binder<'_>,
        program: &Compiled,
        dims: &[usize],
        operands: &[Place],
        outputs: Option<&[Place]>,
    ) -> Option<Bound> {
        let elements = count(dims)?;
        let most = if outputs.is_some() { PIECE } else { BLOCK };
        if elements == 0 || elements > most || dims.len() > MAX_RANK {
            return None;
        }
        if program.needs.operands > operands.len() || program.needs.keys > 0 {
            return None;
        }
        if outputs.is_some_and(|o| o.len() != program.results.len()) {
            return None;
        }
        let mut new = Bound {
            elements,
            scalars: Vec::new(),
            prelude: Vec::new(),
            steps: Vec::new(),
            outs: Vec::new(),
            results: Vec::new(),
        };
        let mut at = registers(b, program, elements)?;
        new.scalars(b, program, dims, operands, outputs.unwrap_or_default(), &mut at)?;
        let mut walks = new.inputs(b, program, dims, operands, &mut at)?;
        if let Some(outputs) = outputs {
            new.outputs(b, program, operands, outputs, &walks, &mut at)?;
        }
        let level = b.level as usize - 1;
        let call = |call: &super::compile::Call| {
            let args = call.args.map(|v| at[v as usize].unwrap_or_default());
            let out = at[call.out as usize]?;
            Some(Call { kernel: call.kernels[level], out, args })
        };
        for step in &program.prelude {
            let Step::Call(c) = step else { return None };
            new.prelude.push(call(c)?);
        }
        for step in &program.steps {
            match step {
                Step::Call(c) => new.steps.push(Do::Call(call(c)?)),
                Step::Load(i) => {
                    let walk = walks.get_mut(*i as usize)?.take();
                    new.steps.extend(walk.map(|w| Do::Walk(Box::new(w))));
                }
                Step::Divisor(_) => return None,
            }
        }
        let scalar = |v: u16| matches!(program.homes[v as usize], Home::Scalar(_));
        for &(v, _) in &program.results {
            new.results.push(at[v as usize].filter(|_| !scalar(v)));
        }
        for (out, &(v, _)) in new.outs.iter_mut().zip(&program.results) {
            out.from = at[v as usize]?;
            out.fill = scalar(v).then(|| ops::fill(program.tys[v as usize])[level]);
        }
        // What was written at once needs no copy.
        new.outs.retain(|out| out.from != out.to);
        Some(new)
    }

    /// Where scalars are: constants and operands where they lie, the others in working memory.
    fn scalars(
        &mut self,
        b: &mut Binder<'_>,
        program: &Compiled,
        dims: &[usize],
        operands: &[Place],
        outputs: &[Place],
        at: &mut [Option<At>],
    ) -> Option<()> {
        for &(v, source) in &program.scalars {
            let place = match source {
                Source::Const { bits, ty } => b.constant(lane(f64::from_bits(bits), ty))?,
                Source::Slot { slot, ty } => {
                    let to = b.room(8)?;
                    self.scalars.push(Bring::Slot { slot: slot as usize, ty, to });
                    to
                }
                Source::Operand { operand, ty, offset, ref strides } => {
                    let from = operands.get(operand as usize)?;
                    check(from.len, offset, dims, strides).ok()?;
                    let size = ty.size();
                    let place = b.at(from).filter(|_| from.ty == ty)?.moved(offset * size, 0)?;
                    match outputs.iter().find(|o| o.overlaps(from)) {
                        None => place,
                        // In place: it is read before anything is written.
                        Some(o) if o == from && self.elements == 1 => {
                            let to = b.room(8)?;
                            self.scalars.push(Bring::Copy { from: place, to, size });
                            to
                        }
                        Some(_) => return None,
                    }
                }
                Source::Random { .. } | Source::Index { .. } => return None,
            };
            *at.get_mut(v as usize)? = Some(place);
        }
        for step in &program.prelude {
            let Step::Call(call) = step else { return None };
            *at.get_mut(call.out as usize)? = Some(b.room(8)?);
        }
        Some(())
    }

    /// Where inputs are; those that are walked through, by their number.
    fn inputs(
        &mut self,
        b: &mut Binder<'_>,
        program: &Compiled,
        dims: &[usize],
        operands: &[Place],
        at: &mut [Option<At>],
    ) -> Option<Vec<Option<Walk>>> {
        let mut walks = Vec::new();
        for input in &program.inputs {
            let Source::Operand { operand, ty, offset, ref strides } = input.source else {
                return None;
            };
            let from = operands.get(operand as usize)?;
            check(from.len, offset, dims, strides).ok()?;
            let size = ty.size();
            let base = b.at(from).filter(|_| from.ty == ty)?.moved(offset * size, 0)?;
            let place = at.get_mut(input.value as usize)?;
            if contiguous(dims, strides) {
                *place = Some(base.moved(0, size)?);
                walks.push(None);
            } else if self.elements <= BLOCK {
                let axes = Axes::merged(dims, strides);
                walks.push(Some(Walk { axes, size, from: base, to: (*place)? }));
            } else {
                return None;
            }
        }
        Some(walks)
    }

    /// Checks outputs against operands as [`super::prepare`] does, and says which values are
    /// written to them at once.
    fn outputs(
        &mut self,
        b: &mut Binder<'_>,
        program: &Compiled,
        operands: &[Place],
        outputs: &[Place],
        walks: &[Option<Walk>],
        at: &mut [Option<At>],
    ) -> Option<()> {
        for (k, (place, &(value, made_by))) in outputs.iter().zip(&program.results).enumerate() {
            let ty = program.tys[value as usize];
            if place.ty != ty || place.len < self.elements {
                return None;
            }
            if outputs[..k].iter().any(|o| o.overlaps(place)) {
                return None;
            }
            let mut direct =
                made_by != u32::MAX && program.results[..k].iter().all(|r| r.0 != value);
            for (input, walk) in program.inputs.iter().zip(walks) {
                let Source::Operand { operand, offset, .. } = input.source else { return None };
                let from = &operands[operand as usize];
                if !from.overlaps(place) {
                    continue;
                }
                // In place: whoever still reads the operand must come before the write.
                let plain = walk.is_none() && input.last_read != u32::MAX;
                if !(from == place && offset == 0 && plain) {
                    return None;
                }
                direct &= input.last_read <= made_by;
            }
            let to = b.written(place)?.moved(0, ty.size())?;
            if direct {
                at[value as usize] = Some(to);
            }
            self.outs.push(Out { from: to, to, size: ty.size(), fill: None });
        }
        Some(())
    }

    /// How many run-time numbers it needs.
    pub(crate) fn slots(&self) -> usize {
        let need = |s: &Bring| match s {
            Bring::Slot { slot, .. } => slot + 1,
            Bring::Copy { .. } => 0,
        };
        self.scalars.iter().map(need).max().unwrap_or(0)
    }

    /// Where result `k` is after a run, if it is not a scalar.
    pub(crate) fn result(&self, k: usize) -> Option<At> {
        self.results.get(k).copied().flatten()
    }

    /// Runs the program over all elements.
    ///
    /// # Safety
    /// The table has the memories that this was bound to, and nobody else uses what is written.
    #[inline]
    pub(crate) unsafe fn run(&self, table: &Table, slots: &[f64]) {
        // SAFETY: every place was found long enough for all elements, and a register for a block
        // with its slack. A result overlaps no operand that is read after it is written, but in
        // place. A kernel is one of the level that `bound` checks.
        unsafe {
            if !self.scalars.is_empty() {
                self.bring(table, slots);
            }
            for c in &self.prelude {
                let [x, y, z] = c.args.map(|a| a.ptr(table).cast_const());
                (c.kernel)(c.out.ptr(table), x, y, z, 1);
            }
            let mut start = 0;
            while start < self.elements {
                let n = (self.elements - start).min(BLOCK);
                for step in &self.steps {
                    match step {
                        Do::Call(c) => {
                            let [x, y, z] = c.args.map(|a| a.from(table, start).cast_const());
                            (c.kernel)(c.out.from(table, start), x, y, z, n);
                        }
                        Do::Walk(w) => w.run(table, n),
                    }
                }
                for out in &self.outs {
                    let (from, to) = (out.from.from(table, start), out.to.from(table, start));
                    match out.fill {
                        Some(fill) => fill(to, to, from, to, n),
                        None => std::ptr::copy_nonoverlapping(from, to, n * out.size),
                    }
                }
                start += n;
            }
        }
    }

    /// # Safety
    /// As [`Bound::run`].
    unsafe fn bring(&self, table: &Table, slots: &[f64]) {
        for scalar in &self.scalars {
            // SAFETY: there is room for 8 bytes at a cache line; an operand has the element.
            unsafe {
                match *scalar {
                    Bring::Slot { slot, ty, to } => {
                        let number = slots.get(slot).copied().unwrap_or(0.0);
                        to.ptr(table).cast::<u64>().write(lane(number, ty));
                    }
                    Bring::Copy { from, to, size } => {
                        std::ptr::copy_nonoverlapping(from.ptr(table), to.ptr(table), size);
                    }
                }
            }
        }
    }
}

impl Walk {
    /// # Safety
    /// As [`Bound::run`]; there is one block of `n` elements.
    unsafe fn run(&self, table: &Table, n: usize) {
        let (from, to) = (self.from.ptr(table).cast_const(), self.to.ptr(table));
        // SAFETY: the axes were checked against the operand, and the register has room and slack.
        unsafe {
            match self.size {
                1 => load::<u8>(&self.axes, from, n, to),
                2 => load::<u16>(&self.axes, from, n, to),
                4 => load::<u32>(&self.axes, from, n, to),
                _ => load::<u64>(&self.axes, from, n, to),
            }
        }
    }
}

/// Where values that have a register are: registers only as long as needed, so that those of a few
/// elements lie side by side.
fn registers(b: &mut Binder<'_>, program: &Compiled, elements: usize) -> Option<Vec<Option<At>>> {
    let mut at = vec![None; program.homes.len()];
    let mut known: Vec<(u32, At)> = Vec::new();
    for (v, home) in program.homes.iter().enumerate() {
        let Home::Register(r) = *home else { continue };
        // A register has one size of elements only.
        at[v] = match known.iter().find(|(k, _)| *k == r) {
            Some(&(_, place)) => Some(place),
            None => {
                let place = b.room((elements.min(BLOCK) + SLACK) * program.tys[v].size())?;
                known.push((r, place));
                Some(place)
            }
        };
    }
    Some(at)
}
