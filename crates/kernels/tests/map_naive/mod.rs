//! Typed data, random programs, and what each instruction means in f64.

use gradus_kernels::memory::{Mem, Truth, Ty};
use gradus_kernels::program::{Binary, Dist, Instr, MAX_RANK, Program, Source, Ternary, Unary};
use gradus_kernels::special;

/// Owned elements of any type.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Data {
    F32(Vec<f32>),
    I64(Vec<i64>),
    Bool(Vec<u8>),
}

pub(crate) trait Strided {
    /// The elements of an iteration space, by strides.
    fn gather(&self, dims: &[usize], offset: usize, strides: &[isize; MAX_RANK]) -> Self;
}

impl Data {
    pub(crate) fn new(ty: Ty, n: usize) -> Data {
        match ty {
            Ty::I64 => Data::I64(vec![-99; n]),
            Ty::Bool => Data::Bool(vec![7; n]),
            _ => Data::F32(vec![-99.0; n]),
        }
    }
    pub(crate) fn filled(ty: Ty, n: usize, x: f64) -> Data {
        match ty {
            Ty::I64 => Data::I64(vec![x as i64; n]),
            Ty::Bool => Data::Bool(vec![u8::from(x != 0.0); n]),
            _ => Data::F32(vec![x as f32; n]),
        }
    }
    pub(crate) fn ty(&self) -> Ty {
        match self {
            Data::F32(_) => Ty::F32,
            Data::I64(_) => Ty::I64,
            Data::Bool(_) => Ty::Bool,
        }
    }
    pub(crate) fn len(&self) -> usize {
        match self {
            Data::F32(v) => v.len(),
            Data::I64(v) => v.len(),
            Data::Bool(v) => v.len(),
        }
    }
    pub(crate) fn read(&self) -> Mem<'_> {
        match self {
            Data::F32(v) => Mem::read(v),
            Data::I64(v) => Mem::read(v),
            Data::Bool(v) => Mem::read(Truth::of(v)),
        }
    }
    pub(crate) fn write(&mut self) -> Mem<'_> {
        match self {
            Data::F32(v) => Mem::write(v),
            Data::I64(v) => Mem::write(v),
            Data::Bool(v) => Mem::write(Truth::of_mut(v)),
        }
    }
    fn f(&self, i: usize) -> f64 {
        match self {
            Data::F32(v) => f64::from(v[i]),
            Data::I64(v) => v[i] as f64,
            Data::Bool(v) => f64::from(v[i]),
        }
    }
    fn i(&self, i: usize) -> i64 {
        match self {
            Data::F32(_) => unreachable!(),
            Data::I64(v) => v[i],
            Data::Bool(v) => i64::from(v[i]),
        }
    }
}

impl Strided for Data {
    fn gather(&self, dims: &[usize], offset: usize, strides: &[isize; MAX_RANK]) -> Data {
        let n: usize = dims.iter().product();
        let at = |i: usize| {
            let mut rest = i;
            let mut at = offset as isize;
            for k in (0..dims.len()).rev() {
                at += (rest % dims[k]) as isize * strides[k];
                rest /= dims[k];
            }
            at as usize
        };
        match self {
            Data::F32(v) => Data::F32((0..n).map(|i| v[at(i)]).collect()),
            Data::I64(v) => Data::I64((0..n).map(|i| v[at(i)]).collect()),
            Data::Bool(v) => Data::Bool((0..n).map(|i| v[at(i)]).collect()),
        }
    }
}

/// Whether the bits are the same; any NaN equals any other.
pub(crate) fn same(a: &Data, b: &Data) -> bool {
    match (a, b) {
        (Data::F32(a), Data::F32(b)) => {
            a.len() == b.len()
                && a.iter()
                    .zip(b)
                    .all(|(a, b)| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()))
        }
        _ => a == b,
    }
}

/// A small generator, so that one seed makes a whole case.
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
    fn float(&mut self) -> f32 {
        match self.below(40) {
            0 => f32::NAN,
            1 => f32::INFINITY,
            2 => f32::NEG_INFINITY,
            3 => -0.0,
            4 => 0.0,
            5 => 1e-41,
            6 => f32::from_bits(self.next() as u32),
            7..=15 => self.below(9) as f32 - 4.0,
            _ => (self.next() as i32) as f32 / 2.0_f32.powi(29),
        }
    }
    fn integer(&mut self) -> i64 {
        match self.below(12) {
            0 => i64::MIN,
            1 => i64::MAX,
            2 => self.next() as i64,
            _ => self.below(21) as i64 - 10,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) program: Program,
    pub(crate) dims: Vec<usize>,
    pub(crate) operands: Vec<Data>,
    pub(crate) slots: Vec<f64>,
}

