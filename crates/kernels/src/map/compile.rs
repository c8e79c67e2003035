//! From a [`Program`] to the steps of one block: types are checked, dead values dropped, values
//! that are the same for every element moved out of the loop, kernels chosen and registers assigned
//! by liveness, so that the working set stays in the first-level cache.

use super::kernels::Levels;
use super::load::SLACK;
use super::{BLOCK, ops};
use crate::memory::{KernelError, Ty};
use crate::program::{Binary, Instr, MAX_RANK, Program, Source, Ternary};

/// Where a value lives while a block runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Home {
    /// Nowhere: nobody reads it.
    Dead,
    /// The same for every element: a number in the table of scalars.
    Scalar(u32),
    /// A register at this byte offset; an operand may be read from its memory instead.
    Register(u32),
}

/// One kernel call; operands are value numbers.
#[derive(Clone, Copy)]
pub(super) struct Call {
    pub(super) kernels: &'static Levels,
    pub(super) out: u16,
    pub(super) args: [u16; 3],
}

/// What happens in a block, in order.
#[derive(Clone, Copy)]
pub(super) enum Step {
    /// Brings source number `.0` of the live ones into its register.
    Load(u16),
    /// Runs a kernel.
    Call(Call),
    /// Looks for a zero among the divisors in this value.
    Divisor(u16),
}

/// A live source that differs from element to element.
#[derive(Clone, Copy, Debug)]
pub(super) struct Input {
    pub(super) value: u16,
    pub(super) source: Source,
    /// The last step that reads it; `u32::MAX` if it is also a result.
    pub(super) last_read: u32,
}

/// A checked program, ready to run over any dims.
#[derive(Clone)]
pub struct Compiled {
    /// The type of each value.
    pub(super) tys: Vec<Ty>,
    /// Where each value lives; registers for spread scalars come after the program's values.
    pub(super) homes: Vec<Home>,
    /// Sources that vary by element.
    pub(super) inputs: Vec<Input>,
    /// Sources that do not, with their value number.
    pub(super) scalars: Vec<(u16, Source)>,
    /// Calls on scalars, once a run.
    pub(super) prelude: Vec<Step>,
    /// The steps of a block.
    pub(super) steps: Vec<Step>,
    /// The value of each result and the step that makes it (`u32::MAX` if no call does).
    pub(super) results: Vec<(u16, u32)>,
    /// Number of scalars in the table.
    pub(super) scalar_count: usize,
    /// Bytes of registers a thread needs.
    pub(super) register_bytes: usize,
    /// Estimated time of an element, in ns.
    pub(super) cost: f32,
    /// How many operands, slots and keys a run must bring, and the least rank.
    pub(super) needs: Needs,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Needs {
    pub(super) operands: usize,
    pub(super) slots: usize,
    pub(super) keys: usize,
    pub(super) rank: usize,
}

impl std::fmt::Debug for Compiled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compiled")
            .field("values", &self.tys.len())
            .field("steps", &self.steps.len())
            .field("register_bytes", &self.register_bytes)
            .finish_non_exhaustive()
    }
}

impl Compiled {
    /// Number of results, and so of outputs.
    pub fn results(&self) -> usize {
        self.results.len()
    }

    /// The type of result `i`.
    pub fn result_ty(&self, i: usize) -> Option<Ty> {
        self.results.get(i).map(|&(v, _)| self.tys[v as usize])
    }

    /// The source that result 0 merely gives back, if it is one that varies by element.
    pub(crate) fn plain_source(&self) -> Option<&Source> {
        let value = self.results.first()?.0;
        self.inputs.iter().find(|input| input.value == value).map(|input| &input.source)
    }

    /// About how long one element takes on one thread, in ns.
    pub fn cost_ns(&self) -> f32 {
        self.cost
    }
}

