//! Element-wise arithmetic, comparisons, logic.

use crate::harness::Family::{Elementwise, Exact, Special};
use crate::harness::{Arg, Call, Line, Out, one, rank};
use gradus::{Operand, Tensor};

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
            Arg::None => one(c.x()?.round()),
            n => one(c.x()?.round_decimals(n.integer()? as i32)),
        }),
        ("logical_not", Exact, |c| one(c.x()?.logical_not())),
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
        ("logical_and", Exact, |c| truth(c, Tensor::logical_and)),
        ("logical_or", Exact, |c| truth(c, Tensor::logical_or)),
        ("logical_xor", Exact, |c| truth(c, Tensor::logical_xor)),
        ("fmax", Elementwise, |c| tensors(c, "other", |x, y| x.fmax(y))),
        ("fmin", Elementwise, |c| tensors(c, "other", |x, y| x.fmin(y))),
        ("heaviside", Elementwise, |c| tensors(c, "values", |x, y| x.heaviside(y))),
        ("ldexp", Elementwise, |c| tensors(c, "other", |x, y| x.ldexp(y))),
        ("isclose", Exact, |c| {
            let (rtol, atol, nan) = tolerances(c)?;
            one(c.x()?.is_close(c.get(0, "other").tensor()?, rtol, atol, nan))
        }),
        ("allclose", Exact, |c| {
            let (rtol, atol, nan) = tolerances(c)?;
            let close = c.x()?.all_close(c.get(0, "other").tensor()?, rtol, atol, nan);
            one(Tensor::from(close.map_err(|e| e.to_string())?))
        }),
        ("equal", Exact, |c| {
            let same = c.x()?.equal(&c.get(0, "other").tensor()?);
            one(Tensor::from(same.map_err(|e| e.to_string())?))
        }),
        ("logit", Elementwise, |c| match c.get(0, "eps") {
            Arg::None => one(c.x()?.logit()),
            eps => one(c.x()?.logit_eps(eps.real()?)),
        }),
        ("nan_to_num", Elementwise, |c| {
            let part = |i, name, default| match c.get(i, name) {
                Arg::None => Ok(default),
                some => some.real(),
            };
            let large = f64::from(f32::MAX);
            let nan = part(0, "nan", 0.0)?;
            one(c.x()?.nan_to_num(nan, part(1, "posinf", large)?, part(2, "neginf", -large)?))
        }),
        ("lerp", Elementwise, |c| {
            let (end, weight) = (c.get(0, "end").tensor()?, c.get(1, "weight").operand()?);
            one(c.x()?.lerp(&end, &*weight))
        }),
        ("addcmul", Elementwise, |c| {
            let (a, b) = (c.get(0, "tensor1").tensor()?, c.get(1, "tensor2").tensor()?);
            one(c.x()?.addcmul(&a, &b, factor(c)?))
        }),
        ("addcdiv", Elementwise, |c| {
            let (a, b) = (c.get(0, "tensor1").tensor()?, c.get(1, "tensor2").tensor()?);
            one(c.x()?.addcdiv(&a, &b, factor(c)?))
        }),
        ("masked_fill", Exact, |c| {
            let (mask, value) = (c.get(0, "mask").tensor()?, c.get(1, "value").operand()?);
            let whole = matches!(&c.get(1, "value"), Arg::Tensor(t) if rank(t) > 0);
            if whole {
                return Err("our value may be a tensor that broadcasts".into());
            }
            one(c.x()?.masked_fill(&mask, &*value))
        }),
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
        "acos" Elementwise acos,
        "acosh" Elementwise acosh,
        "asin" Elementwise asin,
        "asinh" Elementwise asinh,
        "atan" Elementwise atan,
        "atanh" Elementwise atanh,
        "cosh" Elementwise cosh,
        "deg2rad" Elementwise deg2rad,
        "erfc" Elementwise erfc,
        "exp2" Elementwise exp2,
        "frac" Elementwise frac,
        "log10" Elementwise log10,
        "log2" Elementwise log2,
        "rad2deg" Elementwise rad2deg,
        "sinc" Elementwise sinc,
        "sinh" Elementwise sinh,
        "tan" Elementwise tan,
        "digamma" Special digamma,
        "erfinv" Special erfinv,
        "i0" Special i0,
        "lgamma" Special lgamma,
        "special.entr" Elementwise entr,
        "special.ndtr" Elementwise ndtr,
        "special.log_ndtr" Special log_ndtr,
        "isinf" Exact is_inf,
        "isposinf" Exact is_posinf,
        "isneginf" Exact is_neginf,
        "signbit" Exact signbit,
        "sgn" Exact sign,
        "bitwise_not" Exact bitwise_not,
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
                "clamp_min" Elementwise x y => x.clamp_min(y),
                "clamp_max" Elementwise x y => x.clamp_max(y),
                "atan2" Elementwise x y => x.atan2(y),
                "hypot" Elementwise x y => x.hypot(y),
                "copysign" Elementwise x y => x.copysign(y),
                "fmod" Elementwise x y => x.fmod(y),
                "floor_divide" Elementwise x y => x.floor_divide(y),
                "logaddexp" Elementwise x y => x.logaddexp(y),
                "logaddexp2" Elementwise x y => x.logaddexp2(y),
                "xlogy" Elementwise x y => x.xlogy(y),
                "special.xlog1py" Elementwise x y => x.xlog1py(y),
                "bitwise_and" Exact x y => x.bitwise_and(y),
                "bitwise_or" Exact x y => x.bitwise_or(y),
                "bitwise_xor" Exact x y => x.bitwise_xor(y),
                "bitwise_left_shift" Exact x y => x.bitwise_left_shift(y),
                "bitwise_right_shift" Exact x y => x.bitwise_right_shift(y),
        ],
        rest,
    ]
    .concat()
}

fn quotient(c: &Call) -> Out {
    let (x, y) = (c.x()?, &*c.get(0, "other").operand()?);
    one(match c.named("rounding_mode") {
        Arg::Text(mode) if mode == "trunc" => x.trunc_divide(y),
        Arg::Text(mode) if mode == "floor" => x.floor_divide(y),
        _ => x / y,
    })
}

/// An operation of which PyTorch refuses numbers.
fn tensors(c: &Call, name: &str, f: fn(&Tensor, &Tensor) -> Tensor) -> Out {
    match c.get(0, name) {
        Arg::Tensor(y) => one(f(&c.x()?, &y)),
        _ => Err("we take numbers too".into()),
    }
}

fn truth(c: &Call, f: fn(&Tensor, &Tensor) -> Tensor) -> Out {
    match c.get(0, "other") {
        Arg::Tensor(y) => one(f(&c.x()?, &y)),
        _ => Err("logic with a number: the type forbids it".into()),
    }
}

/// The arguments of `isclose` and `allclose`.
fn tolerances(c: &Call) -> Result<(f64, f64, bool), String> {
    let part = |i, name, default| match c.get(i, name) {
        Arg::None => Ok(default),
        some => some.real(),
    };
    Ok((part(1, "rtol", 1e-5)?, part(2, "atol", 1e-8)?, c.flag(3, "equal_nan")))
}

/// The argument `value` of `addcmul` and `addcdiv`.
fn factor(c: &Call) -> Result<f64, String> {
    match c.named("value") {
        Arg::None => Ok(1.0),
        some => some.real(),
    }
}
