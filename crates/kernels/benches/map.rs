//! Times of the element-wise interpreter: `cargo bench -p gradus-kernels --bench map`.
//!
//! Prints ns an element (best of many samples, one thread) for each function at each level, then
//! whole fused programs.

#![allow(clippy::print_stdout, clippy::panic)]

use gradus_kernels::isa::{self, Isa};
use gradus_kernels::map::{self, Compiled};
use gradus_kernels::memory::{Mem, Ty};
use gradus_kernels::program::{
    Binary, Dist, Instr, MAX_RANK, Program, RandomKey, Source, Ternary, Unary,
};
use std::time::Instant;

fn operand(operand: u16, ty: Ty, s: &[isize]) -> Source {
    let mut strides = [0; MAX_RANK];
    strides[..s.len()].copy_from_slice(s);
    Source::Operand { operand, ty, offset: 0, strides }
}

fn constant(x: f64) -> Source {
    Source::Const { bits: x.to_bits(), ty: Ty::F32 }
}

/// The best time of a call, in ns.
fn best(mut f: impl FnMut()) -> f64 {
    let mut calls = 1;
    loop {
        let t = Instant::now();
        for _ in 0..calls {
            f();
        }
        if t.elapsed().as_micros() > 300 || calls > 1 << 20 {
            break;
        }
        calls *= 2;
    }
    let mut best = f64::INFINITY;
    for _ in 0..30 {
        let t = Instant::now();
        for _ in 0..calls {
            f();
        }
        best = best.min(t.elapsed().as_nanos() as f64 / calls as f64);
    }
    best
}

fn compiled(sources: Vec<Source>, instrs: Vec<Instr>, results: Vec<u16>) -> Compiled {
    match (Program { sources, instrs, results }).compile() {
        Ok(c) => c,
        Err(e) => panic!("{e:?}"),
    }
}

fn levels() -> Vec<Isa> {
    [Isa::Avx512, Isa::Avx2, Isa::Generic].into_iter().filter(|i| i.supported()).collect()
}

/// One row of the table: the time at each level, in ns an element.
fn row(name: &str, c: &Compiled, dims: &[usize], operands: &[&[f32]], outs: &mut [Vec<f32>]) {
    let n: usize = dims.iter().product::<usize>().max(1);
    let mems: Vec<Mem<'_>> = operands.iter().map(|x| Mem::read(x)).collect();
    let outs: Vec<Mem<'_>> = outs.iter_mut().map(|x| Mem::write(x)).collect();
    let keys = [RandomKey { seed: 1, stream: 2, draw: 3 }];
    print!("{name:28}");
    for isa in levels() {
        isa::force(isa);
        let t = best(|| {
            if let Err(e) = map::run(c, dims, &mems, &outs, &[0.5], &keys) {
                panic!("{e:?}");
            }
        });
        print!(" {:9.3}", t / n as f64);
    }
    println!("   {n} elements");
}

fn functions() {
    let n = 8192;
    let x: Vec<f32> = (0..n).map(|i| (i as f32 * 0.37) % 8.0 - 4.0).collect();
    let p: Vec<f32> = x.iter().map(|x| x.abs() + 1e-3).collect();
    let mut out = [vec![0.0; n]];
    use Unary as U;
    let all = [
        U::Neg,
        U::Abs,
        U::Sign,
        U::Square,
        U::Sqrt,
        U::Rsqrt,
        U::Recip,
        U::Exp,
        U::Expm1,
        U::Log,
        U::Log1p,
        U::Sin,
        U::Cos,
        U::Tanh,
        U::Sigmoid,
        U::Erf,
        U::Relu,
        U::Gelu,
        U::GeluTanh,
        U::Floor,
        U::Ceil,
        U::Round,
        U::Trunc,
    ];
    for op in all {
        let c = compiled(vec![operand(0, Ty::F32, &[1])], vec![Instr::Unary(op, 0)], vec![1]);
        let positive = matches!(op, U::Sqrt | U::Rsqrt | U::Log | U::Log1p);
        row(&format!("{op:?}"), &c, &[n], &[if positive { &p } else { &x }], &mut out);
    }
    use Binary as B;
    for op in [B::Add, B::Mul, B::Div, B::Max, B::Pow, B::Remainder, B::BceLogits] {
        let sources = vec![operand(0, Ty::F32, &[1]), operand(1, Ty::F32, &[1])];
        let c = compiled(sources, vec![Instr::Binary(op, 0, 1)], vec![2]);
        row(&format!("{op:?}"), &c, &[n], &[&p, &x], &mut out);
    }
    let c = compiled(
        vec![operand(0, Ty::F32, &[1]), constant(1.5)],
        vec![Instr::Binary(B::Mul, 0, 1)],
        vec![2],
    );
    row("x * constant", &c, &[n], &[&x], &mut out);
    for dist in [Dist::Uniform, Dist::Normal] {
        let c = compiled(vec![Source::Random { key: 0, dist }], vec![], vec![0]);
        row(&format!("{dist:?} random"), &c, &[n], &[], &mut out);
    }
}

