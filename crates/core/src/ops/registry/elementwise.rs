//! Rows of element-wise operations.

use super::arrays::{any, beyond, edges, exact, ids, positive, truth, unit, whole, whole_edges};
use super::{ErrorCase, Gradient, Kind, OpRow, Sample, fails};
use crate::array::Array;
use crate::graph::dtype::DType;
use crate::tensor::Tensor;

pub(super) type Call = fn(&[Tensor]) -> Tensor;

pub(super) const ANSWER: Gradient = Gradient::None("the result is not a float");

/// Every layout that an operation on one tensor may meet.
pub(super) fn one(
    make: fn(&[usize], u64) -> Array,
    [plain, turned, back, apart, wide]: [Call; 5],
) -> Vec<Sample> {
    vec![
        Sample::new("matrix", vec![make(&[3, 5], 1)], plain),
        Sample::new("scalar", vec![make(&[], 2)], plain),
        Sample::new("one element", vec![make(&[1, 1], 2)], plain),
        Sample::new("long", vec![make(&[1031], 3)], plain),
        Sample::new("empty", vec![make(&[2, 0, 3], 4)], plain),
        Sample::new("transposed", vec![make(&[17, 3], 5)], turned),
        Sample::new("backwards", vec![make(&[2, 9], 6)], back),
        Sample::new("every other", vec![make(&[3, 7], 7)], apart),
        Sample::new("broadcast", vec![make(&[4, 1], 8)], wide),
        Sample::new("edges", vec![edges()], plain).kinks(),
    ]
}

/// Rows of operations on one tensor. `whole`: also on integers.
macro_rules! unary {
    ($($name:ident $signature:literal = $formula:literal, $torch:literal, $onnx:expr,
       $gradient:expr, $make:ident, $x:ident => $call:expr $(, $whole:ident)?;)*) => {
        &[$(OpRow {
            name: stringify!($name),
            signature: $signature,
            formula: $formula,
            kind: Kind::Elementwise,
            pytorch: $torch,
            onnx: $onnx,
            gradient: $gradient,
            samples: || {
                #[allow(unused_mut)]
                let mut samples = one($make, [
                    |v| { let $x = &v[0]; $call },
                    |v| { let $x = &v[0].t(); $call },
                    |v| { let $x = &v[0].flip(-1); $call },
                    |v| { let $x = &v[0].slice(1, 1, isize::MAX, 2); $call },
                    |v| { let $x = &v[0].broadcast_to([2, 4, 3]); $call },
                ]);
                $(
                    let run: Call = |v| { let $x = &v[0]; $call };
                    samples.push(Sample::new("integers", vec![$whole(&[3, 5], 9)], run));
                    samples.push(Sample::new("large integers", vec![whole_edges()], run));
                )?
                samples
            },
            errors: || vec![fails!("of bool", DType, stringify!($name), {
                let $x = &Tensor::from([true, false]);
                $call
            })],
        },)*]
    };
}

