//! Optimizer steps: one pass over parameters, gradients and state, for all tensors in one job.
//!
//! The formulas are PyTorch's, term by term. Results may go to other windows than the operands
//! (somebody still holds the old values) or to the same ones. Subnormal results become 0: they
//! would slow every later step down and mean nothing.

mod pointwise;
mod product;
mod real;

use crate::levels::{lanewise, leveled, one_vector_a_turn};
use crate::memory::{Element, KernelError, Mem, Shared, Storage, Ty};
use crate::pool;
pub use pointwise::{NUMBERS, Pointwise};
pub use product::Gradient;
use real::{LANES, Real};
use std::cell::Cell;

/// Stochastic gradient descent, as `torch.optim.SGD`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    /// Learning rate.
    pub lr: f64,
    /// Momentum; 0 for none, and then no state is used.
    pub momentum: f64,
    /// How much less of the gradient enters the momentum buffer.
    pub dampening: f64,
    /// Weight decay, added to the gradient.
    pub weight_decay: f64,
    /// Nesterov's form of momentum.
    pub nesterov: bool,
    /// Ascend instead of descend.
    pub maximize: bool,
    /// The buffer has no value yet: it becomes the gradient, undamped.
    pub first_step: bool,
}

/// Adam and AdamW, as `torch.optim.Adam` and `torch.optim.AdamW`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the mean of gradients.
    pub beta1: f64,
    /// Decay of the mean of squared gradients.
    pub beta2: f64,
    /// Added to the denominator.
    pub eps: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// The weights decay by themselves (AdamW); else the decay is added to the gradient.
    pub decoupled: bool,
    /// Use the largest mean of squares so far.
    pub amsgrad: bool,
    /// Ascend instead of descend.
    pub maximize: bool,
    /// Number of this step, from 1 on.
    pub step: u64,
}

/// What to do with each tensor, and its state windows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// State: the momentum buffer, if there is momentum.
    Sgd(Sgd),
    /// State: mean of gradients, mean of squares, and with `amsgrad` the largest of these.
    Adam(Adam),
    /// State and numbers: see [`Pointwise`].
    Pointwise(Pointwise, [f64; NUMBERS]),
}

impl Rule {
    /// How many state windows each tensor needs.
    pub fn states(&self) -> usize {
        match self {
            Rule::Sgd(s) => usize::from(s.momentum != 0.0),
            Rule::Adam(a) => 2 + usize::from(a.amsgrad),
            Rule::Pointwise(kind, _) => kind.states(),
        }
    }
}

/// A parameter with its gradient and state; sources and destinations may be the same windows.
#[derive(Clone, Copy, Debug)]
pub struct UpdateTensor<'a> {
    /// Old values.
    pub p_src: Mem<'a>,
    /// New values.
    pub p_dst: Mem<'a>,
    /// Gradient.
    pub g: Mem<'a>,
    /// Old and new state; as many as [`Rule::states`] says. Old state is not read on the first step
    /// of SGD.
    pub states: [Option<(Mem<'a>, Mem<'a>)>; 3],
}

/// Elements of a piece of the job.
const PIECE: usize = 16 * 1024;