/// Whether maps can run an instruction whose operands have these types (as many as it has operands).
pub fn supports(instr: &Instr, tys: &[Ty]) -> bool {
    match (instr, tys) {
        (Instr::Unary(op, _), [x]) => ops::unary(*op, *x).is_some(),
        (Instr::Binary(op, ..), [x, y]) => x == y && ops::binary(*op, *x).is_some(),
        (Instr::Ternary(Ternary::Where, ..), [a, b, c]) => {
            *a == Ty::Bool && b == c && ops::ternary(Ternary::Where, *b).is_some()
        }
        (Instr::Ternary(op, ..), [a, b, c]) => a == b && b == c && ops::ternary(*op, *b).is_some(),
        (Instr::Cast(..), [_]) => true,
        _ => false,
    }
}

const BAD_VALUE: KernelError = KernelError::Type("a value number is not that of an earlier value");

impl Program {
    /// Checks the program and prepares it for [`super::run`].
    ///
    /// # Errors
    /// [`KernelError::Type`] for a value number that does not exist yet, an operation that its
    /// operands' types do not have, or too many values.
    pub fn compile(&self) -> Result<Compiled, KernelError> {
        let tys = self.types()?;
        let count = tys.len();
        let live = self.live(count);
        let varies = self.varying();
        let mut out = Builder {
            c: Compiled {
                homes: vec![Home::Dead; count],
                tys,
                inputs: Vec::new(),
                scalars: Vec::new(),
                prelude: Vec::new(),
                steps: Vec::new(),
                results: Vec::new(),
                scalar_count: 0,
                register_bytes: 0,
                cost: 0.0,
                needs: self.needs(),
            },
            input_of: vec![u16::MAX; count],
            made_by: vec![u32::MAX; count],
        };
        for (v, source) in self.sources.iter().enumerate() {
            if live[v] && !varies[v] {
                out.scalar(v);
                out.c.scalars.push((v as u16, *source));
            }
        }
        for (i, instr) in self.instrs.iter().enumerate() {
            let v = self.sources.len() + i;
            if live[v] {
                out.instr(self, instr, v, &varies)?;
            }
        }
        for &r in &self.results {
            out.read(self, r, &varies);
            out.c.results.push((r, out.made_by[r as usize]));
        }
        out.assign_registers(self.sources.len());
        // Reading and writing memory, as long as it is in a cache.
        out.c.cost += 0.05 * (out.c.inputs.len() + out.c.results.len()) as f32;
        Ok(out.c)
    }

    /// The type of each value.
    fn types(&self) -> Result<Vec<Ty>, KernelError> {
        let count = self.sources.len() + self.instrs.len();
        // Each instruction may need a register or two for spread scalars, numbered on from here.
        if count > 16_384 {
            return Err(KernelError::Type("a program has too many values"));
        }
        let mut tys = Vec::with_capacity(count);
        for source in &self.sources {
            let ty = match *source {
                Source::Operand { ty, .. } | Source::Slot { ty, .. } | Source::Const { ty, .. } => {
                    ty
                }
                Source::Random { .. } => Ty::F32,
                Source::Index { axis } if (axis as usize) < MAX_RANK => Ty::I64,
                Source::Index { .. } => return Err(KernelError::Type("an axis is out of range")),
            };
            tys.push(ty);
        }
        for instr in &self.instrs {
            let ty = |v: u16| tys.get(v as usize).copied().ok_or(BAD_VALUE);
            let out = match *instr {
                Instr::Unary(op, a) => ops::unary(op, ty(a)?).map(|c| c.out),
                Instr::Binary(op, a, b) => {
                    if ty(a)? != ty(b)? {
                        return Err(KernelError::Type(
                            "the operands of an instruction differ in type",
                        ));
                    }
                    ops::binary(op, ty(a)?).map(|c| c.out)
                }
                Instr::Ternary(op, a, b, c) => {
                    let first = if op == Ternary::Where { Ty::Bool } else { ty(b)? };
                    if ty(a)? != first || ty(b)? != ty(c)? {
                        return Err(KernelError::Type(
                            "the operands of an instruction differ in type",
                        ));
                    }
                    ops::ternary(op, ty(b)?).map(|c| c.out)
                }
                Instr::Cast(to, a) => ops::cast(ty(a)?, to).map(|c| c.out),
            };
            tys.push(out.ok_or(ops::NO_KERNEL)?);
        }
        if self.results.iter().any(|&r| r as usize >= count) {
            return Err(BAD_VALUE);
        }
        Ok(tys)
    }