const UNARY: &[OpRow] = unary! {
    neg "-x" = "-x", "torch.neg", Some("Neg"), Gradient::Yes, any, x => -x, whole;
    abs "x.abs()" = "|x|", "torch.abs", Some("Abs"), Gradient::Yes, any, x => x.abs(), whole;
    sign "x.sign()" = "-1, 0 or 1", "torch.sign", Some("Sign"), Gradient::Zero, any,
        x => x.sign(), whole;
    square "x.square()" = "x * x", "torch.square", None, Gradient::Yes, any,
        x => x.square(), whole;
    sqrt "x.sqrt()" = "x^(1/2)", "torch.sqrt", Some("Sqrt"), Gradient::Yes, positive,
        x => x.sqrt();
    rsqrt "x.rsqrt()" = "x^(-1/2)", "torch.rsqrt", None, Gradient::Yes, positive, x => x.rsqrt();
    recip "x.recip()" = "1 / x", "torch.reciprocal", Some("Reciprocal"), Gradient::Yes, any,
        x => x.recip();
    exp "x.exp()" = "e^x", "torch.exp", Some("Exp"), Gradient::Yes, any, x => x.exp();
    expm1 "x.expm1()" = "e^x - 1", "torch.expm1", None, Gradient::Yes, any, x => x.expm1();
    log "x.log()" = "ln x", "torch.log", Some("Log"), Gradient::Yes, positive, x => x.log();
    log1p "x.log1p()" = "ln(1 + x)", "torch.log1p", None, Gradient::Yes, positive,
        x => x.log1p();
    sin "x.sin()" = "sin x", "torch.sin", Some("Sin"), Gradient::Yes, any, x => x.sin();
    cos "x.cos()" = "cos x", "torch.cos", Some("Cos"), Gradient::Yes, any, x => x.cos();
    tanh "x.tanh()" = "(e^x - e^-x) / (e^x + e^-x)", "torch.tanh", Some("Tanh"), Gradient::Yes,
        any, x => x.tanh();
    sigmoid "x.sigmoid()" = "1 / (1 + e^-x)", "torch.sigmoid", Some("Sigmoid"), Gradient::Yes,
        any, x => x.sigmoid();
    erf "x.erf()" = "2/sqrt(pi) * integral of e^(-t^2) from 0 to x", "torch.erf", Some("Erf"),
        Gradient::Yes, any, x => x.erf();
    erfc "x.erfc()" = "1 - erf(x)", "torch.erfc", None, Gradient::Yes, any, x => x.erfc();
    erfcx "x.erfcx()" = "e^(x^2) erfc(x)", "torch.special.erfcx", None, Gradient::Yes, any,
        x => x.erfcx();
    erfinv "x.erfinv()" = "the y with erf(y) = x", "torch.erfinv", None, Gradient::Yes, unit,
        x => x.erfinv();
    exp2 "x.exp2()" = "2^x", "torch.exp2", None, Gradient::Yes, any, x => x.exp2();
    log2 "x.log2()" = "log2 x", "torch.log2", None, Gradient::Yes, positive, x => x.log2();
    log10 "x.log10()" = "log10 x", "torch.log10", None, Gradient::Yes, positive, x => x.log10();
    tan "x.tan()" = "tan x", "torch.tan", Some("Tan"), Gradient::Yes, unit, x => x.tan();
    asin "x.asin()" = "arcsin x", "torch.asin", Some("Asin"), Gradient::Yes, unit, x => x.asin();
    acos "x.acos()" = "arccos x", "torch.acos", Some("Acos"), Gradient::Yes, unit, x => x.acos();
    atan "x.atan()" = "arctan x", "torch.atan", Some("Atan"), Gradient::Yes, any, x => x.atan();
    sinh "x.sinh()" = "(e^x - e^-x) / 2", "torch.sinh", Some("Sinh"), Gradient::Yes, any,
        x => x.sinh();
    cosh "x.cosh()" = "(e^x + e^-x) / 2", "torch.cosh", Some("Cosh"), Gradient::Yes, any,
        x => x.cosh();
    asinh "x.asinh()" = "ln(x + sqrt(x^2 + 1))", "torch.asinh", Some("Asinh"), Gradient::Yes, any,
        x => x.asinh();
    acosh "x.acosh()" = "ln(x + sqrt(x^2 - 1))", "torch.acosh", Some("Acosh"), Gradient::Yes,
        beyond, x => x.acosh();
    atanh "x.atanh()" = "ln((1 + x) / (1 - x)) / 2", "torch.atanh", Some("Atanh"), Gradient::Yes,
        unit, x => x.atanh();
    lgamma "x.lgamma()" = "ln |gamma(x)|", "torch.lgamma", None, Gradient::Yes, positive,
        x => x.lgamma();
    digamma "x.digamma()" = "d/dx ln |gamma(x)|", "torch.digamma", None, Gradient::Yes, positive,
        x => x.digamma();
    i0 "x.i0()" = "sum of (x/2)^2k / k!^2", "torch.i0", None, Gradient::Yes, any, x => x.i0();
    i1 "x.i1()" = "sum of (x/2)^(2k+1) / (k! (k+1)!)", "torch.special.i1", None, Gradient::Yes,
        any, x => x.i1();
    relu "x.relu()" = "max(x, 0)", "torch.relu", Some("Relu"), Gradient::Yes, any,
        x => x.relu(), whole;
    gelu "x.gelu()" = "x * (1 + erf(x / sqrt 2)) / 2", "torch.nn.functional.gelu", Some("Gelu"),
        Gradient::Yes, any, x => x.gelu();
    gelu_tanh "x.gelu_tanh()" = "x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3)))",
        "torch.nn.functional.gelu", Some("Gelu"), Gradient::Yes, any, x => x.gelu_tanh();
    floor "x.floor()" = "largest integer not above x", "torch.floor", Some("Floor"),
        Gradient::Zero, any, x => x.floor();
    ceil "x.ceil()" = "smallest integer not below x", "torch.ceil", Some("Ceil"),
        Gradient::Zero, any, x => x.ceil();
    round "x.round()" = "nearest integer, halves to even", "torch.round", Some("Round"),
        Gradient::Zero, any, x => x.round();
    trunc "x.trunc()" = "x without its fraction", "torch.trunc", None, Gradient::Zero, any,
        x => x.trunc();
};

