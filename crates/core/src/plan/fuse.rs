//! Which values share a step.
//!
//! Element-wise values of one shape that follow one another become one map; those that only feed a
//! reduction are computed inside it; a bias and a ReLU after a product become its epilogue. All of
//! it is exact: every element is computed by the same operations in the same order as alone.

use gradus_kernels::map;
use gradus_kernels::memory::Ty;
use gradus_kernels::program::Instr;
use smallvec::SmallVec;

use super::expand::{Expanded, IrEffect};
use super::ir::{Ir, Val};
use super::view::{self, View};
use crate::graph::dtype::DType;
use crate::ops::{Binary, ConvPass, Op, Unary};

/// Limits of one map, so that its registers stay in the first-level cache.
const MAX_MEMBERS: usize = 48;
const MAX_OPERANDS: usize = 20;
/// Reductions in one step.
const MAX_REDUCTIONS: usize = gradus_kernels::reduce::MOST;

/// What a group of values is computed by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    /// One fused map; all members are element-wise (or one source that needs memory).
    Map,
    /// One step for the value `head` (a product may have an epilogue).
    Single,
    /// A copy of a view to memory of its own.
    Copy,
}

#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) kind: Kind,
    /// In order of number; the first is the one the group started with.
    pub(crate) members: Vec<Val>,
    /// Longer than every path to it: operands come from groups of lower levels.
    pub(crate) level: u32,
    pub(crate) operands: usize,
}

/// How the values of a graph are grouped.
pub(crate) struct Fused {
    pub(crate) views: Vec<View>,
    /// Values that a copy step gives memory of their own.
    pub(crate) copied: Vec<bool>,
    /// Computed inside the reductions that consume them.
    pub(crate) inline: Vec<bool>,
    /// Of each reduction, the first one of those that may share its step.
    siblings: Vec<Val>,
    /// The group that computes a value; none for views, leaves, inlined values and sources.
    pub(crate) group: Vec<Option<u32>>,
    pub(crate) groups: Vec<Group>,
    /// Values whose memory somebody needs.
    pub(crate) stored: Vec<bool>,
    pub(crate) users: Vec<SmallVec<[Val; 2]>>,
}

/// Whether the block interpreter can compute it; the reference executor does what it cannot.
pub(crate) fn mappable(ir: &Ir, v: Val) -> bool {
    let node = ir.node(v);
    let instr = match node.op {
        Op::Unary(op) => Instr::Unary(op, 0),
        Op::Binary(op) => Instr::Binary(op, 0, 0),
        Op::Ternary(op) => Instr::Ternary(op, 0, 0, 0),
        Op::Cast(dtype) => Instr::Cast(dtype.ty(), 0),
        _ => return false,
    };
    let tys: SmallVec<[Ty; 3]> = node.inputs.iter().map(|&i| ir.dtype(i).ty()).collect();
    map::supports(&instr, &tys)
}

/// Numbers, random numbers and indices: a map makes them where they are needed.
pub(crate) fn is_source(op: &Op) -> bool {
    matches!(op, Op::Slot | Op::Const(_) | Op::Random(_) | Op::Index(_))
}

/// Whether a map can make the source in place, seen through `view` (whose base it is).
pub(crate) fn source_fits(ir: &Ir, view: &View, shape: &crate::graph::shape::Shape) -> bool {
    let node = ir.node(view.base);
    match node.op {
        _ if too_many(node) => false,
        Op::Slot | Op::Const(_) => true,
        Op::Random(_) => node.shape == *shape && *view == View::whole(view.base, shape),
        Op::Index(axis) => index_axis(view, &node.shape, axis, shape).is_some(),
        _ => false,
    }
}

/// Programs number what they are given with 16 bits; the rest of very many numbers is made by steps
/// of their own.
fn too_many(node: &super::ir::IrNode) -> bool {
    node.binding > u32::from(u16::MAX) && matches!(node.op, Op::Slot | Op::Random(_))
}

