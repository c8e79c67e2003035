//! Golden values: the same calls as in PyTorch give the same outputs and gradients, and calls that
//! must fail do.
//!
//! `tests/fixtures/golden` holds a part of the values; `GRADUS_GOLDEN` names a folder with more. The
//! table in [`calls`] says how each of PyTorch's functions is written here.

// Helpers of tests may panic, as tests do.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod common;

use common::alone;
use gradus_core::{Array, Code, DType, Error, Operand, Rng, Shape, Tensor};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;

/// Why a call cannot be compared.
type Out = Result<Vec<Tensor>, String>;

/// How close results have to be: outputs and gradients.
#[derive(Clone, Copy)]
enum Family {
    /// Shapes, indexing, comparisons: exact; a gradient may be a sum.
    Exact,
    Elementwise,
    /// Reductions, products, losses.
    Sums,
}

impl Family {
    fn tolerances(self) -> (f64, f64) {
        match self {
            Family::Exact => (0.0, 1e-6),
            Family::Elementwise => (1e-6, 1e-5),
            Family::Sums => (1e-5, 1e-5),
        }
    }
}

/// An argument of a call.
#[derive(Clone)]
enum Arg {
    Tensor(Tensor),
    Integer(i64),
    Real(f64),
    Truth(bool),
    Text(String),
    List(Vec<Arg>),
    Slice(Vec<Arg>),
    Dtype,
    Ellipsis,
    None,
}

impl Arg {
    fn operand(&self) -> Result<Box<dyn Operand>, String> {
        match self {
            Arg::Tensor(t) => Ok(Box::new(t.clone())),
            Arg::Integer(v) => Ok(Box::new(*v)),
            Arg::Real(v) => Ok(Box::new(*v)),
            _ => Err("an argument that is neither tensor nor number".into()),
        }
    }
    fn integer(&self) -> Result<isize, String> {
        match self {
            Arg::Integer(v) => Ok(*v as isize),
            _ => Err("a size or an axis that is not an integer".into()),
        }
    }
    fn size(&self) -> Result<usize, String> {
        usize::try_from(self.integer()?).map_err(|_| "sizes are unsigned here, by type".into())
    }
    fn real(&self) -> Result<f64, String> {
        match self {
            Arg::Integer(v) => Ok(*v as f64),
            Arg::Real(v) => Ok(*v),
            _ => Err("a tensor where we take a number".into()),
        }
    }
    fn tensor(&self) -> Result<Tensor, String> {
        match self {
            Arg::Tensor(t) => Ok(t.clone()),
            _ => Err("a tensor is expected".into()),
        }
    }
    /// One or several integers.
    fn integers(&self) -> Result<Vec<isize>, String> {
        match self {
            Arg::List(v) => v.iter().map(Arg::integer).collect(),
            one => Ok(vec![one.integer()?]),
        }
    }
    fn is_none(&self) -> bool {
        matches!(self, Arg::None)
    }
}

/// A call, with what was asked of its arguments.
struct Call {
    input: Arg,
    args: Vec<Arg>,
    kwargs: BTreeMap<String, Arg>,
    asked: RefCell<(usize, HashSet<String>)>,
}

impl Call {
    fn x(&self) -> Result<Tensor, String> {
        self.input.tensor()
    }
    /// Argument number `i`, or the one of that name.
    fn get(&self, i: usize, name: &str) -> Arg {
        let mut asked = self.asked.borrow_mut();
        asked.0 = asked.0.max(i + 1);
        asked.1.insert(name.to_string());
        self.args.get(i).or_else(|| self.kwargs.get(name)).cloned().unwrap_or(Arg::None)
    }
    /// An argument that has only a name.
    fn named(&self, name: &str) -> Arg {
        self.asked.borrow_mut().1.insert(name.to_string());
        self.kwargs.get(name).cloned().unwrap_or(Arg::None)
    }
    fn flag(&self, i: usize, name: &str) -> bool {
        matches!(self.get(i, name), Arg::Truth(true))
    }
    /// An argument that nobody looked at.
    fn ignored(&self) -> Option<String> {
        let asked = self.asked.borrow();
        if self.args.len() > asked.0 {
            return Some(format!("argument number {}", asked.0 + 1));
        }
        let left = self.kwargs.iter().find(|(name, arg)| {
            !arg.is_none() && !asked.1.contains(*name) && *name != "device" && *name != "dtype"
        });
        left.map(|(name, _)| format!("argument `{name}`"))
    }
    /// The axes of a reduction: those given, or all; and whether they stay.
    fn axes(&self) -> Result<(Vec<isize>, bool), String> {
        let all = || self.x().map(|x| (0..rank(&x) as isize).collect::<Vec<_>>());
        let axes = match self.get(0, "dim") {
            Arg::None => all()?,
            Arg::List(v) if v.is_empty() => all()?,
            some => some.integers()?,
        };
        Ok((axes, self.flag(1, "keepdim")))
    }
}

fn rank(x: &Tensor) -> usize {
    x.shape().map_or(0, |s| s.rank())
}

fn dims(x: &Tensor) -> Vec<usize> {
    x.shape().map_or(Vec::new(), |s| s.dims().to_vec())
}

fn one(t: Tensor) -> Out {
    Ok(vec![t])
}

