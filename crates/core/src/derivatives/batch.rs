//! From a function of one sample to the same function of a batch: one rule an operation.
//!
//! The planner's form of what was recorded (gradients expanded, broadcasts explicit) is recorded
//! again; what depends on a sample gets the batch as a first axis, all else stays as it is. An
//! operation without a rule runs on one sample after the other.

use std::collections::HashMap;

use smallvec::SmallVec;

use crate::error::Result;
use crate::graph::recorder::{self, Side, Slot};
use crate::graph::shape::{MAX_RANK, Shape};
use crate::graph::trace::{placeholder, record_traced};
use crate::ops::custom_gradient::rule_of;
use crate::ops::{Conv, ConvPass, Meta, Op, Operands, Rows};
use crate::plan::ir::{Ir, IrNode, Val};
use crate::tensor::Tensor;

/// A value recorded again, and whether its first axis is the batch.
pub(super) type Mapped = (Tensor, bool);

pub(super) type Memo = HashMap<Val, Mapped>;

pub(super) struct Batcher {
    pub(super) ir: Ir,
    /// The size of the batch.
    pub(super) size: usize,
    /// The tensor that a value was recorded as, while its maker's operands are alive.
    pub(super) images: Vec<Option<Tensor>>,
    /// The recorded node that an origin stands for.
    pub(super) origins: Vec<Slot>,
}

impl Batcher {
    /// What depends on the values in `from`.
    pub(super) fn dependents(&self, from: impl Iterator<Item = Val>) -> Vec<bool> {
        let mut dep = vec![false; self.ir.len()];
        for v in from {
            dep[v as usize] = true;
        }
        for v in 0..dep.len() {
            let on = |&i: &Val| dep[i as usize];
            let node = self.ir.node(v as Val);
            let rule = rule_of(&self.ir, v as Val);
            dep[v] = dep[v]
                || node.inputs.iter().any(on)
                || rule.is_some_and(|r| self.images[v].is_none() || r.grads.iter().any(on));
        }
        dep
    }

    /// Records `targets`, and all that they need and that is not in `memo`.
    pub(super) fn run(&self, targets: &[Val], dep: &[bool], memo: &mut Memo) -> Result<()> {
        let end = targets.iter().map(|&t| t as usize + 1).max().unwrap_or(0);
        let mut needed = vec![false; end];
        for &t in targets {
            needed[t as usize] = true;
        }
        for v in (0..end).rev() {
            let shared = !dep[v] && self.images[v].is_some();
            if needed[v] && !shared && !memo.contains_key(&(v as Val)) {
                for &i in &self.ir.node(v as Val).inputs {
                    needed[i as usize] = true;
                }
            }
        }
        for v in 0..end {
            if !needed[v] || memo.contains_key(&(v as Val)) {
                continue;
            }
            let made = match &self.images[v] {
                Some(image) if !dep[v] => (image.clone(), false),
                _ => self.record(v as Val, dep, memo)?,
            };
            memo.insert(v as Val, made);
        }
        Ok(())
    }

    /// The shape of a sample's value for the whole batch.
    fn batched(&self, shape: Shape) -> Result<Shape> {
        let shape = shape.insert(0, self.size);
        shape.check("vmap").map(|()| shape)
    }

    /// With the batch as first axis, whether or not it depends on the sample.
    pub(super) fn full(&self, (t, mapped): &Mapped, node: &IrNode) -> Result<Tensor> {
        if *mapped {
            return Ok(t.clone());
        }
        self.emit(node, Op::Broadcast, &[t], self.batched(t.peek().shape)?)
    }

    /// Records an operation at the place of the node that it stands for.
    fn emit(&self, node: &IrNode, op: Op, inputs: &[&Tensor], shape: Shape) -> Result<Tensor> {
        let t =
            self.placed(node, |place| recorder::record(op, inputs, Some(shape), Side::None, place));
        t.check().map(|()| t)
    }

    fn placed(
        &self,
        node: &IrNode,
        f: impl FnOnce(&'static std::panic::Location<'static>) -> Tensor,
    ) -> Tensor {
        let here = std::panic::Location::caller();
        let (place, before) = recorder::with(|r| {
            let before = r.scopes.current;
            let Some(&slot) = self.origins.get(node.origin as usize) else { return (here, before) };
            r.scopes.current = r.node(slot).scope;
            (r.node(slot).place, before)
        });
        let t = f(place);
        recorder::with(|r| r.scopes.current = before);
        t
    }