fn dims(rng: &mut Rng) -> Vec<usize> {
    let rank = rng.below(6);
    let mut dims: Vec<usize> = (0..rank).map(|_| [1, 2, 3, 5, 8, 10, 33][rng.below(7)]).collect();
    match rng.below(12) {
        0 => dims = vec![rng.below(3000)],
        1 => dims = vec![1 + rng.below(200), 1 + rng.below(200)],
        2 if rank > 0 => dims[rng.below(rank)] = 0,
        3 => dims = vec![2, 1, 2, 3, 1, 2, 2, 2],
        _ => {}
    }
    while dims.iter().product::<usize>() > 40_000 {
        dims.pop();
    }
    dims
}

/// Strides of some permuted, flipped, stepped or broadcast tensor, with what it needs.
fn strides(rng: &mut Rng, dims: &[usize]) -> ([isize; MAX_RANK], usize, usize) {
    let mut order: Vec<usize> = (0..dims.len()).collect();
    let kind = rng.below(8);
    if kind >= 5 {
        for k in (1..order.len()).rev() {
            order.swap(k, rng.below(k + 1));
        }
    }
    let mut strides = [0; MAX_RANK];
    let (mut step, mut offset) = (1_isize, 0_usize);
    for &k in order.iter().rev() {
        // Kind 0 to 2 is contiguous, 3 to 4 a broadcast, the others anything.
        let broadcast = match kind {
            0..=2 => false,
            3 => k < dims.len() / 2,
            4 => rng.below(2) == 0,
            _ => rng.below(4) == 0,
        };
        if broadcast {
            continue;
        }
        if kind >= 6 && rng.below(3) == 0 {
            step *= 2;
        }
        strides[k] = step;
        if kind >= 5 && rng.below(3) == 0 {
            strides[k] = -step;
            offset += step as usize * dims[k].saturating_sub(1);
        }
        step *= dims[k].max(1) as isize;
    }
    let extra = if kind == 7 { rng.below(4) } else { 0 };
    (strides, offset + extra, step as usize + extra)
}