/// Every combination of shapes that an operation on two tensors may meet.
pub(super) fn two(
    [left, right]: [fn(&[usize], u64) -> Array; 2],
    [plain, turned, back, wide, same]: [Call; 5],
) -> Vec<Sample> {
    let pair = |label, a: &[usize], b: &[usize], call| {
        Sample::new(label, vec![left(a, 11), right(b, 12)], call)
    };
    vec![
        pair("equal shapes", &[3, 5], &[3, 5], plain),
        pair("scalars", &[], &[], plain),
        pair("a row to each", &[3, 5], &[5], plain),
        pair("a column to each", &[2, 3, 4], &[3, 1], plain),
        pair("both ways", &[3, 1], &[1, 5], plain),
        pair("a scalar to each", &[], &[2, 3], plain),
        pair("long", &[1031], &[1], plain),
        pair("empty", &[0, 3], &[1, 3], plain),
        pair("empty from one", &[2, 1], &[2, 0], plain),
        pair("transposed", &[5, 3], &[3, 5], turned),
        pair("backwards", &[3, 5], &[3, 5], back),
        pair("broadcast views", &[1, 5], &[3, 1], wide),
        Sample::new("with itself", vec![right(&[7], 13)], same).kinks(),
    ]
}

/// Rows of operations on two tensors.
macro_rules! binary {
    ($($name:ident $signature:literal = $formula:literal, $torch:literal, $onnx:expr,
       $gradient:expr, $left:ident $right:ident, $a:ident $b:ident => $call:expr;)*) => {
        &[$(OpRow {
            name: stringify!($name),
            signature: $signature,
            formula: $formula,
            kind: Kind::Elementwise,
            pytorch: $torch,
            onnx: $onnx,
            gradient: $gradient,
            samples: || {
                let plain: Call = |v| { let ($a, $b) = (&v[0], &v[1]); $call };
                let mut samples = two([$left, $right], [
                    plain,
                    |v| { let ($a, $b) = (&v[0].t(), &v[1]); $call },
                    |v| { let ($a, $b) = (&v[0].flip(0), &v[1].flip(1)); $call },
                    |v| {
                        let ($a, $b) = (&v[0].broadcast_to([2, 3, 5]), &v[1].broadcast_to([3, 5]));
                        $call
                    },
                    |v| { let ($a, $b) = (&v[0], &v[0]); $call },
                ]);
                samples.extend(more(stringify!($name), plain));
                samples
            },
            errors: || vec![
                fails!("shapes that do not broadcast", Shape, stringify!($name), {
                    let ($a, $b) = (&Tensor::zeros([2, 3]), &Tensor::zeros([2]));
                    $call
                }),
                fails!("of bool", DType, stringify!($name), {
                    let ($a, $b) = (&Tensor::from([true]), &Tensor::from([false]));
                    $call
                }),
            ]
            .into_iter()
            // Division is true division: bool and integers give f32.
            .filter(|case| (stringify!($name), case.label) != ("div", "of bool"))
            .chain(by_zero(stringify!($name)))
            .collect(),
        },)*]
    };
}