    fn view(&self, node: &IrNode, t: &Tensor, shape: Shape) -> Result<Tensor> {
        if t.peek().shape == shape {
            return Ok(t.clone());
        }
        self.emit(node, Op::Reshape, &[t], shape)
    }

    /// A mapped value with axes of size 1 after the batch, so that a sample has `rank` axes.
    fn aligned(&self, node: &IrNode, t: &Tensor, rank: usize) -> Result<Tensor> {
        let mut shape = t.peek().shape;
        while shape.rank() < rank + 1 {
            shape = shape.insert(1, 1);
        }
        self.view(node, t, shape)
    }

    fn record(&self, v: Val, dep: &[bool], memo: &Memo) -> Result<Mapped> {
        let node = self.ir.node(v);
        let ins: SmallVec<[Mapped; 3]> =
            node.inputs.iter().filter_map(|i| memo.get(i).cloned()).collect();
        let made = self.rule(v, node, &ins, dep, memo)?;
        // Where gradients stopped for the sample, they stop for the batch.
        let stops = !node.grad && node.inputs.iter().any(|&i| self.ir.node(i).grad);
        if stops && made.0.requires_grad() {
            return Ok((made.0.detach(), made.1));
        }
        Ok(made)
    }

    fn rule(
        &self,
        v: Val,
        node: &IrNode,
        ins: &[Mapped],
        dep: &[bool],
        memo: &Memo,
    ) -> Result<Mapped> {
        let tensors: SmallVec<[&Tensor; 3]> = ins.iter().map(|(t, _)| t).collect();
        if let Op::CustomGrad = node.op {
            return self.custom(v, node, ins, dep, memo).map(|t| (t, true));
        }
        if let (Op::Random(_), true) = (&node.op, dep[v as usize]) {
            return self.draw(node).map(|t| (t, true));
        }
        if ins.iter().all(|(_, mapped)| !mapped) {
            return self.once(node, &tensors).map(|t| (t, false));
        }
        let out = self.batched(node.shape)?;
        let up = |axis: u8| axis + 1;
        let same = |op: Op| self.emit(node, op, &tensors, out);
        let all = |op: Op| {
            let full: Vec<Tensor> =
                ins.iter().map(|i| self.full(i, node)).collect::<Result<_>>()?;
            self.emit(node, op, &full.iter().collect::<Vec<_>>(), out)
        };
        let made = match &node.op {
            // Operands have the result's shape, so those without the batch broadcast.
            Op::Unary(_) | Op::Binary(_) | Op::Ternary(_) | Op::Cast(_) | Op::Detach => {
                same(node.op.clone())
            }
            Op::Reduce(kind, axes) => same(Op::Reduce(*kind, axes << 1)),
            Op::ArgReduce { max, axis } => same(Op::ArgReduce { max: *max, axis: up(*axis) }),
            Op::Argsort { .. } | Op::Checkpoint => same(node.op.clone()),
            // Windows lie on the last axes.
            Op::Pool { .. } => all(node.op.clone()),
            &Op::Scan { kind, axis, reverse } => all(Op::Scan { kind, axis: up(axis), reverse }),
            Op::Reshape => self.view(node, tensors[0], out),
            Op::Permute(perm) => {
                let mut shifted = [0; MAX_RANK];
                for (to, &from) in shifted.iter_mut().skip(1).zip(perm).take(node.shape.rank()) {
                    *to = up(from);
                }
                same(Op::Permute(shifted))
            }
            Op::Broadcast => {
                let x = self.aligned(node, tensors[0], node.shape.rank())?;
                self.emit(node, Op::Broadcast, &[&x], out)
            }
            &Op::Slice { axis, start, step } => same(Op::Slice { axis: up(axis), start, step }),
            &Op::Unslice { axis, start, step } => same(Op::Unslice { axis: up(axis), start, step }),
            Op::Concat { axis } => all(Op::Concat { axis: up(*axis) }),
            Op::Matmul(precision) => {
                let rank = node.shape.rank();
                let lift = |(t, mapped): &Mapped| match mapped {
                    true => self.aligned(node, t, rank),
                    false => Ok(t.clone()),
                };
                let (a, b) = (lift(&ins[0])?, lift(&ins[1])?);
                self.emit(node, Op::Matmul(*precision), &[&a, &b], out)
            }
            Op::Conv(conv) => self.convolution(node, *conv, ins, out),
            Op::Gather { axis } => all(Op::Gather { axis: up(*axis) }),
            Op::ScatterAdd { axis } => all(Op::ScatterAdd { axis: up(*axis) }),
            Op::IndexSelect { axis } if !ins[1].1 => same(Op::IndexSelect { axis: up(*axis) }),
            Op::IndexSelect { axis } => {
                let x = self.full(&ins[0], node)?;
                let index = self.spread(node, &ins[1], x.peek().shape, up(*axis))?;
                self.emit(node, Op::Gather { axis: up(*axis) }, &[&x, &index], out)
            }
            Op::IndexAdd { axis } if !ins[1].1 => {
                let x = self.full(&ins[0], node)?;
                self.emit(node, Op::IndexAdd { axis: up(*axis) }, &[&x, tensors[1]], out)
            }
            Op::IndexAdd { axis } => {
                let x = self.full(&ins[0], node)?;
                let index = self.spread(node, &ins[1], x.peek().shape, up(*axis))?;
                self.emit(node, Op::ScatterAdd { axis: up(*axis) }, &[&x, &index], out)
            }
            Op::Rows(
                Rows::Softmax | Rows::LogSoftmax | Rows::SoftmaxGrad | Rows::LogSoftmaxGrad,
            ) => all(node.op.clone()),
            Op::Rows(Rows::CrossEntropy { .. } | Rows::CrossEntropyGrad { .. }) => {
                // Rows of all samples, one after another.
                let flat = |s: Shape| {
                    let rows = s.dim(0).saturating_mul(s.dim(1));
                    if s.rank() == 2 { [rows].into() } else { Shape::from([rows, s.dim(2)]) }
                };
                let mut rows: Vec<Tensor> = Vec::with_capacity(ins.len());
                for i in ins {
                    let t = self.full(i, node)?;
                    rows.push(self.view(node, &t, flat(t.peek().shape))?);
                }
                let rows: Vec<&Tensor> = rows.iter().collect();
                let y = self.emit(node, node.op.clone(), &rows, flat(out))?;
                self.view(node, &y, out)
            }
            _ => self.one_by_one(node, ins, out),
        };
        made.map(|t| (t, true))
    }