    fn args(instr: &Instr) -> ([u16; 3], usize) {
        match *instr {
            Instr::Unary(_, a) | Instr::Cast(_, a) => ([a; 3], 1),
            Instr::Binary(_, a, b) => ([a, b, a], 2),
            Instr::Ternary(_, a, b, c) => ([a, b, c], 3),
        }
    }

    /// Which values are needed for the results.
    fn live(&self, count: usize) -> Vec<bool> {
        let mut live = vec![false; count];
        for &r in &self.results {
            live[r as usize] = true;
        }
        for (i, instr) in self.instrs.iter().enumerate().rev() {
            if live[self.sources.len() + i] {
                for a in Self::args(instr).0 {
                    live[a as usize] = true;
                }
            }
        }
        live
    }

    /// Which values may differ from element to element.
    fn varying(&self) -> Vec<bool> {
        let mut varies: Vec<bool> = self
            .sources
            .iter()
            .map(|s| match s {
                Source::Operand { strides, .. } => strides.iter().any(|&s| s != 0),
                Source::Slot { .. } | Source::Const { .. } => false,
                Source::Random { .. } | Source::Index { .. } => true,
            })
            .collect();
        for instr in &self.instrs {
            let v = Self::args(instr).0.iter().any(|&a| varies[a as usize]);
            varies.push(v);
        }
        varies
    }

    fn needs(&self) -> Needs {
        let mut n = Needs::default();
        for s in &self.sources {
            match *s {
                Source::Operand { operand, .. } => {
                    n.operands = n.operands.max(operand as usize + 1)
                }
                Source::Slot { slot, .. } => n.slots = n.slots.max(slot as usize + 1),
                Source::Random { key, .. } => n.keys = n.keys.max(key as usize + 1),
                Source::Index { axis } => n.rank = n.rank.max(axis as usize + 1),
                Source::Const { .. } => {}
            }
        }
        n
    }
}

struct Builder {
    c: Compiled,
    /// Number among the inputs of each source that is loaded.
    input_of: Vec<u16>,
    /// The step that makes each value.
    made_by: Vec<u32>,
}

impl Builder {
    fn scalar(&mut self, v: usize) {
        self.c.homes[v] = Home::Scalar(self.c.scalar_count as u32);
        self.c.scalar_count += 1;
    }

    /// Makes sure that a value is there: a source that varies is loaded at its first use.
    fn read(&mut self, p: &Program, v: u16, varies: &[bool]) {
        let i = v as usize;
        if !varies[i] || i >= p.sources.len() || self.input_of[i] != u16::MAX {
            return;
        }
        self.input_of[i] = self.c.inputs.len() as u16;
        self.c.steps.push(Step::Load(self.c.inputs.len() as u16));
        self.c.inputs.push(Input { value: v, source: p.sources[i], last_read: 0 });
        self.c.cost += match p.sources[i] {
            Source::Random { .. } => 1.5,
            _ => 0.0,
        };
    }

    /// A register with a scalar in every lane, for a kernel that has no form for it.
    fn spread(&mut self, v: u16) -> u16 {
        let out = self.c.homes.len() as u16;
        let ty = self.c.tys[v as usize];
        self.c.homes.push(Home::Dead);
        self.c.tys.push(ty);
        self.made_by.push(u32::MAX);
        let call = Call { kernels: ops::fill(ty), out, args: [out, v, out] };
        self.c.steps.push(Step::Call(call));
        out
    }