fn is_float(x: &Tensor) -> bool {
    x.dtype().is_ok_and(DType::is_float)
}

fn real(x: &Tensor) -> Tensor {
    if is_float(x) { x.clone() } else { x.cast(DType::F32) }
}

fn reshape(x: &Tensor, sizes: &[isize]) -> Out {
    one(match *sizes {
        [] => x.reshape([]),
        [a] => x.reshape([a]),
        [a, b] => x.reshape([a, b]),
        [a, b, c] => x.reshape([a, b, c]),
        [a, b, c, d] => x.reshape([a, b, c, d]),
        _ => return Err("more than four sizes".into()),
    })
}

fn permute(x: &Tensor, order: &[isize]) -> Out {
    one(match *order {
        [] => x.permute([]),
        [a] => x.permute([a]),
        [a, b] => x.permute([a, b]),
        [a, b, c] => x.permute([a, b, c]),
        [a, b, c, d] => x.permute([a, b, c, d]),
        [a, b, c, d, e] => x.permute([a, b, c, d, e]),
        _ => return Err("more than five axes".into()),
    })
}

fn expand(c: &Call, name: &str) -> Out {
    let x = c.x()?;
    let sizes = c.get(0, name).integers()?;
    let new = sizes.len() - rank(&x).min(sizes.len());
    let size = |(i, &s): (usize, &isize)| match s {
        -1 if i >= new => dims(&x)[i - new],
        s => s as usize,
    };
    let sizes: Vec<usize> = sizes.iter().enumerate().map(size).collect();
    one(x.broadcast_to(sizes))
}

fn squeeze(x: &Tensor, axes: &[isize]) -> Tensor {
    let mut axes: Vec<isize> =
        axes.iter().map(|&a| if a < 0 { a + rank(x) as isize } else { a }).collect();
    axes.sort_unstable();
    axes.iter().rev().fold(x.clone(), |x, &a| x.squeeze(a))
}

fn select(x: &Tensor, axis: isize, index: isize) -> Tensor {
    let end = if index == -1 { isize::MAX } else { index + 1 };
    x.slice(axis, index, end, 1).squeeze(axis)
}

fn slice(x: &Tensor, axis: isize, parts: &[Arg]) -> Result<Tensor, String> {
    let part = |i: usize, default: isize| match parts.get(i) {
        None | Some(Arg::None) => Ok(default),
        Some(arg) => arg.integer(),
    };
    Ok(x.slice(axis, part(0, 0)?, part(1, isize::MAX)?, part(2, 1)?))
}

fn get_item(c: &Call) -> Out {
    let mut x = c.x()?;
    let Arg::List(key) = c.get(0, "key") else { return Err("an index that is no list".into()) };
    let lists = key.iter().filter(|k| matches!(k, Arg::List(_))).count();
    let mut axis = 0;
    for item in &key {
        match item {
            Arg::Slice(parts) => {
                x = slice(&x, axis, parts)?;
                axis += 1;
            }
            Arg::Integer(i) => x = select(&x, axis, *i as isize),
            Arg::Ellipsis => axis = rank(&x) as isize - (key.len() as isize - axis - 1),
            Arg::List(_) if lists == 1 => {
                let ids: Vec<i64> = item.integers()?.iter().map(|&i| i as i64).collect();
                x = x.index_select(axis, &Tensor::from(ids));
                axis += 1;
            }
            _ => return Err("advanced indexing with several indices or a mask".into()),
        }
    }
    one(x)
}

fn quotient(c: &Call) -> Out {
    let (x, y) = (c.x()?, c.get(0, "other"));
    let y: Box<dyn Operand> = match &y {
        Arg::Tensor(t) => Box::new(real(t)),
        other => other.operand()?,
    };
    let q = real(&x) / &*y;
    one(match c.named("rounding_mode") {
        Arg::Text(mode) if mode == "trunc" => q.trunc(),
        Arg::Text(mode) if mode == "floor" => {
            // As Python does it: the remainder decides, not the rounded quotient.
            let r = real(&x) % &*y;
            ((real(&x) - r) / &*y).round()
        }
        _ => q,
    })
}

fn truth(c: &Call, f: fn(&Tensor, &Tensor) -> Tensor) -> Out {
    match c.get(0, "other") {
        Arg::Tensor(y) => one(f(&c.x()?.cast(DType::Bool), &y.cast(DType::Bool))),
        _ => Err("logic with a number: the type forbids it".into()),
    }
}

fn extreme(c: &Call, max: bool) -> Out {
    let x = c.x()?;
    let pick = |x: &Tensor| if max { x.max() } else { x.min() };
    match c.get(0, "dim") {
        Arg::None => one(pick(&x)),
        Arg::Tensor(y) => one(if max { x.maximum(&y) } else { x.minimum(&y) }),
        axis => {
            let (a, keep) = (axis.integer()?, c.flag(1, "keepdim"));
            let values = if max { x.max_dim(a) } else { x.min_dim(a) };
            let at = if max { x.argmax(a) } else { x.argmin(a) };
            let keep = keep && rank(&x) > 0;
            Ok(if keep { vec![values.unsqueeze(a), at.unsqueeze(a)] } else { vec![values, at] })
        }
    }
}