/// The iteration axis along which an index counts, if it is just one, from 0 in steps of 1.
pub(crate) fn index_axis(
    view: &View,
    of: &crate::graph::shape::Shape,
    axis: u8,
    shape: &crate::graph::shape::Shape,
) -> Option<u8> {
    if *view == View::whole(view.base, shape) && of == shape {
        return Some(axis);
    }
    if of.rank() != 1 || view.offset != 0 {
        return None;
    }
    let mut found = None;
    for i in 0..shape.rank() {
        if shape.dim(i) != 1 && view.strides[i] != 0 {
            if view.strides[i] != 1 || found.is_some() {
                return None;
            }
            found = Some(i as u8);
        }
    }
    found
}

impl Fused {
    /// Where a value's elements are.
    pub(crate) fn view(&self, ir: &Ir, v: Val) -> View {
        if self.copied[v as usize] { View::whole(v, &ir.shape(v)) } else { self.views[v as usize] }
    }

    /// The group that a user of a value is computed in; of those inside of reductions, any of them.
    fn group_of_user(&self, mut user: Val) -> Option<u32> {
        while self.inline[user as usize] {
            user = *self.users[user as usize].first()?;
        }
        self.group[user as usize]
    }

    /// The value as contiguous elements of its base: the offset; `None` if it has gaps.
    pub(crate) fn contiguous(&self, ir: &Ir, v: Val) -> Option<View> {
        let view = self.view(ir, v);
        view.contiguous(&ir.shape(v)).then_some(view)
    }
}

/// Operands that must be contiguous in memory (all but those of maps, reductions and products).
fn needs_contiguous(ir: &Ir, v: Val) -> bool {
    let node = ir.node(v);
    match node.op {
        Op::Matmul(_) | Op::Reduce(..) => false,
        Op::Attention(_) | Op::AttentionGrad(_) if node.dtype == DType::F32 => false,
        _ if node.op.is_view() || mappable(ir, v) => false,
        _ => true,
    }
}

/// Groups the values of a simplified graph.
pub(crate) fn fuse(e: &Expanded, on: bool) -> Fused {
    let ir = &e.ir;
    let n = ir.len();
    let (views, copied) = view::views(ir);
    let mut f = Fused {
        views,
        copied,
        inline: vec![false; n],
        siblings: vec![Val::MAX; n],
        group: vec![None; n],
        groups: Vec::new(),
        stored: vec![false; n],
        users: vec![SmallVec::new(); n],
    };
    for (v, node) in ir.nodes.iter().enumerate() {
        for &i in &node.inputs {
            f.users[i as usize].push(v as Val);
        }
    }
    let mut pinned = vec![false; n];
    e.outputs.iter().for_each(|&(_, v)| pinned[v as usize] = true);
    e.watch.iter().for_each(|&v| pinned[v as usize] = true);
    let mut effect_operand = |f: &mut Fused, v: Val| {
        pinned[v as usize] = true;
        // Effects run when leaves may be gone, so they read the arena; contiguous.
        let view = f.view(ir, v);
        let leaf = matches!(ir.node(view.base).op, Op::Leaf);
        if leaf || is_source(&ir.node(view.base).op) || !view.contiguous(&ir.shape(v)) {
            f.copied[v as usize] = true;
        }
    };
    for effect in &e.effects {
        match effect {
            IrEffect::Update { grads, .. } => {
                grads.iter().for_each(|&g| effect_operand(&mut f, g));
            }
            IrEffect::Assign { value } => effect_operand(&mut f, *value),
        }
    }
    copies(ir, &mut f);
    if on {
        siblings(ir, &mut f);
        inline(ir, &mut f, &pinned);
    }
    store_sources(e, &mut f);
    group(ir, &mut f, &pinned, on);
    mark_stored(e, &mut f);
    f
}

/// Marks views that a step needs contiguous, or that a product cannot read.
fn copies(ir: &Ir, f: &mut Fused) {
    for v in 0..ir.len() as Val {
        let node = ir.node(v);
        if needs_contiguous(ir, v) {
            for &i in &node.inputs {
                if f.contiguous(ir, i).is_none() {
                    f.copied[i as usize] = true;
                }
            }
        } else if let Op::Attention(a) | Op::AttentionGrad(a) = node.op {
            // Queries, keys, values and mask are read by strides, but for the last axis; a mask may
            // be repeated along that.
            let first = if let Op::Attention(_) = node.op { 0 } else { 2 };
            for (i, &input) in node.inputs.iter().enumerate() {
                let view = f.view(ir, input);
                let shape = ir.shape(input);
                let read = if i < first {
                    view.contiguous(&shape)
                } else {
                    let axes = view.strides.get(..shape.rank()).unwrap_or(&[]);
                    let mask = a.mask && i == first + 3;
                    let last = axes.last().copied().unwrap_or(1);
                    let along = last == 1 || shape.last(0) == 1 || mask && last == 0;
                    along && axes.iter().all(|&s| s >= 0)
                };
                if !read {
                    f.copied[input as usize] = true;
                }
            }
        } else if let Op::Matmul(_) = node.op {
            for &i in &node.inputs {
                let view = f.view(ir, i);
                let rank = ir.shape(i).rank();
                if view.strides[..rank].iter().any(|&s| s < 0) {
                    f.copied[i as usize] = true;
                }
            }
        }
    }
}