pub(crate) fn random_program(rng: &mut Rng) -> Case {
    let dims = dims(rng);
    let tys = [Ty::F32, Ty::F32, Ty::F32, Ty::I64, Ty::Bool];
    let mut case = Case {
        program: Program::default(),
        dims: dims.clone(),
        operands: Vec::new(),
        slots: vec![1.5, -2.0, 0.0, 3.0],
    };
    let mut kinds: Vec<Ty> = Vec::new();
    for _ in 0..1 + rng.below(5) {
        let ty = tys[rng.below(5)];
        let (source, ty) = match rng.below(10) {
            0 => {
                let bits = (rng.below(9) as f64 - 3.0).to_bits();
                (Source::Const { bits, ty }, ty)
            }
            1 => (Source::Slot { slot: rng.below(4) as u16, ty }, ty),
            2 => {
                let dist = [Dist::Uniform, Dist::Normal][rng.below(2)];
                (Source::Random { key: rng.below(2) as u16, dist }, Ty::F32)
            }
            3 if !dims.is_empty() => (Source::Index { axis: rng.below(dims.len()) as u8 }, Ty::I64),
            _ => {
                let (strides, offset, need) = strides(rng, &dims);
                // Sometimes a second look at the same operand.
                let again =
                    case.operands.iter().position(|d: &Data| d.ty() == ty && d.len() >= need);
                let operand = match again {
                    Some(i) if rng.below(3) == 0 => i,
                    _ => {
                        case.operands.push(match ty {
                            Ty::I64 => Data::I64((0..need).map(|_| rng.integer()).collect()),
                            Ty::Bool => Data::Bool((0..need).map(|_| rng.below(2) as u8).collect()),
                            _ => Data::F32((0..need).map(|_| rng.float()).collect()),
                        });
                        case.operands.len() - 1
                    }
                };
                (Source::Operand { operand: operand as u16, ty, offset, strides }, ty)
            }
        };
        case.program.sources.push(source);
        kinds.push(ty);
    }
    for _ in 0..rng.below(14) {
        let pick = |rng: &mut Rng, ty: Option<Ty>| {
            let fit: Vec<u16> = (0..kinds.len())
                .filter(|&i| ty.is_none_or(|t| t == kinds[i]))
                .map(|i| i as u16)
                .collect();
            (!fit.is_empty()).then(|| fit[rng.below(fit.len())])
        };
        let Some(a) = pick(rng, None) else { continue };
        let ty = kinds[a as usize];
        let Some(b) = pick(rng, Some(ty)) else { continue };
        let instr = match rng.below(10) {
            0..=3 => Instr::Unary(UNARY[rng.below(UNARY.len())], a),
            4..=7 => Instr::Binary(BINARY[rng.below(BINARY.len())], a, b),
            8 => {
                let Some(c) = pick(rng, Some(ty)) else { continue };
                match pick(rng, Some(Ty::Bool)) {
                    Some(m) if rng.below(2) == 0 => Instr::Ternary(Ternary::Where, m, a, b),
                    _ => Instr::Ternary(Ternary::Clamp, a, b, c),
                }
            }
            _ => Instr::Cast([Ty::F32, Ty::I64, Ty::Bool][rng.below(3)], a),
        };
        // Integer division only by something that is never 0 is left to its own tests.
        if matches!(
            instr,
            Instr::Binary(Binary::Div | Binary::Remainder | Binary::Fmod | Binary::FloorDivide, ..)
        ) && ty == Ty::I64
        {
            continue;
        }
        case.program.instrs.push(instr);
        case.program.results = vec![kinds.len() as u16];
        match case.program.compile() {
            Ok(c) => kinds.push(c.result_ty(0).unwrap()),
            Err(_) => {
                case.program.instrs.pop();
            }
        }
    }
    case.program.results.clear();
    for _ in 0..1 + rng.below(3) {
        let last = rng.below(2) == 0;
        let r = if last { kinds.len() - 1 } else { rng.below(kinds.len()) };
        case.program.results.push(r as u16);
    }
    case
}

const UNARY: [Unary; 46] = [
    Unary::Neg,
    Unary::Abs,
    Unary::Sign,
    Unary::Square,
    Unary::Sqrt,
    Unary::Rsqrt,
    Unary::Recip,
    Unary::Exp,
    Unary::Expm1,
    Unary::Log,
    Unary::Log1p,
    Unary::Sin,
    Unary::Cos,
    Unary::Tanh,
    Unary::Sigmoid,
    Unary::Erf,
    Unary::Relu,
    Unary::Gelu,
    Unary::GeluTanh,
    Unary::Floor,
    Unary::Ceil,
    Unary::Round,
    Unary::Trunc,
    Unary::Not,
    Unary::IsFinite,
    Unary::IsNan,
    Unary::SignBit,
    Unary::Tan,
    Unary::Asin,
    Unary::Acos,
    Unary::Atan,
    Unary::Sinh,
    Unary::Cosh,
    Unary::Asinh,
    Unary::Acosh,
    Unary::Atanh,
    Unary::Exp2,
    Unary::Log2,
    Unary::Log10,
    Unary::Erfc,
    Unary::Erfcx,
    Unary::Erfinv,
    Unary::Lgamma,
    Unary::Digamma,
    Unary::I0,
    Unary::I1,
];

const BINARY: [Binary; 26] = [
    Binary::Add,
    Binary::Sub,
    Binary::Mul,
    Binary::Div,
    Binary::Pow,
    Binary::Max,
    Binary::Min,
    Binary::Remainder,
    Binary::Eq,
    Binary::Ne,
    Binary::Lt,
    Binary::Le,
    Binary::Gt,
    Binary::Ge,
    Binary::And,
    Binary::Or,
    Binary::Xor,
    Binary::BceLogits,
    Binary::Atan2,
    Binary::Hypot,
    Binary::Fmod,
    Binary::FloorDivide,
    Binary::LogAddExp,
    Binary::Polygamma,
    Binary::ShiftLeft,
    Binary::ShiftRight,
];

fn close(got: f32, want: f64, absolute: f64) -> bool {
    let want32 = want as f32;
    if want32 == got || (want.is_nan() && got.is_nan()) {
        return true;
    }
    let unit = f64::from(f32::EPSILON) * want.abs().max(f64::from(f32::MIN_POSITIVE));
    (f64::from(got) - want).abs() <= 5.0 * unit + absolute
        || (got.is_infinite() && want.abs() > 3.4028e38)
}