fn position(c: &Call, max: bool) -> Out {
    let x = c.x()?;
    let pick = |x: &Tensor, a| if max { x.argmax(a) } else { x.argmin(a) };
    match c.get(0, "dim") {
        Arg::None => one(pick(&x.reshape([-1]), 0)),
        axis => {
            let (a, keep) = (axis.integer()?, c.flag(1, "keepdim"));
            let at = pick(&x, a);
            one(if keep && rank(&x) > 0 { at.unsqueeze(a) } else { at })
        }
    }
}

fn variance(c: &Call) -> Out {
    let x = c.x()?;
    let first = c.get(0, "dim");
    let unbiased = match (&first, &c.named("unbiased")) {
        (Arg::Truth(u), _) | (_, Arg::Truth(u)) => *u,
        _ => true,
    };
    let correction = match c.named("correction") {
        Arg::None => usize::from(unbiased),
        Arg::Integer(v) => usize::try_from(v).map_err(|_| "a negative correction")?,
        _ => return Err("a correction that is not an integer".into()),
    };
    let axes = match first {
        Arg::None | Arg::Truth(_) => (0..rank(&x) as isize).collect(),
        some => some.integers()?,
    };
    let axes = axes.as_slice();
    one(match c.flag(1, "keepdim") {
        true => x.var_keepdim(axes, correction),
        false => x.var_dim(axes, correction),
    })
}

fn reduced(y: Tensor, how: &Arg) -> Out {
    one(match how {
        Arg::None => y.mean(),
        Arg::Text(how) => match how.as_str() {
            "mean" => y.mean(),
            "sum" => y.sum(),
            _ => y,
        },
        _ => return Err("a reduction that is no name".into()),
    })
}

fn cross_entropy(c: &Call) -> Out {
    let (x, t) = (c.x()?, c.get(0, "target").tensor()?);
    if rank(&x) != 2 {
        return Err("cross-entropy of logits that are not [batch, classes]".into());
    }
    if is_float(&t) {
        return match c.named("reduction") {
            Arg::None => one(x.cross_entropy(&t)),
            Arg::Text(how) if how == "mean" => one(x.cross_entropy(&t)),
            _ => Err("a cross-entropy of probabilities that is not averaged".into()),
        };
    }
    if !c.named("weight").is_none() {
        return Err("a weighted cross-entropy".into());
    }
    if !matches!(c.named("label_smoothing"), Arg::None | Arg::Real(0.0)) {
        return Err("label smoothing".into());
    }
    if !matches!(c.named("ignore_index"), Arg::None | Arg::Integer(-100)) {
        return Err("an ignored class".into());
    }
    reduced(x.cross_entropy_rows(&t), &c.named("reduction"))
}

fn reduction(
    c: &Call,
    f: fn(&Tensor, &[isize]) -> Tensor,
    kept: fn(&Tensor, &[isize]) -> Tensor,
) -> Out {
    let (axes, keep) = c.axes()?;
    let x = c.x()?;
    one(if keep { kept(&x, &axes) } else { f(&x, &axes) })
}