    fn instr(
        &mut self,
        p: &Program,
        instr: &Instr,
        v: usize,
        varies: &[bool],
    ) -> Result<(), KernelError> {
        let (mut args, used) = Program::args(instr);
        let tys = args.map(|a| self.c.tys[a as usize]);
        let divides = matches!(
            instr,
            Instr::Binary(Binary::Div | Binary::Remainder | Binary::Fmod | Binary::FloorDivide, ..)
        );
        if !varies[v] {
            self.scalar(v);
        }
        for &a in &args[..used] {
            self.read(p, a, varies);
        }
        let vector = args.map(|a| varies[a as usize]);
        let (kernels, cost) = match *instr {
            Instr::Unary(op, _) => {
                let c = ops::unary(op, tys[0]).ok_or(ops::NO_KERNEL)?;
                (c.kernels, c.cost)
            }
            Instr::Cast(to, _) => {
                let c = ops::cast(tys[0], to).ok_or(ops::NO_KERNEL)?;
                (c.kernels, c.cost)
            }
            Instr::Binary(op, ..) => {
                let c = ops::binary(op, tys[0]).ok_or(ops::NO_KERNEL)?;
                let form = match (vector[0], vector[1]) {
                    (true, false) => 1,
                    (false, true) => {
                        args.swap(0, 1);
                        2
                    }
                    _ => 0,
                };
                (c.kernels[form], c.cost)
            }
            Instr::Ternary(op, ..) => {
                let c = ops::ternary(op, tys[1]).ok_or(ops::NO_KERNEL)?;
                if varies[v] && !vector[0] {
                    args[0] = self.spread(args[0]);
                }
                let form = match (varies[v], vector[1], vector[2]) {
                    (true, b, c) => usize::from(!b) + 2 * usize::from(!c),
                    _ => 0,
                };
                (c.kernels[form], c.cost)
            }
        };
        let call = Call { kernels, out: v as u16, args };
        let zero_check = divides && matches!(tys[1], Ty::I64 | Ty::I32 | Ty::U8);
        // The divisor's number before a swap.
        let divisor = Program::args(instr).0[1];
        let list = if varies[v] { &mut self.c.steps } else { &mut self.c.prelude };
        if zero_check {
            list.push(Step::Divisor(divisor));
        }
        list.push(Step::Call(call));
        if varies[v] {
            self.made_by[v] = (self.c.steps.len() - 1) as u32;
            self.c.cost += cost;
        }
        Ok(())
    }

    /// Linear scan: a value takes a register at the step that makes it and gives it back after the
    /// last step that reads it; the result may take over an operand's, lane by lane in place.
    fn assign_registers(&mut self, sources: usize) {
        let c = &mut self.c;
        let mut last = vec![0_u32; c.homes.len()];
        for (k, step) in c.steps.iter().enumerate() {
            match step {
                Step::Call(call) => {
                    for a in call.args {
                        last[a as usize] = k as u32;
                    }
                }
                Step::Divisor(v) => last[*v as usize] = k as u32,
                Step::Load(_) => {}
            }
        }
        for &(v, _) in &c.results {
            last[v as usize] = u32::MAX;
        }
        for input in &mut c.inputs {
            input.last_read = last[input.value as usize];
        }
        let mut free: [Vec<u32>; 4] = Default::default();
        let class = |ty: Ty| ty.size().ilog2() as usize;
        for (k, step) in c.steps.iter().enumerate() {
            let (out, args) = match step {
                Step::Load(i) => (c.inputs[*i as usize].value, None),
                Step::Call(call) => (call.out, Some(call.args)),
                Step::Divisor(_) => continue,
            };
            let take = class(c.tys[out as usize]);
            for (j, a) in args.iter().flatten().enumerate() {
                let seen = args.iter().flatten().take(j).any(|b| b == a);
                let dies = last[*a as usize] == k as u32 && *a != out;
                if let (Home::Register(r), true, false) = (c.homes[*a as usize], dies, seen) {
                    free[class(c.tys[*a as usize])].push(r);
                }
            }
            let r = free[take].pop().unwrap_or_else(|| {
                let at = c.register_bytes;
                // The room behind a register is the slack that loads need, and keeps registers from
                // falling on the same lines of a page: a load would wait for a store to another
                // register 4 KiB away.
                c.register_bytes += BLOCK * c.tys[out as usize].size() + 8 * SLACK;
                at as u32
            });
            c.homes[out as usize] = Home::Register(r);
        }
        debug_assert!(sources <= c.homes.len());
    }
}