fn unary(op: Unary, x: f64) -> f64 {
    use std::f64::consts::{FRAC_1_SQRT_2, PI};
    match op {
        Unary::Neg => -x,
        Unary::Abs => x.abs(),
        Unary::Sign if x > 0.0 => 1.0,
        Unary::Sign if x < 0.0 => -1.0,
        Unary::Sign => x,
        Unary::Square => x * x,
        Unary::Sqrt => x.sqrt(),
        Unary::Rsqrt => 1.0 / x.sqrt(),
        Unary::Recip => 1.0 / x,
        Unary::Exp => libm::exp(x),
        Unary::Expm1 => libm::expm1(x),
        Unary::Log => libm::log(x),
        Unary::Log1p => libm::log1p(x),
        Unary::Sin => libm::sin(x),
        Unary::Cos => libm::cos(x),
        Unary::Tanh => libm::tanh(x),
        Unary::Sigmoid => 1.0 / (1.0 + libm::exp(-x)),
        Unary::Erf => libm::erf(x),
        Unary::Relu if x.is_nan() => x,
        Unary::Relu => x.max(0.0),
        Unary::Gelu | Unary::GeluTanh if x < -20.0 => 0.0,
        Unary::Gelu => x * 0.5 * libm::erfc(-x * FRAC_1_SQRT_2),
        Unary::GeluTanh => {
            x / (1.0 + libm::exp(-2.0 * (2.0 / PI).sqrt() * (x + 0.044715 * x * x * x)))
        }
        Unary::Floor => x.floor(),
        Unary::Ceil => x.ceil(),
        Unary::Round => x.round_ties_even(),
        Unary::Trunc => x.trunc(),
        Unary::Not => f64::from(x == 0.0),
        Unary::IsFinite => f64::from(x.is_finite()),
        Unary::IsNan => f64::from(x.is_nan()),
        Unary::SignBit => f64::from(x.is_sign_negative() && !x.is_nan()),
        Unary::Tan => libm::tan(x),
        Unary::Asin => libm::asin(x),
        Unary::Acos => libm::acos(x),
        Unary::Atan => libm::atan(x),
        Unary::Sinh => libm::sinh(x),
        Unary::Cosh => libm::cosh(x),
        Unary::Asinh => libm::asinh(x),
        Unary::Acosh => libm::acosh(x),
        Unary::Atanh => libm::atanh(x),
        Unary::Exp2 => libm::exp2(x),
        Unary::Log2 => libm::log2(x),
        Unary::Log10 => libm::log10(x),
        Unary::Erfc => libm::erfc(x),
        Unary::Lgamma => libm::lgamma(x),
        Unary::Erfcx => special::erfcx(x),
        Unary::Erfinv => special::erfinv(x),
        Unary::Digamma => special::digamma(x),
        Unary::I0 => special::i0(x),
        Unary::I1 => special::i1(x),
    }
}

fn binary(op: Binary, a: f64, b: f64) -> f64 {
    let nan = a.is_nan() || b.is_nan();
    match op {
        Binary::Add => a + b,
        Binary::Sub => a - b,
        Binary::Mul => a * b,
        Binary::Div => a / b,
        Binary::Pow => libm::pow(a, b),
        Binary::Max | Binary::Min if nan => f64::NAN,
        Binary::Max => a.max(b),
        Binary::Min => a.min(b),
        Binary::Remainder => {
            let m = a % b;
            // The sum is one of f32.
            if m != 0.0 && (m < 0.0) != (b < 0.0) { f64::from(m as f32 + b as f32) } else { m }
        }
        Binary::Eq => f64::from(a == b),
        Binary::Ne => f64::from(a != b),
        Binary::Lt => f64::from(a < b),
        Binary::Le => f64::from(a <= b),
        Binary::Gt => f64::from(a > b),
        Binary::Ge => f64::from(a >= b),
        Binary::And => a * b,
        Binary::Or => a.max(b),
        Binary::Xor => f64::from(a != b),
        Binary::BceLogits => a.max(0.0) - a * b + libm::log1p(libm::exp(-a.abs())),
        Binary::Atan2 => libm::atan2(a, b),
        Binary::Hypot => libm::hypot(a, b),
        Binary::Fmod => a % b,
        Binary::FloorDivide => special::floor_divide(a, b),
        Binary::LogAddExp => special::logaddexp(a, b),
        Binary::Polygamma => special::polygamma(a, b),
        Binary::ShiftLeft | Binary::ShiftRight => unreachable!(),
    }
}