/// Updates all tensors. All are f32 or all are f64.
///
/// # Errors
/// [`KernelError`] for windows that do not fit or overlap; nothing is written then.
pub fn update(rule: &Rule, tensors: &[UpdateTensor<'_>]) -> Result<(), KernelError> {
    let Some(first) = tensors.first() else { return Ok(()) };
    let ty = first.p_src.ty();
    let mut total = 0usize;
    for t in tensors {
        let n = t.p_src.len();
        let given = t.states.iter().take_while(|s| s.is_some()).count();
        if given < rule.states() {
            return Err(KernelError::Bounds("state of an update"));
        }
        for (mem, written) in windows(rule, t) {
            if mem.len() != n {
                return Err(KernelError::Bounds("window of an update"));
            }
            if mem.ty() != ty || (written && !mem.writable()) {
                return Err(KernelError::Type("window of an update"));
            }
        }
        total = total.checked_add(n).ok_or(KernelError::Bounds("update"))?;
    }
    apart(rule, tensors)?;
    match (ty, rule) {
        (Ty::F32, Rule::Sgd(s)) => pieces::<f32>(tensors, total, 0.4, &sgd_with(s)),
        (Ty::F64, Rule::Sgd(s)) => pieces::<f64>(tensors, total, 0.8, &sgd_with(s)),
        (Ty::F32, Rule::Adam(a)) => pieces::<f32>(tensors, total, 0.8, &adam_with(a)),
        (Ty::F64, Rule::Adam(a)) => pieces::<f64>(tensors, total, 1.6, &adam_with(a)),
        (Ty::F32, Rule::Pointwise(kind, n)) => {
            pieces::<f32>(tensors, total, kind.ns(), &pointwise::with(*kind, n))
        }
        (Ty::F64, Rule::Pointwise(kind, n)) => {
            pieces::<f64>(tensors, total, 2.0 * kind.ns(), &pointwise::with(*kind, n))
        }
        _ => Err(KernelError::Type("update of integers")),
    }
}

/// A rule with its numbers ready, for tensors that are updated where they are: a small one takes less
/// time than [`update`] needs to look at it.
pub struct Ready<'a> {
    rule: &'a Rule,
    quick: Option<Quick>,
}

/// The rules that are worth it, for f32.
enum Quick {
    Sgd(SgdWith<f32>),
    Adam(AdamWith<f32>),
}