/// Integers cannot be divided by 0.
fn by_zero(name: &str) -> Option<ErrorCase> {
    match name {
        "remainder" => {
            Some(fails!("integers by zero", Argument, "remainder: integer division by zero", {
                Tensor::from([1, 2, 3]) % Tensor::from([1, 0, 0])
            }))
        }
        _ => None,
    }
}

/// Samples on integers, mixed types and edge values.
fn more(name: &str, run: Call) -> Vec<Sample> {
    let pairs = |a: &Array, b: &Array| -> Vec<f32> {
        let (a, b) = (a.to_f64(), b.to_f64());
        a.iter().flat_map(|&x| b.iter().map(move |_| x as f32)).collect()
    };
    let e = edges();
    let left = exact(&pairs(&e, &e));
    let right = exact(&e.to_f64().iter().map(|&v| v as f32).collect::<Vec<_>>().repeat(e.numel()));
    let mut samples = vec![Sample::new("edges", vec![left, right], run).kinks()];
    samples.push(
        Sample::new("mixed types", vec![whole(&[4], 14), positive(&[3, 4], 15)], run).kinks(),
    );
    if name != "pow" {
        samples.push(Sample::new("integers", vec![whole(&[3, 4], 16), whole(&[4], 17)], run));
        let by = exact(&[-1i64, 3, 7, -2, -1, 1 << 62]);
        samples.push(Sample::new("large integers", vec![whole_edges(), by], run));
    }
    samples
}

const BINARY: &[OpRow] = binary! {
    add "x + y" = "x + y", "torch.add", Some("Add"), Gradient::Yes, any any, a b => a + b;
    sub "x - y" = "x - y", "torch.sub", Some("Sub"), Gradient::Yes, any any, a b => a - b;
    mul "x * y" = "x * y", "torch.mul", Some("Mul"), Gradient::Yes, any any, a b => a * b;
    div "x / y" = "x / y; integers give f32", "torch.div", Some("Div"), Gradient::Yes,
        any any, a b => a / b;
    remainder "x % y" = "x - floor(x / y) * y", "torch.remainder", Some("Mod"), Gradient::Yes,
        any remainder_by, a b => a % b;
    pow "x.pow(y)" = "x^y", "torch.pow", Some("Pow"), Gradient::Yes, positive any,
        a b => a.pow(b);
    maximum "x.maximum(y)" = "the larger; NaN if either is", "torch.maximum", Some("Max"),
        Gradient::Yes, any positive, a b => a.maximum(b);
    minimum "x.minimum(y)" = "the smaller; NaN if either is", "torch.minimum", Some("Min"),
        Gradient::Yes, any positive, a b => a.minimum(b);
};

/// Divisors that are nowhere near a divisor of [`any`]'s values.
fn remainder_by(shape: &[usize], _seed: u64) -> Array {
    let n = shape.iter().product::<usize>();
    let data = exact(&(0..n).map(|i| [5.25f32, -7.5][i % 2]).collect::<Vec<_>>());
    data.reshape(shape).unwrap_or(data)
}

