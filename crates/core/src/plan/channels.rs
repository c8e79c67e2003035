//! Channels last inside a plan: convolutions and what lies between them see `[batch, .., channels]`.
//!
//! Users see `[batch, channels, ..]`. Here each convolution becomes one of values whose channels are
//! the last axis, turned before and behind it; and as every operation that does not mind the order of
//! the axes is made in the order that its operand has, the turns are left only where such a region
//! begins and ends (a batch that goes in, the flattening before an affine layer, a held value). A turn
//! is a view, which is copied where a step needs its elements in order.
//!
//! **Bits.** The rewrite is exact. Convolutions and pools give the same bits in both orders, and
//! element-wise operations do by nature. Sums go by the logical numbers of the elements, so a
//! reduction is turned only where those that it adds up keep their order among themselves: over
//! batch and places, over places, over channels alone. A random number belongs to its place in the
//! tensor that was drawn, so a draw stays in the order it was recorded in.

use smallvec::SmallVec;

use super::expand::{Expanded, IrEffect};
use super::ir::{Ir, IrNode, Val};
use crate::graph::dtype::DType;
use crate::graph::shape::{MAX_RANK, Shape};
use crate::ops::{AxisMask, Op, Operands};

/// Where a value is in the new graph.
#[derive(Clone, Copy, Default)]
struct Place {
    /// As it was recorded.
    plain: Option<Val>,
    /// With the channels last.
    last: Option<Val>,
    /// It was made with the channels last.
    turned: bool,
    /// It costs nothing to make in either order: a number or a few, repeated.
    light: bool,
}

struct Rewrite {
    from: Ir,
    to: Ir,
    places: Vec<Place>,
}

/// Whether a node is a convolution that has a kernel.
fn convolves(node: &IrNode) -> bool {
    matches!(node.op, Op::Conv(_)) && node.dtype == DType::F32
}

/// Rewrites the graph; outputs, effects and watched values follow.
pub(crate) fn turn(mut e: Expanded) -> Expanded {
    if !e.ir.nodes.iter().any(convolves) {
        return e;
    }
    let from = std::mem::take(&mut e.ir);
    let to = Ir { nodes: Vec::with_capacity(2 * from.len()), ..Ir::default() };
    let mut r = Rewrite { places: Vec::with_capacity(from.len()), from, to };
    for v in 0..r.from.len() as Val {
        let place = r.node(v);
        r.places.push(place);
    }
    let mut follow = |v: &mut Val| *v = r.plain(*v);
    e.outputs.iter_mut().for_each(|(_, v)| follow(v));
    e.watch.iter_mut().for_each(&mut follow);
    for effect in &mut e.effects {
        match effect {
            IrEffect::Update { grads, .. } => grads.iter_mut().for_each(&mut follow),
            IrEffect::Assign { value } => follow(value),
        }
    }
    e.watch.sort_unstable();
    e.watch.dedup();
    e.ir = r.to;
    // What was made in an order that nobody wanted.
    super::simplify::sweep(e)
}

/// The shape with the channels, axis 1, last.
fn last_shape(shape: &Shape) -> Shape {
    shape.remove(1).insert(shape.rank() - 1, shape.dim(1))
}

/// A shape of an operand or the result of a convolution or pool, as it was recorded.
pub(super) fn recorded(node: &IrNode, shape: Shape) -> Shape {
    if !node.last {
        return shape;
    }
    shape.remove(shape.rank() - 1).insert(1, shape.last(0))
}

/// The axis of the turned value that axis `i` of a value of that rank becomes.
fn last_axis(i: usize, rank: usize) -> usize {
    match i {
        0 => 0,
        1 => rank - 1,
        _ => i - 1,
    }
}

fn permutation(rank: usize, axis: impl Fn(usize) -> usize) -> [u8; MAX_RANK] {
    let mut perm = [0; MAX_RANK];
    for (i, to) in perm.iter_mut().enumerate().take(rank) {
        *to = axis(i) as u8;
    }
    perm
}