impl<'a> Ready<'a> {
    /// Makes the numbers ready for tensors of a type.
    pub fn new(rule: &'a Rule, ty: Ty) -> Ready<'a> {
        let quick = match rule {
            Rule::Sgd(s) if ty == Ty::F32 => Some(Quick::Sgd(sgd_with(s))),
            Rule::Adam(a) if ty == Ty::F32 => Some(Quick::Adam(adam_with(a))),
            _ => None,
        };
        Ready { rule, quick }
    }

    /// Updates a tensor and its state in place.
    ///
    /// # Errors
    /// As [`update`]; [`KernelError::Overlap`] where the memory of a tensor or state is shared.
    pub fn in_place(
        &self,
        p: &mut Storage,
        mut states: [Option<&mut Storage>; 3],
        g: Mem<'_>,
    ) -> Result<(), KernelError> {
        const SHARED: KernelError = KernelError::Overlap("an update in place of shared memory");
        let n = p.len();
        let both = |s: &mut Storage| s.write().map(|m| m.ptr_bytes()).ok_or(SHARED);
        let same = |s: &Storage| s.ty() == Ty::F32 && s.len() == n;
        let given = states.iter().take_while(|s| s.as_ref().is_some_and(|s| same(s))).count();
        let fits = same(p) && g.ty() == Ty::F32 && g.len() == n && given >= self.rule.states();
        if let Some(quick) = &self.quick
            && fits
            && n <= PIECE
        {
            let at = both(p)?.cast::<f32>();
            let mut part = Part {
                n,
                p: (at.cast_const(), at),
                g: g.ptr_bytes().cast::<f32>().cast_const(),
                states: [(std::ptr::null(), std::ptr::null_mut()); 3],
            };
            let used = states.iter_mut().take(self.rule.states());
            for (to, state) in part.states.iter_mut().zip(used.flatten()) {
                let at = both(state)?.cast::<f32>();
                *to = (at.cast_const(), at);
            }
            // SAFETY: all have `n` elements. Tensor and states have no other handle and are borrowed
            // alone, so they overlap nothing; a destination is its own source.
            unsafe {
                match quick {
                    Quick::Sgd(with) => with.run(part),
                    Quick::Adam(with) => with.run(part),
                }
            }
            return Ok(());
        }
        let (p_src, p_dst) = p.write().map(|m| (m, m)).ok_or(SHARED)?;
        let mut pairs = [None; 3];
        for (pair, state) in pairs.iter_mut().zip(states) {
            *pair = state.map(|s| s.write().map(|m| (m, m)).ok_or(SHARED)).transpose()?;
        }
        update(self.rule, &[UpdateTensor { p_src, p_dst, g, states: pairs }])
    }
}

/// The windows that a rule uses, and whether it writes them.
fn windows<'a>(
    rule: &Rule,
    t: &UpdateTensor<'a>,
) -> impl Iterator<Item = (Mem<'a>, bool)> + use<'a> {
    let states = t.states.into_iter().take(rule.states()).flatten();
    [(t.p_src, false), (t.p_dst, true), (t.g, false)]
        .into_iter()
        .chain(states.flat_map(|(src, dst)| [(src, false), (dst, true)]))
}

/// A range of bytes, and whether it is written.
type Span = (usize, usize, bool);

thread_local! {
    static SPANS: Cell<Vec<Span>> = const { Cell::new(Vec::new()) };
}

/// Checks that nothing that is written overlaps anything else, but for a source and its own
/// destination being the same.
fn apart(rule: &Rule, tensors: &[UpdateTensor<'_>]) -> Result<(), KernelError> {
    let mut spans = SPANS.take();
    spans.clear();
    let mut add = |mem: &Mem<'_>, written: bool| {
        let start = mem.ptr_bytes() as usize;
        let bytes = mem.len() * mem.ty().size();
        if bytes > 0 {
            spans.push((start, start + bytes, written));
        }
    };
    for t in tensors {
        add(&t.g, false);
        let states = t.states.iter().take(rule.states()).flatten();
        for (src, dst) in std::iter::once(&(t.p_src, t.p_dst)).chain(states) {
            add(dst, true);
            if !src.same(dst) {
                add(src, false);
            }
        }
    }
    spans.sort_unstable();
    let (mut end, mut written_end) = (0, 0);
    let mut ok = true;
    for &(from, to, written) in &spans {
        ok &= from >= if written { end } else { written_end };
        end = end.max(to);
        if written {
            written_end = written_end.max(to);
        }
    }
    SPANS.set(spans);
    if ok { Ok(()) } else { Err(KernelError::Overlap("windows of an update")) }
}

/// Pointers of a part of one tensor.
#[derive(Clone, Copy)]
struct Part<T> {
    n: usize,
    p: (*const T, *mut T),
    g: *const T,
    states: [(*const T, *mut T); 3],
}

/// A rule with its numbers ready.
///
/// # Safety
/// `run` may be called only with pointers good for `n` elements, the destinations to write, that
/// overlap only where a source is its destination.
unsafe trait Kernel<T>: Sync {
    unsafe fn run(&self, part: Part<T>);
}

fn pieces<T: Element>(
    tensors: &[UpdateTensor<'_>],
    total: usize,
    ns: f64,
    kernel: &dyn Kernel<T>,
) -> Result<(), KernelError> {
    // SAFETY: what is written overlaps nothing else, and pieces take different elements.
    let shared = unsafe { Shared::new(tensors) };
    pool::run(total.div_ceil(PIECE), (total as f64 * ns) as u64, &|piece| {
        // All tensors one after the other, cut into equal pieces.
        let (mut start, end) = (piece * PIECE, ((piece + 1) * PIECE).min(total));
        let mut base = 0;
        for t in *shared.get() {
            let n = t.p_src.len();
            if base >= end {
                break;
            }
            if start < base + n {
                let at = start - base;
                let len = (end - start).min(n - at);
                // SAFETY: at + len <= n, the length of every window in use.
                unsafe {
                    let pair = |src: &Mem<'_>, dst: &Mem<'_>| {
                        (
                            src.ptr_bytes().cast::<T>().add(at).cast_const(),
                            dst.ptr_bytes().cast::<T>().add(at),
                        )
                    };
                    let g = t.g.ptr_bytes().cast::<T>().add(at).cast_const();
                    let states = t.states.map(|s| match s {
                        // Windows beyond those of the rule may be of any length: not touched.
                        Some((src, dst)) if src.len() == n && dst.len() == n => pair(&src, &dst),
                        _ => (std::ptr::null(), std::ptr::null_mut()),
                    });
                    kernel.run(Part { n: len, p: pair(&t.p_src, &t.p_dst), g, states });
                }
                start += len;
            }
            base += n;
        }
    })?;
    Ok(())
}

/// Numbers of [`Sgd`] in the type of the tensors, rounded once, where PyTorch rounds them.
struct SgdWith<T> {
    minus_lr: T,
    momentum: T,
    damped: T,
    decay: T,
    flags: SgdFlags,
}

#[derive(Clone, Copy)]
struct SgdFlags {
    decays: bool,
    momentum: bool,
    nesterov: bool,
    maximize: bool,
    first: bool,
}

fn sgd_with<T: Real>(s: &Sgd) -> SgdWith<T> {
    SgdWith {
        minus_lr: T::of(-s.lr),
        momentum: T::of(s.momentum),
        damped: T::of(1.0 - s.dampening),
        decay: T::of(s.weight_decay),
        flags: SgdFlags {
            decays: s.weight_decay != 0.0,
            momentum: s.momentum != 0.0,
            nesterov: s.nesterov,
            maximize: s.maximize,
            first: s.first_step,
        },
    }
}

// SAFETY: the body touches `n` elements of each window and nothing else.
unsafe impl<T: Real> Kernel<T> for SgdWith<T> {
    unsafe fn run(&self, part: Part<T>) {
        sgd(self, &part);
    }
}

// SAFETY of the two kernels: they are called only through `Kernel::run`, whose caller vouches for
// the pointers.
leveled!(fn sgd[T: Real](with: &SgdWith<T>, part: &Part<T>) => sgd_body);
#[inline(always)]
fn sgd_body<const FMA: bool, T: Real>(with: &SgdWith<T>, part: &Part<T>) {
    let f = with.flags;
    let mut i = 0;
    while i < part.n {
        let n = (part.n - i).min(LANES);
        // SAFETY: i + n <= part.n; a vector is loaded from all sources before it is stored.
        unsafe {
            let mut p = T::load(part.p.0.add(i), n);
            let mut g = T::load(part.g.add(i), n);
            if f.maximize {
                g = lanewise!(g => |g| -g);
            }
            if f.decays {
                g = lanewise!(g, p => |g, p| p.fma::<FMA>(with.decay, g));
            }
            if f.momentum {
                let (src, dst) = part.states[0];
                let mut buf = g;
                if !f.first {
                    buf = T::load(src.add(i), n);
                    buf = lanewise!(buf, g => |b, g| g.fma::<FMA>(with.damped, b * with.momentum));
                }
                buf = lanewise!(buf => |b| b.flushed());
                T::store(dst.add(i), buf, n);
                g = if f.nesterov {
                    lanewise!(g, buf => |g, b| b.fma::<FMA>(with.momentum, g))
                } else {
                    buf
                };
            }
            p = lanewise!(p, g => |p, g| g.fma::<FMA>(with.minus_lr, p).flushed());
            T::store(part.p.1.add(i), p, n);
        }
        i += LANES;
        one_vector_a_turn();
    }
}

/// Numbers of [`Adam`] in the type of the tensors.
struct AdamWith<T> {
    /// `1 - lr * weight_decay`.
    shrink: T,
    decay: T,
    /// `1 - beta1`, or where that is 1/2 and more, `-beta1`: see `lerp` in PyTorch.
    toward: T,
    from_g: bool,
    beta2: T,
    rest2: T,
    /// `1 / sqrt(1 - beta2^step)`: a product instead of PyTorch's quotient, which costs as much as the root.
    unroot2: T,
    eps: T,
    minus_step: T,
    flags: AdamFlags,
}

#[derive(Clone, Copy)]
struct AdamFlags {
    decays: bool,
    decoupled: bool,
    amsgrad: bool,
    maximize: bool,
}

/// `beta` to the number of a step, through libm, so that all machines agree. A model's parameters ask
/// for the same two powers one after another, so the last ones are kept.
fn power(beta: f64, step: u64) -> f64 {
    thread_local! {
        static LAST: Cell<[(f64, u64, f64); 2]> = const { Cell::new([(0.0, 0, 1.0); 2]) };
    }
    let last = LAST.get();
    if let Some(&(_, _, value)) = last.iter().find(|l| l.0 == beta && l.1 == step) {
        return value;
    }
    let value = libm::pow(beta, step as f64);
    LAST.set([(beta, step, value), last[0]]);
    value
}

fn adam_with<T: Real>(a: &Adam) -> AdamWith<T> {
    let correction = |beta: f64| 1.0 - power(beta, a.step);
    let weight = 1.0 - a.beta1;
    let from_g = weight.abs() >= 0.5;
    AdamWith {
        shrink: T::of(1.0 - a.lr * a.weight_decay),
        decay: T::of(a.weight_decay),
        toward: if from_g { T::of(weight) - T::of(1.0) } else { T::of(weight) },
        from_g,
        beta2: T::of(a.beta2),
        rest2: T::of(1.0 - a.beta2),
        unroot2: T::of(1.0 / libm::sqrt(correction(a.beta2))),
        eps: T::of(a.eps),
        minus_step: T::of(-(a.lr / correction(a.beta1))),
        flags: AdamFlags {
            decays: a.weight_decay != 0.0,
            decoupled: a.decoupled,
            amsgrad: a.amsgrad,
            maximize: a.maximize,
        },
    }
}

// SAFETY: as for SGD.
unsafe impl<T: Real> Kernel<T> for AdamWith<T> {
    unsafe fn run(&self, part: Part<T>) {
        adam(self, &part);
    }
}

leveled!(fn adam[T: Real](with: &AdamWith<T>, part: &Part<T>) => adam_body);
#[inline(always)]
fn adam_body<const FMA: bool, T: Real>(with: &AdamWith<T>, part: &Part<T>) {
    let f = with.flags;
    let mut i = 0;
    while i < part.n {
        let n = (part.n - i).min(LANES);
        // SAFETY: i + n <= part.n; a vector is loaded from all sources before it is stored.
        unsafe {
            let mut p = T::load(part.p.0.add(i), n);
            let mut g = T::load(part.g.add(i), n);
            if f.maximize {
                g = lanewise!(g => |g| -g);
            }
            if f.decays && f.decoupled {
                p = lanewise!(p => |p| p * with.shrink);
            } else if f.decays {
                g = lanewise!(g, p => |g, p| p.fma::<FMA>(with.decay, g));
            }
            let m = T::load(part.states[0].0.add(i), n);
            let base = if with.from_g { g } else { m };
            let way = lanewise!(g, m => |g, m| g - m);
            let m = lanewise!(way, base => |w, b| w.fma::<FMA>(with.toward, b).flushed());
            T::store(part.states[0].1.add(i), m, n);
            let v = T::load(part.states[1].0.add(i), n);
            let v = lanewise!(v, g => |v, g| (v * with.beta2 + with.rest2 * g * g).flushed());
            T::store(part.states[1].1.add(i), v, n);
            let mut largest = v;
            if f.amsgrad {
                let old = T::load(part.states[2].0.add(i), n);
                largest = lanewise!(old, v => |a, b| a.larger(b));
                T::store(part.states[2].1.add(i), largest, n);
            }
            let denom = lanewise!(largest => |v| v.root().fma::<FMA>(with.unroot2, with.eps));
            let change = lanewise!(m, denom => |m, d| with.minus_step * m / d);
            T::store(part.p.1.add(i), lanewise!(p, change => |p, c| (p + c).flushed()), n);
        }
        i += LANES;
        one_vector_a_turn();
    }
}