/// A function of PyTorch's: name, tolerances, and how the call is written here.
type Line = (&'static str, Family, fn(&Call) -> Out);

/// How PyTorch's functions are written here.
#[allow(clippy::too_many_lines)]
fn calls() -> Vec<Line> {
    use Family::{Elementwise, Exact, Sums};
    macro_rules! unary {
        ($($name:literal $family:ident $method:ident),*) => {
            vec![$(($name, $family, (|c| one(c.x()?.$method())) as fn(&Call) -> Out)),*]
        };
    }
    macro_rules! binary {
        ($($name:literal $family:ident $x:ident $y:ident => $e:expr),* $(,)?) => {
            vec![$(($name, $family, (|c| {
                let ($x, $y) = (&c.x()?, &*c.get(0, "other").operand()?);
                one($e)
            }) as fn(&Call) -> Out)),*]
        };
    }
    let mut table = unary![
        "abs" Elementwise abs, "reciprocal" Elementwise recip, "sqrt" Elementwise sqrt,
        "rsqrt" Elementwise rsqrt, "exp" Elementwise exp, "expm1" Elementwise expm1,
        "log" Elementwise log, "log1p" Elementwise log1p, "sin" Elementwise sin,
        "cos" Elementwise cos, "tanh" Elementwise tanh, "sigmoid" Elementwise sigmoid,
        "erf" Elementwise erf, "floor" Elementwise floor, "ceil" Elementwise ceil,
        "trunc" Elementwise trunc, "sign" Elementwise sign, "square" Elementwise square,
        "nn.functional.relu" Elementwise relu, "isfinite" Exact is_finite, "isnan" Exact is_nan,
        "mT" Exact t, "clone" Exact clone, "positive" Exact clone
    ];
    table.extend(binary![
        "mul" Elementwise x y => x * y,
        "pow" Elementwise x y => x.pow(y),
        "remainder" Elementwise x y => x % y,
        "eq" Exact x y => x.eq(y),
        "ne" Exact x y => x.ne(y),
        "lt" Exact x y => x.lt(y),
        "le" Exact x y => x.le(y),
        "gt" Exact x y => x.gt(y),
        "ge" Exact x y => x.ge(y),
        "clamp_min" Elementwise x y => x.clamp(y, f64::INFINITY),
        "clamp_max" Elementwise x y => x.clamp(f64::NEG_INFINITY, y),
        "matmul" Sums x y => x.matmul(y),
    ]);
    let rest: Vec<Line> = vec![
        ("neg", Elementwise, |c| one(-c.x()?)),
        ("maximum", Elementwise, |c| match c.get(0, "other") {
            Arg::Tensor(y) => one(c.x()?.maximum(&y)),
            _ => Err("we take numbers too".into()),
        }),
        ("minimum", Elementwise, |c| match c.get(0, "other") {
            Arg::Tensor(y) => one(c.x()?.minimum(&y)),
            _ => Err("we take numbers too".into()),
        }),
        ("round", Elementwise, |c| match c.named("decimals") {
            Arg::None | Arg::Integer(0) => one(c.x()?.round()),
            _ => Err("rounding to decimals".into()),
        }),
        ("logical_not", Exact, |c| one(!c.x()?.cast(DType::Bool))),
        ("add", Elementwise, |c| {
            let y = c.get(0, "other").operand()?;
            one(match c.named("alpha") {
                Arg::None => c.x()? + &*y,
                alpha => c.x()? + alpha.real()? * &(Tensor::from(0.0) + &*y),
            })
        }),
        ("sub", Elementwise, |c| {
            let y = c.get(0, "other").operand()?;
            one(match c.named("alpha") {
                Arg::None => c.x()? - &*y,
                alpha => c.x()? - alpha.real()? * &(Tensor::from(0.0) + &*y),
            })
        }),
        ("rsub", Elementwise, |c| {
            let y = Tensor::from(0.0) + &*c.get(0, "other").operand()?;
            one(match c.named("alpha") {
                Arg::None => y - c.x()?,
                alpha => y - c.x()? * alpha.real()?,
            })
        }),
        ("div", Elementwise, quotient),
        ("true_divide", Elementwise, quotient),
        ("logical_and", Exact, |c| truth(c, |x, y| x & y)),
        ("logical_or", Exact, |c| truth(c, |x, y| x | y)),
        ("logical_xor", Exact, |c| truth(c, |x, y| x ^ y)),
        ("clamp", Elementwise, |c| {
            let limit = |arg: Arg, open: f64| match arg {
                Arg::None => Ok(Box::new(open) as Box<dyn Operand>),
                some => some.operand(),
            };
            let low = limit(c.get(0, "min"), f64::NEG_INFINITY)?;
            let high = limit(c.get(1, "max"), f64::INFINITY)?;
            one(c.x()?.clamp(&*low, &*high))
        }),
        ("where", Exact, |c| {
            let (condition, other) = (c.get(0, "condition").tensor()?, c.get(1, "other"));
            one(condition.where_(&c.x()?, &*other.operand()?))
        }),
        ("nn.functional.gelu", Elementwise, |c| match c.named("approximate") {
            Arg::Text(how) if how == "tanh" => one(c.x()?.gelu_tanh()),
            Arg::Text(how) if how != "none" => Err("the kind of GELU is a method here".into()),
            _ => one(c.x()?.gelu()),
        }),
        ("sum", Sums, |c| reduction(c, |x, a| x.sum_dim(a), |x, a| x.sum_keepdim(a))),
        ("mean", Sums, |c| reduction(c, |x, a| x.mean_dim(a), |x, a| x.mean_keepdim(a))),
        ("amax", Exact, |c| reduction(c, |x, a| x.max_dim(a), |x, a| x.max_keepdim(a))),
        ("amin", Exact, |c| reduction(c, |x, a| x.min_dim(a), |x, a| x.min_keepdim(a))),
        ("aminmax", Exact, |c| {
            let low = reduction(c, |x, a| x.min_dim(a), |x, a| x.min_keepdim(a))?;
            let high = reduction(c, |x, a| x.max_dim(a), |x, a| x.max_keepdim(a))?;
            Ok([low, high].concat())
        }),
        ("any", Exact, |c| {
            let bool = |x: &Tensor| x.cast(DType::Bool);
            let (axes, keep) = c.axes()?;
            let x = bool(&c.x()?);
            one(if keep { x.max_keepdim(axes.as_slice()) } else { x.max_dim(axes.as_slice()) })
        }),
        ("all", Exact, |c| {
            let (axes, keep) = c.axes()?;
            let x = c.x()?.cast(DType::Bool);
            one(if keep { x.min_keepdim(axes.as_slice()) } else { x.min_dim(axes.as_slice()) })
        }),
        ("var", Sums, variance),
        ("max", Exact, |c| extreme(c, true)),
        ("min", Exact, |c| extreme(c, false)),
        ("argmax", Exact, |c| position(c, true)),
        ("argmin", Exact, |c| position(c, false)),
        ("mm", Sums, |c| one(c.x()?.matmul(c.get(0, "mat2").tensor()?))),
        ("bmm", Sums, |c| one(c.x()?.matmul(c.get(0, "mat2").tensor()?))),
        ("mv", Sums, |c| one(c.x()?.matmul(c.get(0, "vec").tensor()?))),
        ("dot", Sums, |c| one(c.x()?.matmul(c.get(0, "tensor").tensor()?))),
        ("addmm", Sums, |c| {
            let product = c.get(0, "mat1").tensor()?.matmul(c.get(1, "mat2").tensor()?);
            let scale = |name| match c.named(name) {
                Arg::None => Ok(1.0),
                some => some.real(),
            };
            one(c.x()? * scale("beta")? + product * scale("alpha")?)
        }),
        ("nn.functional.linear", Sums, |c| {
            let (w, b) = (c.get(0, "weight").tensor()?, c.get(1, "bias"));
            one(match b {
                Arg::None if rank(&w) == 1 => c.x()?.matmul(&w),
                Arg::None => c.x()?.linear(&w, None),
                b => c.x()?.linear(&w, Some(&*b.operand()?)),
            })
        }),
        ("softmax", Sums, |c| one(c.x()?.softmax(c.get(0, "dim").integer()?))),
        ("log_softmax", Sums, |c| one(c.x()?.log_softmax(c.get(0, "dim").integer()?))),
        ("nn.functional.mse_loss", Sums, |c| {
            let t = c.get(0, "target").tensor()?;
            one(match c.named("reduction") {
                Arg::None => c.x()?.mse_loss(&t),
                Arg::Text(how) if how == "mean" => c.x()?.mse_loss(&t),
                _ => return Err("a loss that is not averaged".into()),
            })
        }),
        ("nn.functional.cross_entropy", Sums, cross_entropy),
        ("cross_entropy_more", Sums, cross_entropy),
        ("nn.functional.binary_cross_entropy_with_logits", Sums, |c| {
            if !c.named("weight").is_none() || !c.named("pos_weight").is_none() {
                return Err("a weighted binary cross-entropy".into());
            }
            one(c.x()?.binary_cross_entropy_with_logits(&c.get(0, "target").tensor()?))
        }),
        ("nn.functional.one_hot", Exact, |c| match c.get(0, "num_classes") {
            Arg::Integer(n) if n > 0 => one(c.x()?.one_hot(n as usize).cast(DType::I64)),
            _ => Err("a count of classes that depends on the data".into()),
        }),
        ("reshape", Exact, |c| reshape(&c.x()?, &c.get(0, "shape").integers()?)),
        ("view", Exact, |c| reshape(&c.x()?, &c.get(0, "shape").integers()?)),
        ("ravel", Exact, |c| one(c.x()?.flatten(0))),
        ("flatten", Exact, |c| {
            let (start, end) = (c.get(0, "start_dim"), c.get(1, "end_dim"));
            match (start, end) {
                (Arg::None, Arg::None) => one(c.x()?.flatten(0)),
                (start, Arg::None | Arg::Integer(-1)) => one(c.x()?.flatten(start.integer()?)),
                _ => Err("flattening up to an axis before the last".into()),
            }
        }),
        ("permute", Exact, |c| permute(&c.x()?, &c.get(0, "dims").integers()?)),
        ("transpose", Exact, |c| {
            one(c.x()?.transpose(c.get(0, "dim0").integer()?, c.get(1, "dim1").integer()?))
        }),
        ("t", Exact, |c| match rank(&c.x()?) {
            2 => one(c.x()?.t()),
            0 | 1 => Err("the transpose of a vector".into()),
            _ => Err("`t` swaps the last two of any number of axes".into()),
        }),
        ("T", Exact, |c| {
            let order: Vec<isize> = (0..rank(&c.x()?) as isize).rev().collect();
            permute(&c.x()?, &order)
        }),
        ("expand", Exact, |c| expand(c, "shape")),
        ("broadcast_to", Exact, |c| expand(c, "size")),
        ("cat", Exact, |c| {
            let Arg::List(parts) = &c.input else { return Err("no list".into()) };
            let parts: Vec<Tensor> = parts.iter().map(Arg::tensor).collect::<Result<_, _>>()?;
            let axis = match c.get(0, "dim") {
                Arg::None => 0,
                some => some.integer()?,
            };
            one(Tensor::concat(&parts.iter().collect::<Vec<_>>(), axis))
        }),
        ("stack", Exact, |c| {
            let Arg::List(parts) = &c.input else { return Err("no list".into()) };
            let parts: Vec<Tensor> = parts.iter().map(Arg::tensor).collect::<Result<_, _>>()?;
            let axis = c.get(0, "dim").integer().unwrap_or(0);
            one(Tensor::stack(&parts.iter().collect::<Vec<_>>(), axis))
        }),
        ("flip", Exact, |c| {
            let axes = c.get(0, "dims").integers()?;
            one(axes.iter().fold(c.x()?, |x, &a| x.flip(a)))
        }),
        ("squeeze", Exact, |c| {
            let x = c.x()?;
            let all: Vec<isize> = (0..rank(&x) as isize).collect();
            one(match c.get(0, "dim") {
                Arg::None => squeeze(&x, &all),
                some => squeeze(&x, &some.integers()?),
            })
        }),
        ("unsqueeze", Exact, |c| one(c.x()?.unsqueeze(c.get(0, "dim").integer()?))),
        ("narrow", Exact, |c| {
            let (axis, start) = (c.get(0, "dim").integer()?, c.get(1, "start").size()?);
            one(c.x()?.narrow(axis, start, c.get(2, "length").size()?))
        }),
        ("slice", Exact, |c| {
            let axis = c.get(0, "dim").integer().unwrap_or(0);
            let parts = [c.get(1, "start"), c.get(2, "end"), c.get(3, "step")];
            one(slice(&c.x()?, axis, &parts)?)
        }),
        ("select", Exact, |c| {
            one(select(&c.x()?, c.get(0, "dim").integer()?, c.get(1, "index").integer()?))
        }),
        ("__getitem__", Exact, get_item),
        ("index_select", Exact, |c| {
            let (axis, index) = (c.get(0, "dim").integer()?, c.get(1, "index").tensor()?);
            one(c.x()?.index_select(axis, &index))
        }),
        ("gather", Exact, |c| {
            let (axis, index) = (c.get(0, "dim").integer()?, c.get(1, "index").tensor()?);
            one(c.x()?.gather(axis, &index))
        }),
        ("scatter_add", Sums, |c| {
            let (axis, index) = (c.get(0, "dim").integer()?, c.get(1, "index").tensor()?);
            one(c.x()?.scatter_add(axis, &index, &c.get(2, "src").tensor()?))
        }),
        ("index_add", Sums, |c| {
            let (axis, index) = (c.get(0, "dim").integer()?, c.get(1, "index").tensor()?);
            let source = c.get(2, "source").tensor()?;
            let source = match c.named("alpha") {
                Arg::None => source,
                alpha => source * alpha.real()?,
            };
            one(c.x()?.index_add(axis, &index, &source))
        }),
        ("linspace", Elementwise, |c| {
            let (start, end) = (c.input.real()?, c.get(0, "end").real()?);
            one(Tensor::linspace(start, end, c.get(1, "steps").size()?))
        }),
        ("arange", Exact, |c| {
            let whole = |arg: &Arg| arg.integer().map_err(|_| "a range of real numbers");
            let (start, end) = match c.get(0, "end") {
                Arg::None => (0, whole(&c.input)?),
                end => (whole(&c.input)?, whole(&end)?),
            };
            match c.get(1, "step") {
                Arg::None | Arg::Integer(1) => {
                    one(Tensor::arange(start as i64, end as i64).cast(DType::F32))
                }
                _ => Err("a range with a step".into()),
            }
        }),
        ("eye", Exact, |c| {
            let n = c.input.size()?;
            match c.get(0, "m") {
                Arg::None => one(Tensor::eye(n)),
                _ => Err("an identity that is not square".into()),
            }
        }),
        ("full", Exact, |c| {
            let sizes: Vec<usize> = c.input.integers()?.iter().map(|&s| s as usize).collect();
            one(Tensor::full(sizes, c.get(0, "fill_value").real()?))
        }),
        ("ones", Exact, |c| {
            let sizes: Vec<usize> = c.input.integers()?.iter().map(|&s| s as usize).collect();
            one(Tensor::ones(sizes))
        }),
        ("zeros", Exact, |c| {
            let sizes: Vec<usize> = c.input.integers()?.iter().map(|&s| s as usize).collect();
            one(Tensor::zeros(sizes))
        }),
    ];
    table.extend(rest);
    table
}

/// Tensors of one file, made once, so that the same name is the same tensor.
struct Store<'a> {
    file: Option<SafeTensors<'a>>,
    made: RefCell<HashMap<String, Tensor>>,
}