/// Axis `i` of the turned value is this axis of the plain one.
fn plain_axis(i: usize, rank: usize) -> usize {
    match i {
        0 => 0,
        _ if i + 1 == rank => 1,
        _ => i + 1,
    }
}

/// Whether a value of that shape is the same memory in both orders.
fn same(shape: &Shape) -> bool {
    let places: usize = shape.dims().iter().skip(2).product();
    shape.rank() < 3 || shape.dim(1) == 1 || places == 1
}

/// Whether a reduction adds its elements in the same order when the channels are last.
fn keeps_order(shape: &Shape, axes: AxisMask) -> bool {
    let reduced = |i: usize| axes >> i & 1 == 1 && shape.dim(i) != 1;
    !reduced(1) || !(2..shape.rank()).any(reduced)
}

impl Rewrite {
    fn append(&mut self, v: Val, op: Op, inputs: Operands<Val>, shape: Shape) -> Val {
        let node = self.from.node(v);
        self.to.push(IrNode { op, inputs, shape, ..node.clone() })
    }

    /// The value as it was recorded.
    fn plain(&mut self, v: Val) -> Val {
        let place = self.places[v as usize];
        if let Some(found) = place.plain {
            return found;
        }
        let made = if place.light {
            let inputs = self.from.node(v).inputs.clone();
            let inputs = inputs.iter().map(|&i| self.plain(i)).collect();
            let node = self.from.node(v);
            let (op, shape) = (node.op.clone(), node.shape);
            self.append(v, op, inputs, shape)
        } else {
            let shape = self.from.shape(v);
            let rank = shape.rank();
            let x = place.last.unwrap_or(0);
            let perm = permutation(rank, |i| last_axis(i, rank));
            self.append(v, Op::Permute(perm), Operands::from_slice(&[x]), shape)
        };
        self.places[v as usize].plain = Some(made);
        made
    }

    /// The value with the channels last; it has at least three axes.
    fn last(&mut self, v: Val) -> Val {
        let place = self.places[v as usize];
        if let Some(found) = place.last {
            return found;
        }
        let shape = last_shape(&self.from.shape(v));
        let rank = shape.rank();
        let made = if place.light {
            let node = self.from.node(v).clone();
            let inputs = match &node.op {
                Op::Broadcast => {
                    // Missing axes in front become axes of size 1, so that they can be turned.
                    let x = node.inputs[0];
                    let from = self.from.shape(x);
                    if from.rank() == rank {
                        Operands::from_slice(&[self.last(x)])
                    } else {
                        let mut wide = from;
                        while wide.rank() < rank {
                            wide = wide.insert(0, 1);
                        }
                        let x = self.plain(x);
                        let x = self.append(v, Op::Reshape, Operands::from_slice(&[x]), wide);
                        Operands::from_slice(&[self.permuted(v, x, &wide)])
                    }
                }
                _ => node.inputs.iter().map(|&i| self.last(i)).collect(),
            };
            self.append(v, node.op, inputs, shape)
        } else {
            let x = place.plain.unwrap_or(0);
            let plain = self.from.shape(v);
            self.permuted(v, x, &plain)
        };
        self.places[v as usize].last = Some(made);
        made
    }

    /// `x` of that shape as a view with the channels last.
    fn permuted(&mut self, v: Val, x: Val, shape: &Shape) -> Val {
        let (rank, dtype) = (shape.rank(), self.to.dtype(x));
        let perm = permutation(rank, |i| plain_axis(i, rank));
        let made = self.append(v, Op::Permute(perm), Operands::from_slice(&[x]), last_shape(shape));
        self.to.nodes[made as usize].dtype = dtype;
        made
    }

    /// Whether it was made with the channels last, and would have to be moved.
    fn turned(&self, v: Val) -> bool {
        self.places[v as usize].turned && !same(&self.from.shape(v))
    }