/// How far a reduction looks for what it shares with another.
const LOOK: usize = 12;

/// Finds reductions of one kind over the same axes of one shape that read a value in common, and do
/// not need each other: one pass over the operands serves them all.
fn siblings(ir: &Ir, f: &mut Fused) {
    // How many steps that cannot be fused lie before a value; a reduction has more than all that it
    // needs, so reductions with equal numbers do not need each other.
    let mut depth = vec![0u32; ir.len()];
    // The last reductions that others may join, with what they read.
    let mut open: Vec<(Val, usize, SmallVec<[Val; LOOK]>)> = Vec::new();
    for v in 0..ir.len() as Val {
        let node = ir.node(v);
        let below = node.inputs.iter().map(|&i| depth[i as usize]).max().unwrap_or(0);
        let own = !node.op.is_view() && !mappable(ir, v);
        depth[v as usize] = below + u32::from(own);
        let Op::Reduce(kind, axes) = node.op else { continue };
        f.siblings[v as usize] = v;
        let shape = ir.shape(node.inputs[0]);
        let mut reads: SmallVec<[Val; LOOK]> = SmallVec::new();
        let mut at = 0;
        reads.push(node.inputs[0]);
        while at < reads.len() && reads.len() < LOOK {
            let x = reads[at];
            at += 1;
            if mappable(ir, x) {
                for &i in &ir.node(x).inputs {
                    // What is repeated costs nothing to read again.
                    let small = matches!(ir.node(i).op, Op::Broadcast);
                    if !small && !reads.contains(&i) && reads.len() < LOOK {
                        reads.push(i);
                    }
                }
            }
        }
        let found = open.iter_mut().find(|(first, count, theirs)| {
            let other = ir.node(*first);
            matches!(other.op, Op::Reduce(k, a) if k == kind && a == axes)
                && *count < MAX_REDUCTIONS
                && ir.shape(other.inputs[0]) == shape
                && other.dtype == node.dtype
                && other.epoch == node.epoch
                && depth[*first as usize] == depth[v as usize]
                && reads.iter().any(|r| theirs.contains(r))
        });
        match found {
            Some((first, count, _)) => {
                f.siblings[v as usize] = *first;
                *count += 1;
            }
            None => {
                if open.len() == 16 {
                    open.remove(0);
                }
                open.push((v, 1, reads));
            }
        }
    }
}

/// Marks element-wise values that only one step needs.
fn inline(ir: &Ir, f: &mut Fused, pinned: &[bool]) {
    // The reductions that a value is computed in, and how much each already has.
    let mut root: Vec<Val> = vec![Val::MAX; ir.len()];
    let mut members = vec![0usize; ir.len()];
    let mut operands = vec![1usize; ir.len()];
    for v in (0..ir.len()).rev() {
        if pinned[v] || f.copied[v] || !mappable(ir, v as Val) {
            continue;
        }
        let Some(&user) = f.users[v].first() else { continue };
        let only = f.users[v].iter().all(|&u| u == user);
        let into = |u: Val| match ir.node(u).op {
            Op::Reduce(..) => f.siblings[u as usize],
            _ if f.inline[u as usize] => root[u as usize],
            // Whichever map its only user is in.
            _ if only && goes_with(ir, v as Val, u) && !ends_product(ir, f, v as Val) => u,
            _ => Val::MAX,
        };
        let home = into(user);
        if home == Val::MAX || f.users[v].iter().any(|&u| into(u) != home) {
            continue;
        }
        let more = ir.nodes[v].inputs.len() - 1;
        let at = home as usize;
        if members[at] < MAX_MEMBERS / 2 && operands[at] + more <= MAX_OPERANDS {
            members[at] += 1;
            operands[at] += more;
            root[v] = home;
            f.inline[v] = true;
        }
    }
}