impl Store<'_> {
    fn array(&self, name: &str) -> Result<Array, String> {
        let file = self.file.as_ref().ok_or("no file")?;
        let view = file.tensor(name).map_err(|e| format!("{name}: {e}"))?;
        let (shape, data) = (Shape::new(view.shape()), view.data());
        let array = match view.dtype() {
            Dtype::F32 => Array::new(shape, &chunks::<4, f32>(data, f32::from_le_bytes)),
            Dtype::I64 => Array::new(shape, &chunks::<8, i64>(data, i64::from_le_bytes)),
            Dtype::BOOL => Array::new(shape, &data.iter().map(|&b| b != 0).collect::<Vec<_>>()),
            other => return Err(format!("elements of type {other:?}")),
        };
        array.map_err(|e| e.to_string())
    }

    fn tensor(&self, name: &str) -> Result<Tensor, String> {
        if let Some(t) = self.made.borrow().get(name) {
            return Ok(t.clone());
        }
        let t = common::leaf(&self.array(name)?);
        self.made.borrow_mut().insert(name.to_string(), t.clone());
        Ok(t)
    }

    fn arg(&self, v: &Value) -> Result<Arg, String> {
        Ok(match v {
            Value::Null => Arg::None,
            Value::Bool(b) => Arg::Truth(*b),
            Value::String(s) => Arg::Text(s.clone()),
            Value::Number(n) => match n.as_i64() {
                Some(i) if n.is_i64() => Arg::Integer(i),
                _ => Arg::Real(n.as_f64().ok_or("a number")?),
            },
            Value::Array(list) => {
                Arg::List(list.iter().map(|v| self.arg(v)).collect::<Result<_, _>>()?)
            }
            Value::Object(map) => {
                let (key, inner) = map.iter().next().ok_or("an empty object")?;
                match (key.as_str(), inner) {
                    ("tensor", Value::String(name)) => Arg::Tensor(self.tensor(name)?),
                    ("tensor", inline) => Arg::Tensor(inline_tensor(inline)?),
                    ("float", Value::String(s)) => Arg::Real(s.parse().map_err(|_| "a float")?),
                    ("slice", Value::Array(parts)) => {
                        Arg::Slice(parts.iter().map(|v| self.arg(v)).collect::<Result<_, _>>()?)
                    }
                    ("ellipsis", _) => Arg::Ellipsis,
                    ("scalar_type", Value::String(_)) => Arg::Dtype,
                    _ => return Err(format!("an argument of kind `{key}`")),
                }
            }
        })
    }

    fn call(&self, v: &Value) -> Result<Call, String> {
        let kwargs = v["kwargs"].as_object().ok_or("no kwargs")?;
        Ok(Call {
            input: self.arg(&v["input"])?,
            args: v["args"]
                .as_array()
                .ok_or("no args")?
                .iter()
                .map(|v| self.arg(v))
                .collect::<Result<_, _>>()?,
            kwargs: kwargs
                .iter()
                .map(|(k, v)| Ok((k.clone(), self.arg(v)?)))
                .collect::<Result<_, String>>()?,
            asked: RefCell::default(),
        })
    }
}

