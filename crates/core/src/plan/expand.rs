//! From what was recorded to the planner's graph: broadcasts and gradients become nodes.

use smallvec::SmallVec;

use super::ir::{Ir, IrNode, NO_ORIGIN, Rule, Val};
use crate::autodiff;
use crate::error::{Error, Result};
use crate::graph::dtype::DType;
use crate::graph::shape::Shape;
use crate::ops::{self, Meta, Op, Operands};

/// One recorded node, as the recorder hands it over; operands are numbers of earlier ones.
pub(crate) struct Recorded {
    pub(crate) op: Op,
    pub(crate) inputs: SmallVec<[u32; 4]>,
    pub(crate) shape: Shape,
    pub(crate) dtype: DType,
    /// It has a value that the run is given.
    pub(crate) leaf: bool,
    /// Somebody wants its value afterwards.
    pub(crate) held: bool,
    pub(crate) grad: bool,
}

/// Where the gradients of an update come from, and what a plan has to leave behind.
pub(crate) struct Expanded {
    pub(crate) ir: Ir,
    /// (recorded node, value), for every held node.
    pub(crate) outputs: Vec<(u32, Val)>,
    pub(crate) effects: Vec<IrEffect>,
    /// Values that must be finite for the effects to happen.
    pub(crate) watch: Vec<Val>,
    /// The value of each recorded node (of a gradient request, a number that is none).
    pub(crate) vals: Vec<Val>,
}

/// An effect before lowering.
pub(crate) enum IrEffect {
    Update { rule: crate::ops::Rule, grads: Vec<Val> },
    Assign { value: Val },
}

