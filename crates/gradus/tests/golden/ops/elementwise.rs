//! Element-wise arithmetic, comparisons, logic.

use crate::harness::Family::{Elementwise, Exact};
use crate::harness::{Arg, Call, Line, Out, one, real};
use gradus::{DType, Operand, Tensor};

/// How PyTorch's functions of this family are written here.
pub(crate) fn lines() -> Vec<Line> {
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
    ];
    [
        unary![
        "abs" Elementwise abs,
        "reciprocal" Elementwise recip,
        "sqrt" Elementwise sqrt,
        "rsqrt" Elementwise rsqrt,
        "exp" Elementwise exp,
        "expm1" Elementwise expm1,
        "log" Elementwise log,
        "log1p" Elementwise log1p,
        "sin" Elementwise sin,
        "cos" Elementwise cos,
        "tanh" Elementwise tanh,
        "sigmoid" Elementwise sigmoid,
        "erf" Elementwise erf,
        "floor" Elementwise floor,
        "ceil" Elementwise ceil,
        "trunc" Elementwise trunc,
        "sign" Elementwise sign,
        "square" Elementwise square,
        "isfinite" Exact is_finite,
        "isnan" Exact is_nan,
        "clone" Exact clone,
        "positive" Exact clone
        ],
        binary![
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
        ],
        rest,
    ]
    .concat()
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