/// Whether a value may be computed inside of the map of its only user, however late that is.
fn goes_with(ir: &Ir, v: Val, user: Val) -> bool {
    let (node, to) = (ir.node(v), ir.node(user));
    // A value of the forward pass would keep all its operands for the backward pass; `recompute` has
    // decided about those.
    let near = node.backward == to.backward && node.epoch == to.epoch;
    (node.inlined || near) && mappable(ir, user) && node.shape == to.shape
}

/// Whether a value may become the epilogue of a product.
fn ends_product(ir: &Ir, f: &Fused, v: Val) -> bool {
    let product = |x: Val| {
        matches!(ir.node(x).op, Op::Matmul(_) | Op::Conv(_)) && f.users[x as usize].len() == 1
    };
    let node = ir.node(v);
    match node.op {
        Op::Binary(Binary::Add) => node.inputs.iter().any(|&i| product(i)),
        Op::Unary(Unary::Relu) => {
            let sum = ir.node(node.inputs[0]);
            matches!(sum.op, Op::Binary(Binary::Add)) && sum.inputs.iter().any(|&i| product(i))
        }
        _ => false,
    }
}

/// Gives memory to numbers, random numbers and indices that some consumer cannot make itself.
fn store_sources(e: &Expanded, f: &mut Fused) {
    let ir = &e.ir;
    let need = |f: &mut Fused, i: Val, fits: bool| {
        let view = f.view(ir, i);
        if is_source(&ir.node(view.base).op) && !fits {
            f.stored[view.base as usize] = true;
        }
    };
    for v in 0..ir.len() as Val {
        let node = ir.node(v);
        // A view that is copied reads its base.
        if node.op.is_view() {
            if f.copied[v as usize] {
                let base = f.views[v as usize].base;
                if is_source(&ir.node(base).op) {
                    f.stored[base as usize] = true;
                }
            }
            continue;
        }
        let by_map = mappable(ir, v) || matches!(node.op, Op::Reduce(..));
        for &i in &node.inputs {
            let view = f.view(ir, i);
            let fits = by_map && source_fits(ir, &view, &ir.shape(i));
            need(f, i, fits);
        }
    }
    let roots = e.outputs.iter().map(|&(_, v)| v).chain(e.watch.iter().copied());
    for v in roots.collect::<Vec<_>>() {
        need(f, v, false);
    }
}

/// Forms the groups, in order of value number.
fn group(ir: &Ir, f: &mut Fused, pinned: &[bool], on: bool) {
    let mut level = vec![0u32; ir.len()];
    for v in 0..ir.len() as Val {
        let at = v as usize;
        let node = ir.node(v);
        if f.group[at].is_some() {
            // The epilogue of a product.
            continue;
        }
        if node.op.is_view() {
            let base = level[f.views[at].base as usize];
            level[at] = base;
            if f.copied[at] {
                level[at] = base + 1;
                start(f, v, Kind::Copy, base + 1, 1);
            }
            continue;
        }
        if matches!(node.op, Op::Leaf) {
            if f.copied[at] {
                level[at] = 1;
                start(f, v, Kind::Copy, 1, 1);
            }
            continue;
        }
        if is_source(&node.op) {
            if f.stored[at] || f.copied[at] {
                level[at] = 1;
                let kind = if too_many(node) { Kind::Single } else { Kind::Map };
                start(f, v, kind, 1, 0);
            }
            continue;
        }
        let below = node.inputs.iter().map(|&i| level[i as usize]).max().unwrap_or(0);
        if f.inline[at] {
            level[at] = below;
            continue;
        }
        if mappable(ir, v) {
            let joined = if on { join(ir, f, &level, v) } else { None };
            let g = match joined {
                Some(g) => {
                    f.group[at] = Some(g);
                    let group = &mut f.groups[g as usize];
                    group.members.push(v);
                    level[at] = group.level;
                    g
                }
                None => {
                    level[at] = below + 1;
                    start(f, v, Kind::Map, below + 1, node.inputs.len())
                }
            };
            if on && node.backward {
                for &i in &node.inputs {
                    absorb(ir, f, &mut level, i, g, pinned);
                }
            }
            continue;
        }
        if let Some(g) = beside(f, below, v) {
            let group = &mut f.groups[g as usize];
            group.members.push(v);
            level[at] = group.level;
            f.group[at] = Some(g);
            continue;
        }
        level[at] = below + 1;
        let g = start(f, v, Kind::Single, below + 1, node.inputs.len());
        let convolution = matches!(node.op, Op::Conv(c) if c.pass != ConvPass::Weight);
        // A bias along the last axis.
        let has_epilogue = matches!(node.op, Op::Matmul(_)) || convolution && node.last;
        if on && has_epilogue && node.dtype == DType::F32 {
            for member in epilogue(ir, f, pinned, &level, v) {
                f.group[member as usize] = Some(g);
                f.groups[g as usize].members.push(member);
                level[member as usize] = below + 1;
            }
        }
    }
    compact(f);
}

