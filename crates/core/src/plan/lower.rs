//! From groups of values to steps over buffers, in an order that respects what needs what.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use gradus_kernels::memory::KernelError;
use gradus_kernels::program::{Instr, Program, Source};
use gradus_kernels::running::Line;

use super::channels;
use super::expand::{Expanded, IrEffect};
use super::fuse::{Fused, Kind, index_axis, is_source, mappable};
use super::ir::{Ir, Val};
use super::view::View;
use crate::backend::{Bank, Effect, Loc, PlanStep, Step, Strided};
use crate::error::{Error, Result};
use crate::graph::dtype::DType;
use crate::graph::shape::Shape;
use crate::ops::{Op, Pooling, pool};

/// A buffer of the plan, before it has a place in the arena.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Buffer {
    pub(crate) val: Val,
    pub(crate) len: usize,
    pub(crate) dtype: DType,
}

impl Buffer {
    pub(crate) fn bytes(&self) -> usize {
        self.len.saturating_mul(self.dtype.size())
    }
}

/// A value handed out after the run.
#[derive(Debug)]
pub(crate) struct Output {
    /// The recorded node.
    pub(crate) recorded: u32,
    pub(crate) from: Strided,
}

pub(crate) struct Lowered {
    pub(crate) steps: Vec<PlanStep>,
    pub(crate) buffers: Vec<Buffer>,
    pub(crate) outputs: Vec<Output>,
    pub(crate) effects: Vec<Effect>,
}

mod attention;
mod products;
mod recurrent;

struct Lower<'a> {
    ir: &'a Ir,
    f: &'a Fused,
    watched: Vec<bool>,
    /// The buffer of each stored value.
    buffer: Vec<Option<u32>>,
    out: Lowered,
}

/// Lowers a fused graph.
pub(crate) fn lower(e: &Expanded, f: &Fused) -> Result<Lowered> {
    let mut l = Lower {
        ir: &e.ir,
        f,
        watched: vec![false; e.ir.len()],
        buffer: vec![None; e.ir.len()],
        out: Lowered {
            steps: Vec::new(),
            buffers: Vec::new(),
            outputs: Vec::new(),
            effects: Vec::new(),
        },
    };
    for &v in &e.watch {
        if l.covers(v) || l.f.contiguous(&e.ir, v).is_none() {
            l.watched[f.view(&e.ir, v).base as usize] = true;
        }
    }
    for g in order(&e.ir, f)? {
        l.group(g as usize)?;
    }
    for &v in &e.watch {
        l.watch(v)?;
    }
    for &(recorded, v) in &e.outputs {
        let from = l.strided(v)?;
        l.out.outputs.push(Output { recorded, from });
    }
    let (mut calls, mut targets) = (0, 0);
    for effect in &e.effects {
        let effect = match effect {
            IrEffect::Update { rule, grads } => {
                let grads = grads.iter().map(|&g| l.contiguous(g)).collect::<Result<_>>()?;
                calls += 1;
                Effect::Update { call: calls - 1, rule: *rule, grads }
            }
            IrEffect::Assign { value } => {
                targets += 1;
                let shape = e.ir.shape(*value);
                Effect::Assign { target: targets - 1, value: l.contiguous(*value)?, shape }
            }
        };
        l.out.effects.push(effect);
    }
    Ok(l.out)
}