    /// Makes a node in one of the orders.
    fn node(&mut self, v: Val) -> Place {
        let node = self.from.node(v).clone();
        let (shape, rank) = (node.shape, node.shape.rank());
        let ins: SmallVec<[Val; 4]> = node.inputs.iter().copied().collect();
        let any = |r: &Rewrite| ins.iter().any(|&i| r.turned(i));
        match &node.op {
            Op::Conv(c) if convolves(&node) => {
                use crate::ops::ConvPass;
                let inputs = match c.pass {
                    ConvPass::Weight => [self.last(ins[0]), self.last(ins[1])],
                    _ => [self.last(ins[0]), self.plain(ins[1])],
                };
                let weight = c.pass == ConvPass::Weight;
                let to = if weight { shape } else { last_shape(&shape) };
                let made = self.append(v, node.op.clone(), Operands::from_slice(&inputs), to);
                self.to.nodes[made as usize].last = true;
                return if weight { plain(made) } else { turned(made) };
            }
            Op::Pool { rank: axes, .. } if rank == usize::from(*axes) + 2 && any(self) => {
                let inputs = ins.iter().map(|&i| self.last(i)).collect();
                let made = self.append(v, node.op.clone(), inputs, last_shape(&shape));
                self.to.nodes[made as usize].last = true;
                return turned(made);
            }
            Op::Broadcast | Op::Const(_) | Op::Slot => {
                let light = rank >= 3 && matches!(node.op, Op::Broadcast);
                if light {
                    return Place { light, ..Place::default() };
                }
            }
            Op::Unary(_) | Op::Binary(_) | Op::Ternary(_) | Op::Cast(_) if rank >= 3 => {
                if any(self) {
                    let inputs = ins.iter().map(|&i| self.last(i)).collect();
                    return turned(self.append(v, node.op.clone(), inputs, last_shape(&shape)));
                }
                if ins.iter().all(|&i| self.places[i as usize].light) {
                    return Place { light: true, ..Place::default() };
                }
            }
            Op::Reduce(kind, axes) if rank >= 3 && any(self) => {
                let from = self.from.shape(ins[0]);
                if keeps_order(&from, *axes) {
                    let mut mask = 0;
                    for i in 0..rank {
                        mask |= (axes >> i & 1) << last_axis(i, rank);
                    }
                    let x = self.last(ins[0]);
                    let op = Op::Reduce(*kind, mask);
                    let inputs = Operands::from_slice(&[x]);
                    return turned(self.append(v, op, inputs, last_shape(&shape)));
                }
            }
            Op::Slice { .. } | Op::Unslice { .. } | Op::Concat { .. } if any(self) => {
                let to = |axis: u8| last_axis(usize::from(axis), rank) as u8;
                let op = match node.op {
                    Op::Slice { axis, start, step } => Op::Slice { axis: to(axis), start, step },
                    Op::Unslice { axis, start, step } => {
                        Op::Unslice { axis: to(axis), start, step }
                    }
                    Op::Concat { axis } => Op::Concat { axis: to(axis) },
                    ref op => op.clone(),
                };
                let inputs = ins.iter().map(|&i| self.last(i)).collect();
                return turned(self.append(v, op, inputs, last_shape(&shape)));
            }
            // Places may be counted in another way; batch and channels stay.
            Op::Reshape if rank >= 3 && any(self) => {
                let from = self.from.shape(ins[0]);
                if from.dims().get(..2) == shape.dims().get(..2) {
                    let inputs = Operands::from_slice(&[self.last(ins[0])]);
                    return turned(self.append(v, Op::Reshape, inputs, last_shape(&shape)));
                }
            }
            _ => {}
        }
        let inputs = ins.iter().map(|&i| self.plain(i)).collect();
        plain(self.append(v, node.op, inputs, shape))
    }
}

fn plain(v: Val) -> Place {
    Place { plain: Some(v), ..Place::default() }
}

fn turned(v: Val) -> Place {
    Place { last: Some(v), turned: true, ..Place::default() }
}