/// Builds the graph.
pub(crate) fn expand(recorded: &[Recorded]) -> Result<Expanded> {
    let mut ir =
        Ir { nodes: Vec::with_capacity(recorded.len() * 3), origin: NO_ORIGIN, ..Ir::default() };
    let mut map: Vec<Val> = Vec::with_capacity(recorded.len());
    let mut out = Expanded {
        ir: Ir::default(),
        outputs: Vec::new(),
        effects: Vec::new(),
        watch: Vec::new(),
        vals: Vec::new(),
    };
    let mut gradients: Vec<Vec<Val>> = Vec::new();
    let mut losses: Vec<Val> = Vec::new();
    let (mut leaves, mut numbers, mut keys) = (0, 0, 0);
    for (index, node) in recorded.iter().enumerate() {
        ir.origin = index as u32;
        let inputs: Operands<Val> = node.inputs.iter().map(|&i| map[i as usize]).collect();
        let meta = Meta { shape: node.shape, dtype: node.dtype };
        let bind = |counter: &mut u32, ir: &mut Ir, op: Op, grad: bool| {
            let binding = *counter;
            *counter += 1;
            ir.push(IrNode {
                op,
                inputs: Operands::new(),
                shape: node.shape,
                dtype: node.dtype,
                grad,
                origin: index as u32,
                binding,
                backward: false,
                epoch: 0,
                last: false,
                inlined: false,
            })
        };
        let val = if node.leaf {
            bind(&mut leaves, &mut ir, Op::Leaf, node.grad)
        } else {
            match &node.op {
                Op::Slot => bind(&mut numbers, &mut ir, Op::Slot, false),
                Op::Random(_) => bind(&mut keys, &mut ir, node.op.clone(), false),
                Op::Grad { seeded } => {
                    let y = inputs.first().copied().unwrap_or(0);
                    let skip = 1 + usize::from(*seeded);
                    let seed = seeded.then(|| inputs[1]);
                    let targets = inputs.get(skip..).unwrap_or(&[]);
                    ir.backward = true;
                    let found = autodiff::expand(&mut ir, y, seed, targets)?;
                    ir.origin = index as u32;
                    let vals = found
                        .into_iter()
                        .zip(targets)
                        .map(|(g, &t)| {
                            // Zero by structure: the value plays a part, its gradient does not.
                            g.unwrap_or_else(|| {
                                let zero = ir.constant(0.0, t);
                                let shape = ir.shape(t);
                                ir.broadcast(zero, shape)
                            })
                        })
                        .collect();
                    ir.backward = false;
                    gradients.push(vals);
                    losses.push(y);
                    // Picks find their list by this number.
                    (gradients.len() - 1) as Val
                }
                Op::Pick(i) => {
                    let list = node.inputs.first().map(|&p| map[p as usize]).unwrap_or(0);
                    let vals = gradients.get(list as usize).and_then(|v| v.get(*i as usize));
                    let val =
                        *vals.ok_or_else(|| Error::internal("a pick without its gradient"))?;
                    // A node of its own: two picks of one value are two tensors, and where the
                    // recorder says that gradients stop, they stop.
                    let op = if node.grad { Op::Reshape } else { Op::Detach };
                    ir.push(IrNode {
                        op,
                        inputs: smallvec::smallvec![val],
                        shape: node.shape,
                        dtype: node.dtype,
                        grad: node.grad,
                        origin: index as u32,
                        binding: 0,
                        backward: true,
                        epoch: 0,
                        last: false,
                        inlined: false,
                    })
                }
                Op::CustomGrad => {
                    let count = inputs.len().saturating_sub(3) / 2;
                    let (kept, rule) = inputs.split_at(1 + count);
                    if let [grads @ .., cotangent, result] = rule {
                        let (cotangent, result) = (*cotangent, *result);
                        ir.rules.push(Rule { grads: grads.to_vec(), cotangent, result });
                    }
                    let mut own = ir.rules.len() as u32 - 1;
                    bind(&mut own, &mut ir, Op::CustomGrad, node.grad);
                    let at = ir.len() - 1;
                    ir.nodes[at].inputs = kept.into();
                    at as Val
                }
                Op::Checkpoint => {
                    let inputs = ops::checkpoint::boundary(&ir, &inputs);
                    structured(&mut ir, &node.op, inputs, meta, node.grad)
                }
                Op::Update(rule) => {
                    out.watch.extend(inputs.iter().copied());
                    out.effects.push(IrEffect::Update { rule: *rule, grads: inputs.to_vec() });
                    0
                }
                Op::Assign => {
                    let value = inputs.first().copied().unwrap_or(0);
                    out.watch.push(value);
                    out.effects.push(IrEffect::Assign { value });
                    0
                }
                op => structured(&mut ir, op, inputs, meta, node.grad),
            }
        };
        map.push(val);
        if node.held && !node.leaf {
            out.outputs.push((index as u32, val));
        }
    }
    if !out.effects.is_empty() {
        out.watch.extend(losses);
    }
    out.watch.retain(|&v| ir.dtype(v).is_float());
    out.watch.sort_unstable();
    out.watch.dedup();
    out.ir = ir;
    out.vals = map;
    Ok(out)
}

/// Appends an operation with its broadcasts made explicit.
fn structured(ir: &mut Ir, op: &Op, mut inputs: Operands<Val>, meta: Meta, grad: bool) -> Val {
    match op {
        Op::Binary(_) | Op::Ternary(_) => {
            for input in &mut inputs {
                *input = ir.broadcast(*input, meta.shape);
            }
        }
        Op::Matmul(_) => {
            // Equal batch axes, or a plain matrix on the right.
            let rank = meta.shape.rank();
            let batch = |s: Shape| s.with(rank - 1, 1).with(rank - 2, 1);
            for (i, input) in inputs.iter_mut().enumerate() {
                let shape = ir.shape(*input);
                if i == 1 && shape.rank() == 2 {
                    continue;
                }
                let to = meta.shape.with(rank - 2, shape.last(1)).with(rank - 1, shape.last(0));
                if batch(to) != batch(shape) || shape.rank() != rank {
                    *input = ir.broadcast(*input, to);
                }
            }
        }
        _ => {}
    }
    ir.push(IrNode {
        op: op.clone(),
        inputs,
        shape: meta.shape,
        dtype: meta.dtype,
        grad,
        origin: ir.origin,
        binding: 0,
        backward: false,
        epoch: 0,
        last: false,
        inlined: false,
    })
}