/// The groups in an order that respects dependencies, nearest to recording order.
fn order(ir: &Ir, f: &Fused) -> Result<Vec<u32>> {
    let n = f.groups.len();
    let mut waits = vec![0u32; n];
    let mut next: Vec<Vec<u32>> = vec![Vec::new(); n];
    let mut seen = vec![u32::MAX; n];
    let mut stack: Vec<Val> = Vec::new();
    for (g, group) in f.groups.iter().enumerate() {
        for &member in &group.members {
            match group.kind {
                Kind::Copy => stack.push(f.views[member as usize].base),
                _ => stack.extend(ir.node(member).inputs.iter().copied()),
            }
            while let Some(i) = stack.pop() {
                if f.inline[i as usize] {
                    stack.extend(ir.node(i).inputs.iter().copied());
                    continue;
                }
                let base = f.view(ir, i).base;
                // An inlined value may be seen through a view as well.
                if f.inline[base as usize] {
                    stack.push(base);
                    continue;
                }
                let Some(from) = f.group[base as usize] else { continue };
                if from != g as u32 && seen[from as usize] != g as u32 {
                    seen[from as usize] = g as u32;
                    next[from as usize].push(g as u32);
                    waits[g] += 1;
                }
            }
        }
    }
    let last = |g: usize| f.groups[g].members.last().copied().unwrap_or(0);
    let mut ready: BinaryHeap<Reverse<(Val, u32)>> =
        (0..n).filter(|&g| waits[g] == 0).map(|g| Reverse((last(g), g as u32))).collect();
    let mut out = Vec::with_capacity(n);
    while let Some(Reverse((_, g))) = ready.pop() {
        out.push(g);
        for &to in &next[g as usize] {
            waits[to as usize] -= 1;
            if waits[to as usize] == 0 {
                ready.push(Reverse((last(to as usize), to)));
            }
        }
    }
    if out.len() != n {
        return Err(Error::internal("the groups of a plan need each other"));
    }
    Ok(out)
}

/// A program under construction: which value has which number in it.
#[derive(Default)]
struct Builder {
    sources: Vec<Source>,
    instrs: Vec<(Instr, Val)>,
    operands: Vec<Loc>,
    /// Source number of a view.
    views: Vec<(View, Shape, u16)>,
}