fn integers(op: Binary, a: i64, b: i64) -> i64 {
    match op {
        Binary::Add => a.wrapping_add(b),
        Binary::Sub => a.wrapping_sub(b),
        Binary::Mul => a.wrapping_mul(b),
        Binary::Max => a.max(b),
        Binary::Min => a.min(b),
        Binary::Eq => i64::from(a == b),
        Binary::Ne => i64::from(a != b),
        Binary::Lt => i64::from(a < b),
        Binary::Le => i64::from(a <= b),
        Binary::Gt => i64::from(a > b),
        Binary::Ge => i64::from(a >= b),
        Binary::And => a & b,
        Binary::Or => a | b,
        Binary::Xor => a ^ b,
        Binary::Pow => special::whole_pow(a, b),
        Binary::ShiftLeft => special::shift_left(a, b),
        Binary::ShiftRight => special::shift_right(a, b),
        _ => unreachable!(),
    }
}

/// Checks the result of one instruction on these arguments.
pub(crate) fn check_instr(instr: &Instr, args: &[Data], out: &Data) {
    for i in 0..out.len() {
        let got = out.f(i);
        let float = |want: f64, absolute: f64| {
            assert!(
                close(got as f32, want, absolute),
                "{instr:?} of {:?}: {got:e}, not {want:e}",
                args.iter().map(|a| a.f(i)).collect::<Vec<_>>()
            );
        };
        let integer = |want: i64| assert_eq!(out.i(i), want, "{instr:?} of {args:?}");
        match (*instr, args[args.len() - 1].ty()) {
            (Instr::Unary(op, _), Ty::F32) => {
                float(unary(op, args[0].f(i)), 0.0);
            }
            (Instr::Unary(op, _), _) => {
                let x = args[0].i(i);
                integer(match op {
                    Unary::Neg => x.wrapping_neg(),
                    Unary::Abs => x.wrapping_abs(),
                    Unary::Sign => x.signum(),
                    Unary::Square => x.wrapping_mul(x),
                    Unary::Relu => x.max(0),
                    Unary::SignBit => i64::from(x < 0),
                    Unary::Not if args[0].ty() == Ty::I64 => !x,
                    _ => i64::from(x == 0),
                });
            }
            (Instr::Binary(op, ..), Ty::I64) => integer(integers(op, args[0].i(i), args[1].i(i))),
            (Instr::Binary(op, ..), _) => {
                let (a, b) = (args[0].f(i), args[1].f(i));
                let big = match op {
                    Binary::BceLogits => 3e-7 * (1.0 + a.abs() + (a * b).abs()),
                    // Near the zeros of the sum digits are lost.
                    Binary::LogAddExp => 2e-7 * (a.abs().max(b.abs()).min(1.0)),
                    _ => 0.0,
                };
                if big.is_finite() && a.abs() < 1e30 && b.abs() < 1e30 || op != Binary::BceLogits {
                    float(binary(op, a, b), big);
                }
            }
            (Instr::Ternary(Ternary::Where, ..), _) => {
                let from = if args[0].i(i) != 0 { &args[1] } else { &args[2] };
                assert!(got == from.f(i) || (got.is_nan() && from.f(i).is_nan()));
            }
            (Instr::Ternary(Ternary::Clamp, ..), Ty::F32) => {
                float(
                    binary(
                        Binary::Min,
                        binary(Binary::Max, args[0].f(i), args[1].f(i)),
                        args[2].f(i),
                    ),
                    0.0,
                );
            }
            (Instr::Ternary(Ternary::Clamp, ..), _) => {
                integer(args[0].i(i).max(args[1].i(i)).min(args[2].i(i)));
            }
            (Instr::Cast(to, _), from) => match to {
                Ty::F32 if from == Ty::I64 => float(f64::from(args[0].i(i) as f32), 0.0),
                Ty::F32 => float(args[0].f(i), 0.0),
                Ty::I64 if from != Ty::F32 => integer(args[0].i(i)),
                Ty::I64 => integer(args[0].f(i) as i64),
                _ => integer(i64::from(args[0].f(i) != 0.0)),
            },
        }
    }
}