/// x + bias, then an activation.
fn biased(op: Unary) -> Compiled {
    compiled(
        vec![operand(0, Ty::F32, &[512, 1]), operand(1, Ty::F32, &[0, 1])],
        vec![Instr::Binary(Binary::Add, 0, 1), Instr::Unary(op, 2)],
        vec![3],
    )
}

fn programs() {
    let n = 128 * 512;
    let x: Vec<f32> = (0..n).map(|i| (i as f32 * 0.37) % 8.0 - 4.0).collect();
    let b: Vec<f32> = x[..4096].to_vec();
    let mut out = [vec![0.0; n]];
    let d = [128, 512];
    row("bias + gelu", &biased(Unary::Gelu), &d, &[&x, &b], &mut out);
    row("bias + gelu_tanh", &biased(Unary::GeluTanh), &d, &[&x, &b], &mut out);
    row("bias + relu", &biased(Unary::Relu), &d, &[&x, &b], &mut out);
    // gelu_tanh from primitive operations, and its gradient times an upstream gradient.
    let source = vec![
        operand(0, Ty::F32, &[512, 1]),
        operand(1, Ty::F32, &[0, 1]),
        constant(0.044715),
        constant(0.797_884_56),
        constant(1.0),
        constant(0.5),
    ];
    use Binary::{Add, Gt, Mul};
    let chain = vec![
        Instr::Binary(Add, 0, 1),      // 6: x
        Instr::Binary(Mul, 6, 6),      // 7: x^2
        Instr::Binary(Mul, 7, 2),      // 8
        Instr::Binary(Add, 8, 4),      // 9
        Instr::Binary(Mul, 9, 6),      // 10
        Instr::Binary(Mul, 10, 3),     // 11
        Instr::Unary(Unary::Tanh, 11), // 12
        Instr::Binary(Add, 12, 4),     // 13
        Instr::Binary(Mul, 13, 6),     // 14
        Instr::Binary(Mul, 14, 5),     // 15
    ];
    row("bias + gelu_tanh, 10 ops", &compiled(source, chain, vec![15]), &d, &[&x, &b], &mut out);
    // dx = y > 0 ? g : 0
    let c = compiled(
        vec![operand(0, Ty::F32, &[1]), operand(1, Ty::F32, &[1]), constant(0.0)],
        vec![Instr::Binary(Gt, 0, 2), Instr::Ternary(Ternary::Where, 3, 1, 2)],
        vec![4],
    );
    let g = x.clone();
    row("relu gradient", &c, &[n], &[&x, &g], &mut out);
    // y = random >= p ? x / (1 - p) : 0
    let c = compiled(
        vec![
            operand(0, Ty::F32, &[1]),
            Source::Random { key: 0, dist: Dist::Uniform },
            Source::Slot { slot: 0, ty: Ty::F32 },
            constant(2.0),
            constant(0.0),
        ],
        vec![
            Instr::Binary(Binary::Ge, 1, 2),
            Instr::Binary(Mul, 0, 3),
            Instr::Ternary(Ternary::Where, 5, 6, 4),
        ],
        vec![7],
    );
    row("dropout", &c, &[n], &[&x], &mut out);
    // Adam: two moments and a parameter.
    let c = compiled(
        vec![
            operand(0, Ty::F32, &[1]),
            operand(1, Ty::F32, &[1]),
            operand(2, Ty::F32, &[1]),
            operand(3, Ty::F32, &[1]),
            constant(0.9),
            constant(0.1),
            constant(0.999),
            constant(0.001),
            constant(1e-8),
            constant(1e-3),
        ],
        vec![
            Instr::Binary(Mul, 1, 4),
            Instr::Binary(Mul, 0, 5),
            Instr::Binary(Add, 10, 11), // 12 m
            Instr::Binary(Mul, 2, 6),
            Instr::Unary(Unary::Square, 0),
            Instr::Binary(Mul, 14, 7),
            Instr::Binary(Add, 13, 15), // 16 v
            Instr::Unary(Unary::Sqrt, 16),
            Instr::Binary(Add, 17, 8),
            Instr::Binary(Binary::Div, 12, 18),
            Instr::Binary(Mul, 19, 9),
            Instr::Binary(Binary::Sub, 3, 20),
        ],
        vec![12, 16, 21],
    );
    let p: Vec<f32> = x.iter().map(|x| x.abs()).collect();
    let mut three = [vec![0.0; n], vec![0.0; n], vec![0.0; n]];
    row("adam, 12 ops", &c, &[n], &[&x, &x, &p, &x], &mut three);
    // Transposed and short rows.
    let c =
        compiled(vec![operand(0, Ty::F32, &[1, 256])], vec![Instr::Unary(Unary::Neg, 0)], vec![1]);
    row("transposed 256x256", &c, &[256, 256], &[&x], &mut out);
    let c =
        compiled(vec![operand(0, Ty::F32, &[1, 1024])], vec![Instr::Unary(Unary::Neg, 0)], vec![1]);
    row("transposed 64x1024", &c, &[1024, 64], &[&x], &mut out);
    let add = |s: &[isize], b: &[isize]| {
        compiled(
            vec![operand(0, Ty::F32, s), operand(1, Ty::F32, b)],
            vec![Instr::Binary(Add, 0, 1)],
            vec![2],
        )
    };
    row("bias of 10", &add(&[10, 1], &[0, 1]), &[1024, 10], &[&x, &b], &mut out);
    row("bias of 4096", &add(&[4096, 1], &[0, 1]), &[16, 4096], &[&x, &b], &mut out);
    row("row scalar, rows of 10", &add(&[10, 1], &[1, 0]), &[1024, 10], &[&x, &b], &mut out);
    row("row scalar, rows of 512", &add(&[512, 1], &[1, 0]), &[128, 512], &[&x, &b], &mut out);
    row("rows of 10 of 16", &add(&[16, 1], &[0, 1]), &[1024, 10], &[&x, &b], &mut out);
}