impl Lower<'_> {
    fn group(&mut self, g: usize) -> Result<()> {
        let group = &self.f.groups[g];
        let first = group.members[0];
        match group.kind {
            Kind::Map => self.map(&group.members),
            Kind::Copy => {
                // The copy has the value's own number, the view it reads is the one without it.
                let view = self.f.views[first as usize];
                let from = self.strided_view(view, self.ir.shape(first))?;
                let to = self.allocate(first);
                self.push(Step::Copy { from, to }, first);
                Ok(())
            }
            Kind::Single => self.single(first, &group.members),
        }
    }

    fn push(&mut self, step: Step, val: Val) {
        let origin = self.ir.node(val).origin;
        self.out.steps.push(PlanStep { step, val, origin });
    }

    /// Gives a value a buffer.
    fn allocate(&mut self, v: Val) -> Loc {
        let node = self.ir.node(v);
        let (len, dtype) = (node.shape.numel(), node.dtype);
        let buffer = self.out.buffers.len() as u32;
        self.out.buffers.push(Buffer { val: v, len, dtype });
        self.buffer[v as usize] = Some(buffer);
        Loc { bank: Bank::Buffer(buffer), start: 0, len, dtype }
    }

    /// Where the memory of a base is.
    fn bank(&self, base: Val) -> Result<Bank> {
        if let Some(buffer) = self.buffer[base as usize] {
            return Ok(Bank::Buffer(buffer));
        }
        let node = self.ir.node(base);
        if let Op::Leaf = node.op {
            return Ok(Bank::Leaf(node.binding));
        }
        Err(Error::internal(format!("value {base} (`{}`) has no memory", node.op.name())))
    }

    fn whole(&self, base: Val) -> Result<Loc> {
        let node = self.ir.node(base);
        let bank = self.bank(base)?;
        Ok(Loc { bank, start: 0, len: node.shape.numel(), dtype: node.dtype })
    }

    fn strided(&self, v: Val) -> Result<Strided> {
        self.strided_view(self.f.view(self.ir, v), self.ir.shape(v))
    }

    fn strided_view(&self, view: View, shape: Shape) -> Result<Strided> {
        let bank = self.bank(view.base)?;
        let dtype = self.ir.dtype(view.base);
        Ok(Strided { bank, offset: view.offset, strides: view.strides, shape, dtype })
    }

    /// A value as one run of elements.
    fn contiguous(&self, v: Val) -> Result<Loc> {
        let view = self.f.contiguous(self.ir, v);
        let view = view.ok_or_else(|| Error::internal(format!("value {v} is not contiguous")))?;
        let bank = self.bank(view.base)?;
        let node = self.ir.node(v);
        Ok(Loc { bank, start: view.offset, len: node.shape.numel(), dtype: node.dtype })
    }

    /// Whether a value, or a view of it, must be finite.
    fn watched(&self, v: Val) -> bool {
        self.watched[v as usize]
    }

    /// Looks at a watched value, unless the step that makes it does so itself.
    fn watch(&mut self, v: Val) -> Result<()> {
        let base = self.f.view(self.ir, v).base;
        if !self.covers(v) && self.f.contiguous(self.ir, v).is_some() {
            // Only a part of what its step makes has to be finite.
            let x = self.contiguous(v)?;
            self.push(Step::Watch { x }, base);
            return Ok(());
        }
        let node = self.ir.node(base);
        let itself = self.f.group[base as usize].is_some_and(|g| {
            let group = &self.f.groups[g as usize];
            let head = &self.ir.node(group.members[0]).op;
            group.kind == Kind::Single && matches!(head, Op::Reduce(..) | Op::Matmul(_))
        });
        let has_memory = self.buffer[base as usize].is_some() || matches!(node.op, Op::Leaf);
        if itself || !has_memory {
            return Ok(());
        }
        let x = self.whole(base)?;
        self.push(Step::Watch { x }, base);
        Ok(())
    }

    /// Whether a view has all elements of its base.
    fn covers(&self, v: Val) -> bool {
        let base = self.f.view(self.ir, v).base;
        self.ir.shape(v).numel() >= self.ir.shape(base).numel()
    }

    /// The number of an operand inside a program over `shape`.
    fn operand(&self, b: &mut Builder, v: Val, shape: &Shape) -> Result<u16> {
        let view = self.f.view(self.ir, v);
        if let Some(&(_, _, n)) = b.views.iter().find(|(x, s, _)| *x == view && s == shape) {
            return Ok(n);
        }
        let base = self.ir.node(view.base);
        let small = |n: u32| {
            u16::try_from(n).map_err(|_| Error::internal("a plan has more than 65536 numbers"))
        };
        let stored = self.buffer[view.base as usize].is_some();
        let source = match base.op {
            Op::Slot if !stored => Source::Slot { slot: small(base.binding)?, ty: base.dtype.ty() },
            Op::Const(c) if !stored => Source::Const { bits: c.to_bits(), ty: base.dtype.ty() },
            Op::Random(dist) if !stored => Source::Random { key: small(base.binding)?, dist },
            Op::Index(axis) if !stored => {
                let axis = index_axis(&view, &base.shape, axis, shape);
                Source::Index { axis: axis.ok_or_else(|| Error::internal("index"))? }
            }
            _ => {
                let loc = self.whole(view.base)?;
                let operand = match b.operands.iter().position(|l| *l == loc) {
                    Some(i) => i,
                    None => {
                        b.operands.push(loc);
                        b.operands.len() - 1
                    }
                };
                Source::Operand {
                    operand: small(operand as u32)?,
                    ty: base.dtype.ty(),
                    offset: view.offset,
                    strides: view.strides,
                }
            }
        };
        b.sources.push(source);
        let n = (b.sources.len() - 1) as u16;
        b.views.push((view, *shape, n));
        Ok(n)
    }

    /// Collects what the values need, sources first; instructions refer to values for now.
    fn gather(&self, b: &mut Builder, v: Val, members: &[Val], shape: &Shape) -> Result<()> {
        // Depth first without recursion: chains can be long.
        let mut stack = vec![(v, false)];
        while let Some((v, ready)) = stack.pop() {
            if b.instrs.iter().any(|(_, x)| *x == v) {
                continue;
            }
            let inside = members.contains(&v) || self.f.inline[v as usize];
            if !inside || is_source(&self.ir.node(v).op) {
                self.operand(b, v, shape)?;
                continue;
            }
            if !ready {
                stack.push((v, true));
                for &i in self.ir.node(v).inputs.iter().rev() {
                    stack.push((i, false));
                }
                continue;
            }
            let node = self.ir.node(v);
            let instr = match node.op {
                Op::Unary(op) => Instr::Unary(op, 0),
                Op::Binary(op) => Instr::Binary(op, 0, 0),
                Op::Ternary(op) => Instr::Ternary(op, 0, 0, 0),
                Op::Cast(dtype) => Instr::Cast(dtype.ty(), 0),
                _ => return Err(Error::internal("not an element-wise operation in a map")),
            };
            b.instrs.push((instr, v));
        }
        Ok(())
    }

    /// Numbers the values and builds the program with these results.
    fn finish(
        &self,
        mut b: Builder,
        results: &[Val],
        shape: &Shape,
    ) -> Result<(Program, Vec<Loc>)> {
        let first = b.sources.len();
        // Places of the values, in order of value.
        let mut places: Vec<(Val, usize)> =
            (0..).zip(&b.instrs).map(|(k, (_, v))| (*v, k)).collect();
        places.sort_unstable();
        let mut numbers: Vec<u16> = Vec::with_capacity(b.instrs.len());
        let number = |b: &mut Builder, numbers: &[u16], v: Val| -> Result<u16> {
            match places.binary_search_by_key(&v, |(x, _)| *x) {
                Ok(i) => {
                    let at = numbers.get(places[i].1).copied();
                    at.ok_or_else(|| Error::internal("a program out of order"))
                }
                Err(_) => self.operand(b, v, shape),
            }
        };
        let mut instrs: Vec<Instr> = Vec::with_capacity(b.instrs.len());
        for k in 0..b.instrs.len() {
            let (instr, v) = b.instrs[k];
            let inputs = &self.ir.node(v).inputs;
            let mut at = [0u16; 3];
            for (slot, &i) in at.iter_mut().zip(inputs) {
                *slot = number(&mut b, &numbers, i)?;
            }
            let [x, y, z] = at;
            let instr = match instr {
                Instr::Unary(op, _) => Instr::Unary(op, x),
                Instr::Binary(op, ..) => Instr::Binary(op, x, y),
                Instr::Ternary(op, ..) => Instr::Ternary(op, x, y, z),
                Instr::Cast(ty, _) => Instr::Cast(ty, x),
            };
            // What was copied for several consumers may meet itself again.
            let place = instrs.iter().position(|i| *i == instr).unwrap_or_else(|| {
                instrs.push(instr);
                instrs.len() - 1
            });
            numbers.push((first + place) as u16);
        }
        let results =
            results.iter().map(|&v| number(&mut b, &numbers, v)).collect::<Result<_>>()?;
        if b.sources.len() != first {
            return Err(Error::internal("a program gained an operand"));
        }
        Ok((Program { sources: b.sources, instrs, results }, b.operands))
    }

    fn map(&mut self, members: &[Val]) -> Result<()> {
        let shape = self.ir.shape(members[0]);
        let mut b = Builder::default();
        for &v in members {
            self.gather(&mut b, v, members, &shape)?;
        }
        let results: Vec<Val> =
            members.iter().copied().filter(|&v| self.f.stored[v as usize]).collect();
        let (program, operands) = self.finish(b, &results, &shape)?;
        let plain = (0..operands.len()).map(|i| reads_plainly(&program, i, &shape)).collect();
        let instrs = program.instrs.len();
        let program = Box::new(program.compile().map_err(|e| broken(&e))?);
        let outputs = results.iter().map(|&v| self.allocate(v)).collect();
        let last = members.last().copied().unwrap_or(members[0]);
        self.push(Step::Map { program, instrs, dims: shape, operands, plain, outputs }, last);
        Ok(())
    }

    fn single(&mut self, v: Val, members: &[Val]) -> Result<()> {
        let node = self.ir.node(v).clone();
        let input = |k: usize| node.inputs.get(k).copied().unwrap_or(0);
        let shape_of = |l: &Self, k: usize| l.ir.shape(input(k));
        // The row kernels are those of f32.
        let rows = matches!(node.op, Op::Rows(_)) && self.ir.dtype(input(0)) != DType::F32;
        if rows
            || matches!(node.op, Op::Custom(_))
            || node.op.is_elementwise() && !mappable(self.ir, v)
            || uneven_index(self.ir, v)
        {
            return self.host(v);
        }
        let step = match &node.op {
            Op::Matmul(precision) => return self.gemm(v, *precision, members),
            Op::Reduce(kind, axes) => {
                let shape = shape_of(self, 0);
                let mut b = Builder::default();
                let inputs: Vec<Val> = members.iter().map(|&m| self.ir.node(m).inputs[0]).collect();
                for &i in &inputs {
                    self.gather(&mut b, i, &[], &shape)?;
                }
                let (program, operands) = self.finish(b, &inputs, &shape)?;
                let instrs = program.instrs.len();
                let program = Box::new(program.compile().map_err(|e| broken(&e))?);
                let watch =
                    (0..).zip(members).fold(0, |w, (k, &m)| w | u8::from(self.watched(m)) << k);
                let outs = members.iter().map(|&m| self.allocate(m)).collect();
                let (kind, axes, dims) = (*kind, *axes, shape);
                Step::Reduce { kind, program, instrs, dims, axes, operands, outs, watch }
            }
            Op::ArgReduce { max, axis } => {
                let shape = shape_of(self, 0);
                let axis = usize::from(*axis);
                let product = |dims: &[usize]| dims.iter().product::<usize>();
                let (outer, rest) = shape.dims().split_at(axis);
                let x = self.contiguous(input(0))?;
                let out = self.allocate(v);
                Step::ArgReduce {
                    max: *max,
                    outer: product(outer),
                    len: rest[0],
                    inner: product(&rest[1..]),
                    x,
                    out,
                }
            }
            Op::Scan { kind, axis, reverse } => {
                let operands =
                    node.inputs.iter().map(|&i| self.contiguous(i)).collect::<Result<_>>()?;
                let line = line(&node.shape, *axis);
                Step::Scan { kind: *kind, reverse: *reverse, line, operands, out: self.allocate(v) }
            }
            Op::Scatter { axis, how, whole } => {
                let m = shape_of(self, 2).dim(usize::from(*axis));
                let (x, index) = (self.contiguous(input(0))?, self.contiguous(input(1))?);
                let source = self.contiguous(input(2))?;
                let (how, whole, shape, axis) = (*how, *whole, node.shape, *axis);
                let out = self.allocate(v);
                Step::Scatter { how, whole, shape, axis, m, x, index, source, out }
            }
            Op::Within { size, negative } => {
                let x = self.contiguous(input(0))?;
                let out = self.allocate(v);
                Step::Within { size: *size, negative: *negative, x, out }
            }
            Op::Argsort { descending } => {
                let n = node.shape.last(0);
                let x = self.contiguous(input(0))?;
                let out = self.allocate(v);
                Step::Sort { descending: *descending, n, x, out }
            }
            Op::Search { right } => {
                let (n, m) = (shape_of(self, 0).last(0), node.shape.last(0));
                let (sorted, values) = (self.contiguous(input(0))?, self.contiguous(input(1))?);
                let out = self.allocate(v);
                Step::Search { right: *right, n, m, sorted, values, out }
            }
            Op::Pool { kind, rank, windows } => {
                let whole = if kind.spreads() { node.shape } else { shape_of(self, 0) };
                let short = match kind {
                    Pooling::MaxPlace => shape_of(self, 1),
                    Pooling::Spread(_) => shape_of(self, 0),
                    _ => node.shape,
                };
                let (whole, short) =
                    (channels::recorded(&node, whole), channels::recorded(&node, short));
                let (axes, planes) = pool::axes(&whole, &short, *rank, windows);
                let channels = node.last.then(|| whole.dim(1));
                let operands =
                    node.inputs.iter().map(|&i| self.contiguous(i)).collect::<Result<_>>()?;
                let out = self.allocate(v);
                Step::Pool { kind: *kind, axes, planes, channels, operands, out }
            }
            // Other types are computed by the reference executor.
            Op::Conv(c) if node.dtype == DType::F32 => return self.conv(v, *c, members),
            Op::Rows(rows) => {
                let shape = shape_of(self, 0);
                let n = shape.last(0);
                let outer = shape.numel().checked_div(n).unwrap_or(0);
                let operands =
                    node.inputs.iter().map(|&i| self.contiguous(i)).collect::<Result<_>>()?;
                let out = self.allocate(v);
                Step::Rows { rows: *rows, outer, n, operands, out }
            }
            Op::Attention(a) => return self.attention(v, *a, false),
            Op::AttentionGrad(a) => return self.attention(v, *a, true),
            Op::Recurrent(steps) => return self.recurrent(v, *steps, false),
            Op::RecurrentGrad(steps) => return self.recurrent(v, *steps, true),
            Op::Unslice { axis, start, step } => {
                let from = self.contiguous(input(0))?;
                let shape = shape_of(self, 0);
                let out = self.allocate(v);
                Step::Unslice {
                    from,
                    shape,
                    axis: usize::from(*axis),
                    start: *start,
                    step: *step,
                    out_shape: node.shape,
                    out,
                }
            }
            Op::Concat { axis } => {
                let axis = usize::from(*axis);
                let outer = node.shape.dims()[..axis].iter().product();
                let mut parts = Vec::new();
                for &i in &node.inputs {
                    let size = self.ir.shape(i).dims()[axis..].iter().product();
                    parts.push((self.contiguous(i)?, size));
                }
                let out = self.allocate(v);
                Step::Concat { parts, outer, out }
            }
            op @ (Op::Gather { .. }
            | Op::ScatterAdd { .. }
            | Op::IndexSelect { .. }
            | Op::IndexAdd { .. }) => {
                let scatter = matches!(op, Op::ScatterAdd { .. } | Op::IndexAdd { .. });
                let shape = if scatter { node.shape } else { shape_of(self, 0) };
                let index_shape = shape_of(self, 1);
                let (x, index) = (self.contiguous(input(0))?, self.contiguous(input(1))?);
                let out = self.allocate(v);
                Step::Indexing { op: op.clone(), shape, index_shape, x, index, out }
            }
            _ => return self.host(v),
        };
        self.push(step, v);
        Ok(())
    }

    fn host(&mut self, v: Val) -> Result<()> {
        let node = self.ir.node(v).clone();
        let mut operands = Vec::new();
        for &i in &node.inputs {
            operands.push((self.contiguous(i)?, self.ir.shape(i)));
        }
        let key = matches!(node.op, Op::Random(_)).then_some(node.binding);
        let number = matches!(node.op, Op::Slot).then_some(node.binding);
        let out = self.allocate(v);
        let step = Step::Host { op: node.op, operands, out, shape: node.shape, key, number };
        self.push(step, v);
        Ok(())
    }
}