    /// With one weight for all samples, their batches are one; otherwise each sample is a group of
    /// channels.
    fn convolution(&self, node: &IrNode, conv: Conv, ins: &[Mapped], out: Shape) -> Result<Tensor> {
        let [a, b] = ins else { return Err(crate::Error::internal("operands of a convolution")) };
        let joined = |s: Shape| s.remove(0).with(0, s.dim(0).saturating_mul(s.dim(1)));
        if conv.pass != ConvPass::Weight && !b.1 {
            let x = self.full(a, node)?;
            let x = self.view(node, &x, joined(x.peek().shape))?;
            let y = self.emit(node, Op::Conv(conv), &[&x, &b.0], joined(out))?;
            return self.view(node, &y, out);
        }
        let groups = u32::try_from(self.size).ok().and_then(|n| conv.groups.checked_mul(n));
        let Some(groups) = groups.filter(|&n| n > 0) else {
            return self.one_by_one(node, ins, out);
        };
        // [samples, batch, channels, ..] and [batch, samples, channels, ..] in turn.
        let swap = |x: &Tensor| {
            let shape = x.peek().shape;
            let mut perm: [u8; MAX_RANK] = std::array::from_fn(|i| i as u8);
            perm.swap(0, 1);
            let to = shape.with(0, shape.dim(1)).with(1, shape.dim(0));
            self.emit(node, Op::Permute(perm), &[x], to)
        };
        let side = |shape: Shape| {
            let (samples, channels) = (shape.dim(0), shape.dim(2));
            shape.remove(0).with(1, samples.saturating_mul(channels))
        };
        let images = |x: &Mapped| {
            let x = self.full(x, node)?;
            self.view(node, &swap(&x)?, side(x.peek().shape))
        };
        let op = Op::Conv(Conv { groups, ..conv });
        let x = images(a)?;
        if conv.pass == ConvPass::Weight {
            let y = self.emit(node, op, &[&x, &images(b)?], joined(out))?;
            return self.view(node, &y, out);
        }
        let w = self.full(b, node)?;
        let w = self.view(node, &w, joined(w.peek().shape))?;
        let y = self.emit(node, op, &[&x, &w], side(out))?;
        let apart = out.with(0, out.dim(1)).with(1, out.dim(0));
        swap(&self.view(node, &y, apart)?)
    }

    /// What does not depend on the sample, as it was.
    fn once(&self, node: &IrNode, ins: &[&Tensor]) -> Result<Tensor> {
        match &node.op {
            Op::Const(_) | Op::Index(_) => {
                let meta = Meta { shape: node.shape, dtype: node.dtype };
                let op = node.op.clone();
                Ok(self.placed(node, |place| {
                    recorder::with(|r| {
                        let slot = r.record_source(op, meta, Side::None, place);
                        r.handle(slot)
                    })
                }))
            }
            op => self.emit(node, op.clone(), ins, node.shape),
        }
    }