fn chunks<const N: usize, T>(data: &[u8], f: fn([u8; N]) -> T) -> Vec<T> {
    data.chunks_exact(N).map(|b| f(b.try_into().unwrap())).collect()
}

/// A tensor that is written into the index.
fn inline_tensor(v: &Value) -> Result<Tensor, String> {
    let sizes: Vec<usize> = v["shape"]
        .as_array()
        .ok_or("no shape")?
        .iter()
        .map(|d| d.as_u64().unwrap() as usize)
        .collect();
    let values = v["values"].as_array();
    let number = |v: &Value| v.as_f64().unwrap_or(f64::NAN);
    let shape = Shape::new(&sizes);
    let made = match (v["dtype"].as_str(), values) {
        (Some("float32"), None) => Rng::new(1).uniform(shape, -1.0, 1.0),
        (Some("float32"), Some(v)) => {
            Array::new(shape, &v.iter().map(|v| number(v) as f32).collect::<Vec<_>>())
        }
        (Some("float64"), Some(v)) => Array::new(shape, &v.iter().map(number).collect::<Vec<_>>()),
        (Some("int64"), Some(v)) => {
            Array::new(shape, &v.iter().map(|v| v.as_i64().unwrap()).collect::<Vec<_>>())
        }
        (Some("bool"), Some(v)) => {
            Array::new(shape, &v.iter().map(|v| v.as_bool().unwrap()).collect::<Vec<_>>())
        }
        (dtype, _) => return Err(format!("elements of type {}", dtype.unwrap_or("?"))),
    };
    Ok(match made {
        Ok(array) => Tensor::from(array),
        Err(error) => Tensor::failed(error),
    })
}