/// The fast kernels want an index with the tensor's sizes on all other axes; a smaller one is rare.
fn uneven_index(ir: &Ir, v: Val) -> bool {
    let node = ir.node(v);
    let (axis, other) = match node.op {
        Op::Gather { axis } => (usize::from(axis), ir.shape(node.inputs[0])),
        Op::ScatterAdd { axis } | Op::Scatter { axis, whole: false, .. } => {
            (usize::from(axis), node.shape)
        }
        _ => return false,
    };
    ir.shape(node.inputs[1]).with(axis, 1) != other.with(axis, 1)
}

/// The sizes around an axis.
fn line(shape: &Shape, axis: u8) -> Line {
    let (outer, rest) = shape.dims().split_at(usize::from(axis));
    let product = |dims: &[usize]| dims.iter().product::<usize>();
    Line { outer: product(outer), len: rest[0], inner: product(&rest[1..]) }
}

fn broken(e: &KernelError) -> Error {
    Error::internal(format!("a fused program does not compile: {e:?}"))
}

/// Whether every read of an operand is element by element in the order of the result.
fn reads_plainly(program: &Program, i: usize, shape: &Shape) -> bool {
    let want = shape.strides();
    program.sources.iter().all(|source| match source {
        Source::Operand { operand, offset, strides, .. } if usize::from(*operand) == i => {
            *offset == 0 && (0..shape.rank()).all(|a| shape.dim(a) == 1 || strides[a] == want[a])
        }
        _ => true,
    })
}