/// Rows of comparisons.
macro_rules! comparisons {
    ($($name:ident $formula:literal $onnx:expr;)*) => {
        &[$(OpRow {
            name: stringify!($name),
            signature: concat!("x.", stringify!($name), "(y)"),
            formula: $formula,
            kind: Kind::Elementwise,
            pytorch: concat!("torch.", stringify!($name)),
            onnx: $onnx,
            gradient: ANSWER,
            samples: || {
                let plain: Call = |v| v[0].$name(&v[1]);
                let mut samples = two([any, any], [
                    plain,
                    |v| v[0].t().$name(&v[1]),
                    |v| v[0].flip(0).$name(v[1].flip(1)),
                    |v| v[0].broadcast_to([2, 3, 5]).$name(v[1].broadcast_to([3, 5])),
                    |v| v[0].$name(&v[0]),
                ]);
                samples.extend(more(stringify!($name), plain));
                samples.push(Sample::new("bools", vec![truth(&[9], 1), truth(&[9], 2)], plain));
                samples.push(Sample::new("with a number", vec![any(&[9], 1)], |v| v[0].$name(0.5)));
                samples
            },
            errors: || vec![fails!("shapes that do not broadcast", Shape, stringify!($name), {
                Tensor::zeros([2, 3]).$name(Tensor::zeros([2]))
            })],
        },)*]
    };
}

const COMPARISONS: &[OpRow] = comparisons! {
    eq "whether x = y" Some("Equal");
    ne "whether x differs from y; true for NaN" None;
    lt "whether x < y" Some("Less");
    le "whether x <= y" Some("LessOrEqual");
    gt "whether x > y" Some("Greater");
    ge "whether x >= y" Some("GreaterOrEqual");
};

/// Rows of operations on truth values.
macro_rules! logic {
    ($($name:ident $signature:literal $formula:literal $onnx:literal, $a:ident $b:ident => $call:expr;)*) => {
        &[$(OpRow {
            name: stringify!($name),
            signature: $signature,
            formula: $formula,
            kind: Kind::Elementwise,
            pytorch: concat!("torch.logical_", stringify!($name)),
            onnx: Some($onnx),
            gradient: ANSWER,
            samples: || two([truth, truth], [
                |v| { let ($a, $b) = (&v[0], &v[1]); $call },
                |v| { let ($a, $b) = (&v[0].t(), &v[1]); $call },
                |v| { let ($a, $b) = (&v[0].flip(0), &v[1].flip(1)); $call },
                |v| {
                    let ($a, $b) = (&v[0].broadcast_to([2, 3, 5]), &v[1].broadcast_to([3, 5]));
                    $call
                },
                |v| { let ($a, $b) = (&v[0], &v[0]); $call },
            ]),
            errors: || vec![fails!("of numbers", DType, stringify!($name), {
                let ($a, $b) = (&Tensor::from([1.0]), &Tensor::from([0.0]));
                $call
            })],
        },)*]
    };
}

const LOGIC: &[OpRow] = logic! {
    and "a & b" "whether both" "And", a b => a & b;
    or "a | b" "whether any" "Or", a b => a | b;
    xor "a ^ b" "whether just one" "Xor", a b => a ^ b;
};