/// What happened to a call.
enum Outcome {
    Passed,
    Failed(String),
    OutOfScope(String),
}

fn close(what: &str, have: &Array, want: &Array, tolerance: f64) -> Result<(), String> {
    if have.shape() != want.shape() || have.dtype() != want.dtype() {
        return Err(format!("{what} is {have:?}, PyTorch's {want:?}"));
    }
    let (a, b) = (have.to_f64(), want.to_f64());
    let scale = b.iter().filter(|v| v.is_finite()).fold(1.0f64, |m, v| m.max(v.abs()));
    let apart = |(x, y): (&f64, &f64)| {
        !(x == y || x.is_nan() && y.is_nan() || (x - y).abs() <= tolerance * scale)
    };
    match a.iter().zip(&b).position(apart) {
        Some(k) => Err(format!("{what}: element {k} is {:e}, PyTorch's {:e}", a[k], b[k])),
        None => Ok(()),
    }
}

/// Compares a sample's outputs and gradients.
fn sample(store: &Store<'_>, v: &Value, family: Family, f: fn(&Call) -> Out) -> Outcome {
    let call = match store.call(v) {
        Ok(call) => call,
        Err(why) => return Outcome::OutOfScope(why),
    };
    let outputs = match f(&call) {
        Ok(outputs) => outputs,
        Err(why) => return Outcome::OutOfScope(why),
    };
    if let Some(left) = call.ignored() {
        return Outcome::OutOfScope(left);
    }
    let scalar_axis =
        |e: &Error| e.code() == Code::Shape && e.title().ends_with("does not exist in []");
    if let Some(Err(error)) = outputs.iter().map(Tensor::check).find(|c| c.is_err())
        && scalar_axis(&error)
    {
        return Outcome::OutOfScope(format!(
            "PyTorch lets a scalar have an axis 0: {}",
            error.title()
        ));
    }
    match compare(store, v, family, &outputs) {
        Ok(()) => Outcome::Passed,
        Err(why) => Outcome::Failed(why),
    }
}