/// The step of a sibling that runs when everything is there that a reduction needs.
fn beside(f: &Fused, below: u32, v: Val) -> Option<u32> {
    let first = f.siblings[v as usize];
    let g = if first < v { f.group[first as usize] } else { None };
    g.filter(|&g| below < f.groups[g as usize].level)
}

fn start(f: &mut Fused, v: Val, kind: Kind, level: u32, operands: usize) -> u32 {
    let g = f.groups.len() as u32;
    f.groups.push(Group { kind, members: vec![v], level, operands });
    f.group[v as usize] = Some(g);
    g
}

/// Takes the map that makes `v` into a later one, `into`, where nothing else needs it. Only what
/// differentiation made: it runs late anyway, but what a gradient is multiplied with mostly depends
/// on less than that gradient does.
fn absorb(ir: &Ir, f: &mut Fused, level: &mut [u32], v: Val, into: u32, pinned: &[bool]) {
    let Some(from) = f.group[v as usize].filter(|&g| g != into) else { return };
    let (old, new) = (&f.groups[from as usize], &f.groups[into as usize]);
    let Some((&first, &to)) = old.members.first().zip(new.members.first()) else { return };
    let alike = old.kind == Kind::Map
        && old.level < new.level
        && ir.shape(first) == ir.shape(to)
        && ir.node(first).epoch == ir.node(to).epoch;
    let only_here = |&m: &Val| {
        let node = ir.node(m);
        let inside = |&u: &Val| f.group[u as usize].is_some_and(|g| g == from || g == into);
        let late = node.backward && !is_source(&node.op) && !pinned[m as usize];
        late && !f.copied[m as usize] && f.users[m as usize].iter().all(inside)
    };
    // What one makes for the other is no operand any more, so this is at most the true number.
    let fits = old.members.len() + new.members.len() <= MAX_MEMBERS
        && old.operands + new.operands <= MAX_OPERANDS;
    if !(alike && fits && old.members.iter().all(only_here)) {
        return;
    }
    let (members, operands, at) = (old.members.clone(), old.operands, new.level);
    for &m in &members {
        f.group[m as usize] = Some(into);
        level[m as usize] = at;
    }
    f.groups[from as usize].members.clear();
    let group = &mut f.groups[into as usize];
    group.operands += operands;
    group.members.extend(members);
    group.members.sort_unstable();
}

/// Drops groups without members.
fn compact(f: &mut Fused) {
    let mut number = 0u32;
    let mut to = Vec::with_capacity(f.groups.len());
    for group in &f.groups {
        to.push(number);
        number += u32::from(!group.members.is_empty());
    }
    f.groups.retain(|g| !g.members.is_empty());
    for g in f.group.iter_mut().flatten() {
        *g = to[*g as usize];
    }
}