    /// Random numbers that the function draws: other ones for each sample.
    fn draw(&self, node: &IrNode) -> Result<Tensor> {
        let meta = Meta { shape: self.batched(node.shape)?, dtype: node.dtype };
        let side = self.origins.get(node.origin as usize);
        let side = side.map(|&slot| recorder::with(|r| r.node(slot).side.clone()));
        let t = self.placed(node, |place| {
            recorder::with(|r| {
                let side = side.unwrap_or(Side::None);
                let slot = r.record_source(node.op.clone(), meta, side, place);
                r.handle(slot)
            })
        });
        Ok(t)
    }

    /// A 1-d index of each sample, along `axis` of a tensor like `like`.
    fn spread(&self, node: &IrNode, index: &Mapped, like: Shape, axis: u8) -> Result<Tensor> {
        let axis = usize::from(axis);
        let index = self.full(index, node)?;
        let count = index.peek().shape.dim(1);
        let mut thin = Shape::from([self.size]);
        for i in 1..like.rank() {
            thin = thin.insert(i, if i == axis { count } else { 1 });
        }
        let thin = self.view(node, &index, thin)?;
        self.emit(node, Op::Broadcast, &[&thin], like.with(axis, count))
    }

    /// No rule: the operation on each sample, and the results one after another.
    fn one_by_one(&self, node: &IrNode, ins: &[Mapped], out: Shape) -> Result<Tensor> {
        let mut parts = Vec::with_capacity(self.size);
        for k in 0..self.size {
            let mut sample: Vec<Tensor> = Vec::with_capacity(ins.len());
            for (t, mapped) in ins {
                if !mapped {
                    sample.push(t.clone());
                    continue;
                }
                let shape = t.peek().shape;
                let cut = Op::Slice { axis: 0, start: k, step: 1 };
                let row = self.emit(node, cut, &[t], shape.with(0, 1))?;
                sample.push(self.view(node, &row, shape.remove(0))?);
            }
            let sample: Vec<&Tensor> = sample.iter().collect();
            let y = self.emit(node, node.op.clone(), &sample, node.shape)?;
            parts.push(self.view(node, &y, node.shape.insert(0, 1))?);
        }
        if parts.is_empty() {
            return Ok(Tensor::zeros(out).cast(node.dtype));
        }
        let parts: Vec<&Tensor> = parts.iter().collect();
        self.emit(node, Op::Concat { axis: 0 }, &parts, out)
    }

    /// A function with a gradient of the user's: its rule is written again for the batch.
    fn custom(
        &self,
        v: Val,
        node: &IrNode,
        ins: &[Mapped],
        dep: &[bool],
        memo: &Memo,
    ) -> Result<Tensor> {
        let full: Vec<Tensor> = ins.iter().map(|i| self.full(i, node)).collect::<Result<_>>()?;
        let (Some((y, inputs)), Some(rule)) = (full.split_first(), rule_of(&self.ir, v)) else {
            return Err(crate::Error::internal("a custom gradient without its rule"));
        };
        let wanted = recorder::with(|r| r.mode.grad) && inputs.iter().any(Tensor::requires_grad);
        if !wanted {
            return Ok(y.clone());
        }
        let meta = y.peek();
        let here = std::panic::Location::caller();
        let (cotangent, result) = (placeholder(meta, true, here), placeholder(meta, true, here));
        let mut inner = memo.clone();
        inner.insert(rule.cotangent, (cotangent.clone(), true));
        inner.insert(rule.result, (result.clone(), true));
        let own = self.dependents([rule.cotangent, rule.result].into_iter());
        let dep: Vec<bool> = dep.iter().zip(own).map(|(&a, b)| a || b).collect();
        self.run(&rule.grads, &dep, &mut inner)?;
        let mut grads: Vec<Tensor> = Vec::with_capacity(rule.grads.len());
        for g in &rule.grads {
            let g = inner.get(g).ok_or_else(|| crate::Error::internal("a gradient is missing"))?;
            grads.push(self.full(g, node)?);
        }
        let tensors = full.iter().chain(&grads).chain([&cotangent, &result]);
        let slots: Operands<Slot> = tensors.map(Tensor::slot).collect();
        Ok(self.placed(node, |place| record_traced(Op::CustomGrad, slots, full.len(), meta, place)))
    }
}