fn small() {
    println!("\nsmall calls, ns a call");
    let x: Vec<f32> = (0..64).map(|i| i as f32 * 0.1 - 3.0).collect();
    let mut out = vec![0.0_f32; 64];
    for (name, c, dims) in [
        ("4x8 neg", Unary::Neg, vec![4, 8]),
        ("4x8 tanh", Unary::Tanh, vec![4, 8]),
        ("1 neg", Unary::Neg, vec![1, 1]),
        ("10 gelu", Unary::Gelu, vec![1, 10]),
    ]
    .map(|(name, op, dims)| {
        (
            name,
            compiled(vec![operand(0, Ty::F32, &[8, 1])], vec![Instr::Unary(op, 0)], vec![1]),
            dims,
        )
    }) {
        print!("{name:28}");
        for isa in levels() {
            isa::force(isa);
            let (a, o) = ([Mem::read(&x)], [Mem::write(&mut out)]);
            let t = best(|| {
                if let Err(e) = map::run(&c, &dims, &a, &o, &[], &[]) {
                    panic!("{e:?}");
                }
            });
            print!(" {t:9.1}");
        }
        println!();
    }
}

fn main() {
    gradus_kernels::pool::set_threads(1);
    print!("{:28}", "ns an element");
    for isa in levels() {
        print!(" {:>9}", isa.name());
    }
    println!();
    functions();
    println!();
    programs();
    small();
}