/// The map that an element-wise value can join: one that makes an operand of its, such that every
/// other operand is there before that map runs.
fn join(ir: &Ir, f: &mut Fused, level: &[u32], v: Val) -> Option<u32> {
    let node = ir.node(v);
    // What it reads, through the values that are computed inside of it.
    let mut reads: SmallVec<[Val; 8]> = node.inputs.iter().copied().collect();
    let mut next = 0;
    while let Some(&i) = reads.get(next) {
        if f.inline[i as usize] {
            reads.swap_remove(next);
            reads.extend(ir.node(i).inputs.iter().copied());
        } else {
            next += 1;
        }
    }
    let mut best: Option<u32> = None;
    for &i in &reads {
        let Some(g) = f.group[i as usize] else { continue };
        let group = &f.groups[g as usize];
        let first = group.members[0];
        let fits = group.kind == Kind::Map
            && !is_source(&ir.node(first).op)
            && ir.shape(first) == node.shape
            // What is computed again must not run early, with something that is not.
            && (node.epoch == 0 || ir.node(first).epoch == node.epoch)
            && group.members.len() < MAX_MEMBERS;
        if fits && best.is_none_or(|b| f.groups[b as usize].level < group.level) {
            best = Some(g);
        }
    }
    let g = best?;
    let at = f.groups[g as usize].level;
    let mut new = 0;
    for &i in &reads {
        if f.group[i as usize] == Some(g) {
            continue;
        }
        if level[i as usize] >= at {
            return None;
        }
        new += 1;
    }
    let group = &mut f.groups[g as usize];
    if group.operands + new > MAX_OPERANDS {
        return None;
    }
    group.operands += new;
    Some(g)
}

/// The values after a product that its epilogue computes: `+ bias`, then ReLU.
fn epilogue(
    ir: &Ir,
    f: &Fused,
    pinned: &[bool],
    level: &[u32],
    product: Val,
) -> SmallVec<[Val; 2]> {
    let mut out = SmallVec::new();
    let only_user = |v: Val| match f.users[v as usize].as_slice() {
        [user] if !pinned[v as usize] && !f.copied[v as usize] => Some(*user),
        _ => None,
    };
    let Some(sum) = only_user(product) else { return out };
    let node = ir.node(sum);
    if !matches!(node.op, Op::Binary(Binary::Add)) || f.inline[sum as usize] {
        return out;
    }
    let bias = if node.inputs[0] == product { node.inputs[1] } else { node.inputs[0] };
    if bias_of(ir, f, level, product, bias).is_none() {
        return out;
    }
    out.push(sum);
    if let Some(relu) = only_user(sum)
        && matches!(ir.node(relu).op, Op::Unary(Unary::Relu))
        && !f.inline[relu as usize]
    {
        out.push(relu);
    }
    out
}

/// The bias as a view: repeated along all axes but the last, and there before the product runs.
fn bias_of(ir: &Ir, f: &Fused, level: &[u32], product: Val, bias: Val) -> Option<View> {
    let shape = ir.shape(product);
    let view = f.view(ir, bias);
    let rank = shape.rank();
    let row = (0..rank).all(|i| {
        let want = if i + 1 == rank { 1 } else { 0 };
        shape.dim(i) == 1 && i + 1 != rank || view.strides[i] == want
    });
    let base = ir.node(view.base);
    let stored = !is_source(&base.op) && !f.inline[view.base as usize];
    let at = view.base as usize;
    let before = matches!(base.op, Op::Leaf) && !f.copied[at]
        || view.base < product && level[at] < level[product as usize];
    (row && stored && before && base.dtype == DType::F32).then_some(view)
}

/// Which values need memory: those that something outside their own group reads.
fn mark_stored(e: &Expanded, f: &mut Fused) {
    let ir = &e.ir;
    for v in 0..ir.len() {
        let Some(g) = f.group[v] else { continue };
        let group = &f.groups[g as usize];
        let last = group.members.last() == Some(&(v as Val));
        let outside = match group.kind {
            Kind::Map => f.users[v].iter().any(|&u| f.group_of_user(u) != Some(g)),
            Kind::Single => last || matches!(e.ir.node(v as Val).op, Op::Reduce(..)),
            Kind::Copy => true,
        };
        if outside {
            f.stored[v] = true;
        }
    }
    for v in e.outputs.iter().map(|&(_, v)| v).chain(e.watch.iter().copied()) {
        let base = f.view(ir, v).base;
        f.stored[base as usize] = true;
    }
    for effect in &e.effects {
        match effect {
            IrEffect::Update { grads, .. } => {
                for &g in grads {
                    let base = f.view(ir, g).base;
                    f.stored[base as usize] = true;
                }
            }
            IrEffect::Assign { value } => {
                let base = f.view(ir, *value).base;
                f.stored[base as usize] = true;
            }
        }
    }
}
