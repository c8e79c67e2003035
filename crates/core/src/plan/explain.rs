//! A plan as text: one line a step, for people and for tests of the passes.

use std::fmt::Write;

use gradus_kernels::gemm::Activation;

use super::Plan;
use super::verify::name;
use crate::backend::{Bank, Effect, Loc, Step};
use crate::ops::Precision;

/// The plan's steps, effects and memory.
pub(crate) fn explain(plan: &Plan) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "plan: {} steps, {} effects, arena {} bytes",
        plan.steps.len(),
        plan.effects.len(),
        plan.arena_bytes
    );
    for (i, s) in plan.steps.iter().enumerate() {
        let _ = writeln!(out, "{i:4}  {:<9} {}", name(&s.step), describe(&s.step));
    }
    for e in &plan.effects {
        let (kind, text) = effect(e);
        let _ = writeln!(out, "  ->  {kind:<9} {text}");
    }
    out
}

/// An effect's kind, and what it changes.
pub(super) fn effect(effect: &Effect) -> (&'static str, String) {
    match effect {
        Effect::Update { rule, grads, .. } => {
            ("update", format!("{rule:?}, {} parameters", grads.len()))
        }
        Effect::Assign { shape, .. } => ("assign", format!("buffer {shape}")),
    }
}

fn loc(l: &Loc) -> String {
    match l.bank {
        Bank::Leaf(i) => format!("leaf{i}"),
        Bank::Buffer(i) => format!("b{i}"),
    }
}

fn list(locs: &[Loc]) -> String {
    locs.iter().map(loc).collect::<Vec<_>>().join(" ")
}

fn bank(b: Bank) -> String {
    match b {
        Bank::Leaf(i) => format!("leaf{i}"),
        Bank::Buffer(i) => format!("b{i}"),
    }
}

fn relu(activation: Activation) -> &'static str {
    match activation {
        Activation::None => "",
        Activation::Relu => ", relu",
    }
}

/// What a step makes of what.
pub(super) fn describe(step: &Step) -> String {
    match step {
        Step::Map { dims, operands, outputs, instrs, .. } => {
            format!("{} <- {}  {dims}, {} instructions", list(outputs), list(operands), instrs)
        }
        Step::Reduce { kind, dims, axes, operands, outs, instrs, .. } => format!(
            "{} <- {:?}({})  {dims} over axes {:?}, {} instructions",
            list(outs),
            kind,
            list(operands),
            (0..8).filter(|i| axes & (1 << i) != 0).collect::<Vec<_>>(),
            instrs
        ),
        Step::ArgReduce { max, outer, len, inner, x, out } => format!(
            "{} <- {}({})  [{outer}, {len}, {inner}]",
            loc(out),
            if *max { "argmax" } else { "argmin" },
            loc(x)
        ),
        Step::Scan { kind, reverse, line, operands, out } => format!(
            "{} <- running {kind:?}({})  [{}, {}, {}]{}",
            loc(out),
            list(operands),
            line.outer,
            line.len,
            line.inner,
            if *reverse { ", from the back" } else { "" }
        ),
        Step::Scatter { how, axis, x, index, source, out, .. } => format!(
            "{} <- {how:?}({}, {}, {})  along axis {axis}",
            loc(out),
            loc(x),
            loc(index),
            loc(source)
        ),
        Step::Within { size, x, out, .. } => format!("{} <- {}  below {size}", loc(out), loc(x)),
        Step::Sort { descending, n, x, out } => format!(
            "{} <- argsort({})  rows of {n}{}",
            loc(out),
            loc(x),
            if *descending { ", descending" } else { "" }
        ),
        Step::Search { n, m, sorted, values, out, .. } => format!(
            "{} <- searchsorted({}, {})  [{m}] in [{n}]",
            loc(out),
            loc(sorted),
            loc(values)
        ),
        Step::Pool { kind, axes, planes, channels, operands, out } => {
            let sizes = axes.map(|a| (a.size, a.out));
            let last = if channels.is_some() { ", channels last" } else { "" };
            let (out, operands) = (loc(out), list(operands));
            format!("{out} <- {kind:?}({operands})  {planes} planes, {sizes:?}{last}")
        }
        Step::Gemm(g) => format!(
            "{} <- {} @ {}  {}x[{}, {}, {}]{}{}{}",
            loc(&g.out),
            bank(g.a.bank),
            bank(g.b.bank),
            g.batch,
            g.m,
            g.k,
            g.n,
            match g.precision {
                Precision::F32 => "",
                Precision::Bf16 => " in bf16",
            },
            if g.bias.is_some() { " + bias" } else { "" },
            relu(g.activation)
        ),
        Step::Conv { pass, geometry: g, a, b, bias, activation, out } => format!(
            "{} <- {pass:?}({}, {})  {}x[{}, {:?}] -> [{}, {:?}], window {:?}, groups {}{}{}{}{}",
            loc(out),
            loc(a),
            loc(b),
            g.batch,
            g.inputs,
            g.x,
            g.outputs,
            g.y,
            g.kernel,
            g.groups,
            if g.last { ", channels last" } else { "" },
            if g.bf16 { " in bf16" } else { "" },
            if bias.is_some() { " + bias" } else { "" },
            relu(*activation)
        ),
        Step::Attention(a) => {
            let h = a.heads;
            let [q, k, v] = &a.operands;
            format!(
                "{} <- {}({}, {}, {})  {}x{}x[{}, {}, {}, {}]{}{}{}",
                loc(&a.out),
                if a.backward.is_some() { "gradient" } else { "attention" },
                bank(q.bank),
                bank(k.bank),
                bank(v.bank),
                h.batch,
                h.heads,
                h.queries,
                h.keys,
                h.size,
                h.out,
                if h.bf16 { " in bf16" } else { "" },
                if h.causal { ", causal" } else { "" },
                if a.mask.is_some() { ", mask" } else { "" }
            )
        }
        Step::Recurrent { walk, backward, operands, out, .. } => format!(
            "{} <- {:?}{}({})  [{}, {}, {}]{}{}",
            loc(out),
            walk.cell,
            if *backward { " gradient" } else { "" },
            list(operands),
            walk.time,
            walk.batch,
            walk.hidden,
            if walk.bf16 { " in bf16" } else { "" },
            if walk.reverse { ", from the back" } else { "" }
        ),
        Step::Rows { rows, outer, n, operands, out } => {
            format!("{} <- {rows:?}({})  [{outer}, {n}]", loc(out), list(operands))
        }
        Step::Copy { from, to } => format!("{} <- {}  {}", loc(to), bank(from.bank), from.shape),
        Step::Unslice { from, shape, out_shape, out, .. } => {
            format!("{} <- {}  {shape} into {out_shape}", loc(out), loc(from))
        }
        Step::Concat { parts, out, .. } => {
            let parts: Vec<Loc> = parts.iter().map(|(l, _)| *l).collect();
            format!("{} <- {}", loc(out), list(&parts))
        }
        Step::Indexing { op, x, index, out, .. } => {
            format!("{} <- {}({}, {})", loc(out), op.name(), loc(x), loc(index))
        }
        Step::Host { op, operands, out, shape, .. } => {
            let operands: Vec<Loc> = operands.iter().map(|(l, _)| *l).collect();
            format!("{} <- {}({})  {shape}", loc(out), op.name(), list(&operands))
        }
        Step::Watch { x } => loc(x),
    }
}