fn compare(store: &Store<'_>, v: &Value, family: Family, outputs: &[Tensor]) -> Result<(), String> {
    let deviation = |i: usize| 10.0 * v["f64_dev"][i].as_f64().unwrap_or(0.0);
    let (output_tolerance, gradient_tolerance) = family.tolerances();
    let wanted = v["outputs"].as_array().ok_or("outputs that are no list")?;
    if wanted.len() != outputs.len() {
        return Err(format!("{} outputs, PyTorch has {}", outputs.len(), wanted.len()));
    }
    for (i, (have, want)) in outputs.iter().zip(wanted).enumerate() {
        let want = store.array(want["tensor"].as_str().ok_or("an output that is no tensor")?)?;
        let have = have.to_array().map_err(|e| e.to_string())?;
        close(&format!("output {i}"), &have, &want, output_tolerance.max(deviation(0)))?;
    }
    let mut total: Option<Tensor> = None;
    for entry in v["cotangents"].as_array().ok_or("no cotangents")? {
        let at = wanted.iter().position(|w| w["tensor"] == entry["of"]).ok_or("no such output")?;
        let cotangent = store.array(entry["cot"].as_str().ok_or("a cotangent")?)?;
        let part = (&outputs[at] * Tensor::from(cotangent)).sum();
        total = Some(match total {
            Some(sum) => sum + part,
            None => part,
        });
    }
    for entry in v["grads"].as_array().ok_or("no gradients")? {
        let of = entry["of"].as_str().ok_or("a gradient of nothing")?;
        let x = store.tensor(of)?;
        let total = total.as_ref().ok_or("gradients without cotangents")?;
        let have = match total.grad(&x) {
            Ok(g) => g.to_array().map_err(|e| e.to_string())?,
            // The input does not influence the outputs.
            Err(e) if e.code() == Code::Gradient => {
                Array::zeros(x.shape().unwrap(), DType::F32).map_err(|e| e.to_string())?
            }
            Err(e) => return Err(e.to_string()),
        };
        let want = match entry["grad"].as_str() {
            Some(name) => store.array(name)?,
            None => Array::zeros(have.shape(), have.dtype()).map_err(|e| e.to_string())?,
        };
        close(&format!("gradient of {of}"), &have, &want, gradient_tolerance.max(deviation(1)))?;
    }
    Ok(())
}

/// A call that must fail, when recorded or when its value is read.
fn must_fail(store: &Store<'_>, v: &Value, f: fn(&Call) -> Out) -> Outcome {
    let call = match store.call(v) {
        Ok(call) => call,
        Err(why) => return Outcome::OutOfScope(why),
    };
    match f(&call) {
        Err(why) => Outcome::OutOfScope(why),
        Ok(outputs) => match outputs.iter().map(Tensor::to_array).find(Result::is_err) {
            Some(_) => Outcome::Passed,
            None => Outcome::Failed(format!("no error, but PyTorch says: {}", v["error"])),
        },
    }
}

#[test]
fn golden() {
    let _alone = alone();
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/golden");
    let other = std::env::var_os("GRADUS_GOLDEN").map(PathBuf::from);
    let folder = other.clone().unwrap_or(own).join("ops");
    let index: Value =
        serde_json::from_slice(&std::fs::read(folder.join("index.json")).unwrap()).unwrap();
    let table = calls();
    let (mut passed, mut failures, mut left_out) =
        (0, Vec::new(), BTreeMap::<String, usize>::new());
    for entry in index["ops"].as_array().unwrap() {
        let name = entry["name"].as_str().unwrap();
        let variant = entry["variant"].as_str().unwrap_or("");
        let samples = entry["samples"].as_array().unwrap();
        let errors = entry["errors"].as_array().map_or(&[][..], Vec::as_slice);
        let Some(&(_, family, f)) = table.iter().find(|(n, ..)| *n == name) else {
            let reason = if other.is_some() {
                "no such operation yet".to_string()
            } else {
                format!("no call for {name}")
            };
            *left_out.entry(reason).or_default() += samples.len() + errors.len();
            continue;
        };
        let bytes = match entry["file"].as_str() {
            Some(file) => std::fs::read(folder.join(file)).unwrap(),
            None => Vec::new(),
        };
        let store = |made| Store { file: SafeTensors::deserialize(&bytes).ok(), made };
        let of_samples = samples.iter().map(|v| {
            (format!("sample {}", v["id"]), sample(&store(RefCell::default()), v, family, f))
        });
        let of_errors = errors
            .iter()
            .enumerate()
            .map(|(i, v)| (format!("must fail {i}"), must_fail(&store(RefCell::default()), v, f)));
        for (what, outcome) in of_samples.chain(of_errors) {
            match outcome {
                Outcome::Passed => passed += 1,
                Outcome::Failed(why) => failures.push(format!("{name} {variant} {what}: {why}")),
                Outcome::OutOfScope(why) => *left_out.entry(why).or_default() += 1,
            }
        }
    }
    let out_of_scope: usize = left_out.values().sum();
    println!("golden: {passed} passed, {} failed, {out_of_scope} out of scope", failures.len());
    for (why, count) in &left_out {
        println!("  {count:4}  {why}");
    }
    assert!(failures.is_empty(), "{} failed\n{}", failures.len(), failures.join("\n"));
    if other.is_none() {
        assert!(passed >= 500, "{passed} passed: did the table lose calls?");
    }
    assert_eq!(gradus_core::live_nodes(), 0);
}