const OTHERS: &[OpRow] = &[
    OpRow {
        name: "not",
        signature: "!a",
        formula: "whether not",
        kind: Kind::Elementwise,
        pytorch: "torch.logical_not",
        onnx: Some("Not"),
        gradient: ANSWER,
        samples: || {
            let mut samples = one(
                truth,
                [
                    |v| !&v[0],
                    |v| !v[0].t(),
                    |v| !v[0].flip(-1),
                    |v| !v[0].slice(1, 1, isize::MAX, 2),
                    |v| !v[0].broadcast_to([2, 4, 3]),
                ],
            );
            samples.retain(|s| s.label != "edges");
            samples
        },
        errors: || vec![fails!("of numbers", DType, "not", !Tensor::from([1.0]))],
    },
    OpRow {
        name: "is_finite",
        signature: "x.is_finite()",
        formula: "whether neither infinite nor NaN",
        kind: Kind::Elementwise,
        pytorch: "torch.isfinite",
        onnx: None,
        gradient: ANSWER,
        samples: || {
            vec![
                Sample::new("edges", vec![edges()], |v| v[0].is_finite()),
                Sample::new("integers", vec![whole(&[3], 1)], |v| v[0].is_finite()),
                Sample::new("bools", vec![truth(&[3], 1)], |v| v[0].is_finite()),
            ]
        },
        errors: Vec::<ErrorCase>::new,
    },
    OpRow {
        name: "is_nan",
        signature: "x.is_nan()",
        formula: "whether NaN",
        kind: Kind::Elementwise,
        pytorch: "torch.isnan",
        onnx: Some("IsNaN"),
        gradient: ANSWER,
        samples: || {
            vec![
                Sample::new("edges", vec![edges()], |v| v[0].is_nan()),
                Sample::new("integers", vec![whole(&[3], 1)], |v| v[0].is_nan()),
                Sample::new("bools", vec![truth(&[3], 1)], |v| v[0].is_nan()),
            ]
        },
        errors: Vec::<ErrorCase>::new,
    },
    OpRow {
        name: "where",
        signature: "condition.where_(yes, no)",
        formula: "yes where the condition holds, no elsewhere",
        kind: Kind::Elementwise,
        pytorch: "torch.where",
        onnx: Some("Where"),
        gradient: Gradient::Yes,
        samples: || {
            let run: Call = |v| v[0].where_(&v[1], &v[2]);
            let (nan, inf) = (f32::NAN, f32::INFINITY);
            vec![
                Sample::new(
                    "equal shapes",
                    vec![truth(&[3, 5], 1), any(&[3, 5], 2), any(&[3, 5], 3)],
                    run,
                ),
                Sample::new(
                    "all broadcast",
                    vec![truth(&[3, 1], 1), any(&[2, 1, 1], 2), any(&[5], 3)],
                    run,
                ),
                Sample::new("scalars", vec![truth(&[], 1), any(&[], 2), any(&[4], 3)], run),
                Sample::new("empty", vec![truth(&[0], 1), any(&[0], 2), any(&[1], 3)], run),
                Sample::new("numbers", vec![truth(&[7], 1), any(&[7], 2)], |v| {
                    v[0].where_(&v[1], 0.0)
                }),
                Sample::new("two numbers", vec![truth(&[7], 1)], |v| v[0].where_(1.0, 0.0)),
                Sample::new("integers", vec![truth(&[7], 1), whole(&[7], 2), whole(&[1], 3)], run),
                Sample::new("bools", vec![truth(&[7], 1), truth(&[7], 2), truth(&[7], 3)], run),
                Sample::new("mixed types", vec![truth(&[7], 1), whole(&[7], 2), any(&[7], 3)], run),
                // What is not chosen leaves no trace, neither in the value nor in the gradient.
                Sample::new(
                    "NaN that is not chosen",
                    vec![exact(&[true, false]), exact(&[1.0f32, nan]), exact(&[inf, 2.0f32])],
                    run,
                )
                .kinks(),
                Sample::new("guarded log", vec![exact(&[0.0f32, -1.0, 2.0])], |v| {
                    let safe = v[0].gt(0.0).where_(&v[0], 1.0);
                    v[0].gt(0.0).where_(safe.log(), 0.0)
                })
                .kinks(),
            ]
        },
        errors: || {
            vec![
                fails!("a condition of numbers", DType, "where: the condition is f32", {
                    Tensor::from([1.0]).where_(1.0, 0.0)
                }),
                fails!("shapes that do not broadcast", Shape, "where: ", {
                    Tensor::from([true, false]).where_(Tensor::zeros([3]), 0.0)
                }),
            ]
        },
    },
    OpRow {
        name: "clamp",
        signature: "x.clamp(low, high)",
        formula: "min(max(x, low), high)",
        kind: Kind::Elementwise,
        pytorch: "torch.clamp",
        onnx: Some("Clip"),
        gradient: Gradient::Yes,
        samples: || {
            let run: Call = |v| v[0].clamp(&v[1], &v[2]);
            let numbers: Call = |v| v[0].clamp(-0.5, 1.0);
            let inf = f32::INFINITY;
            vec![
                Sample::new("numbers", vec![any(&[3, 5], 1)], numbers),
                Sample::new(
                    "tensors",
                    vec![any(&[3, 5], 1), unit(&[5], 2), positive(&[3, 1], 3)],
                    run,
                ),
                Sample::new("one side", vec![any(&[9], 1)], |v| v[0].clamp(f64::NEG_INFINITY, 0.5)),
                Sample::new("crossed", vec![any(&[9], 1)], |v| v[0].clamp(1.0, -0.5)),
                Sample::new("transposed", vec![any(&[4, 3], 1)], |v| v[0].t().clamp(-0.5, 1.0)),
                Sample::new("integers", vec![whole(&[9], 1)], |v| v[0].clamp(-3, 4)),
                Sample::new("integers, real limits", vec![whole(&[9], 1)], |v| v[0].clamp(-3.5, 4)),
                Sample::new("empty", vec![any(&[0], 1)], numbers),
                Sample::new("edges", vec![edges()], numbers).kinks(),
                Sample::new(
                    "limits",
                    vec![exact(&[-0.5f32, 1.0, inf]), exact(&[-inf]), exact(&[1.0f32])],
                    run,
                )
                .kinks(),
            ]
        },
        errors: || {
            vec![
                fails!("of bool", DType, "clamp", {
                    Tensor::from([true]).clamp(Tensor::from(false), Tensor::from(true))
                }),
                fails!("shapes that do not broadcast", Shape, "clamp: ", {
                    Tensor::zeros([2]).clamp(Tensor::zeros([3]), 1.0)
                }),
            ]
        },
    },
    OpRow {
        name: "cast",
        signature: "x.cast(DType::F32)",
        formula: "x as another type; reals truncate and saturate, NaN becomes 0",
        kind: Kind::Elementwise,
        pytorch: "torch.Tensor.to",
        onnx: Some("Cast"),
        gradient: Gradient::Yes,
        samples: || {
            let more = exact(&[1.9f32, -1.9, 9.3e18, -9.3e18, 1e30, f32::NAN, f32::INFINITY]);
            vec![
                Sample::new("to f64", vec![any(&[3, 5], 1)], |v| v[0].cast(DType::F64)),
                Sample::new("to f64, transposed", vec![any(&[3, 5], 1)], |v| {
                    v[0].t().cast(DType::F64)
                }),
                Sample::new("real to integer", vec![more.clone()], |v| v[0].cast(DType::I64))
                    .kinks(),
                Sample::new("edges to integer", vec![edges()], |v| v[0].cast(DType::I64)).kinks(),
                Sample::new("real to bool", vec![more], |v| v[0].cast(DType::Bool)).kinks(),
                Sample::new("edges to bool", vec![edges()], |v| v[0].cast(DType::Bool)).kinks(),
                Sample::new("integer to real", vec![whole_edges()], |v| v[0].cast(DType::F32)),
                Sample::new("integer to bool", vec![ids(&[9], 3, 1)], |v| v[0].cast(DType::Bool)),
                Sample::new("bool to real", vec![truth(&[9], 1)], |v| v[0].cast(DType::F32)),
                Sample::new("bool to integer", vec![truth(&[3, 3], 1)], |v| {
                    v[0].t().cast(DType::I64)
                }),
                Sample::new("empty", vec![any(&[0], 1)], |v| v[0].cast(DType::I64)).kinks(),
            ]
        },
        errors: Vec::<ErrorCase>::new,
    },
    OpRow {
        name: "detach",
        signature: "x.detach()",
        formula: "x, without history",
        kind: Kind::Elementwise,
        pytorch: "torch.Tensor.detach",
        onnx: Some("Identity"),
        gradient: Gradient::None("it is there to stop them"),
        samples: || {
            vec![
                Sample::new("plain", vec![any(&[3, 5], 1)], |v| v[0].detach()),
                Sample::new("of a result", vec![any(&[3, 5], 1)], |v| (&v[0] * 2.0).t().detach()),
                Sample::new("empty", vec![any(&[0], 1)], |v| v[0].detach()),
            ]
        },
        errors: Vec::<ErrorCase>::new,
    },
];

pub(super) fn rows() -> Vec<OpRow> {
    [UNARY, BINARY, COMPARISONS, LOGIC, OTHERS].concat()
}
