//! Products, maps and reductions of the types beside f32, against scalar code.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod support;

use gradus_kernels::gemm::{Activation, Gemm, gemm};
use gradus_kernels::map;
use gradus_kernels::memory::{Element, KernelError, Mem, Truth, Ty};
use gradus_kernels::program::{Binary, Instr, Program, Source, Ternary, Unary};
use support::{Numbers, Poison, everywhere, output, strides};

type Shapes = [(usize, usize, usize, usize); 12];
const SHAPES: Shapes = [
    (1, 1, 1, 1),
    (1, 3, 2, 5),
    (1, 8, 513, 24),
    (1, 9, 512, 25),
    (1, 50, 1100, 1),
    (1, 1, 700, 60),
    (1, 100, 31, 53),
    (1, 130, 600, 100),
    (3, 7, 5, 9),
    (40, 12, 30, 17),
    (1, 4, 0, 6),
    (2, 64, 64, 64),
];

/// One product; operands lie in rows or, `turned`, in columns.
fn product<T: Element + Poison>(
    (batch, m, k, n): (usize, usize, usize, usize),
    a: &[T],
    b: &[T],
    turned: bool,
) -> Result<Vec<T>, KernelError> {
    let at = |size: usize| (0..batch).map(|i| i * size).collect::<Vec<_>>();
    let (a_batch, b_batch) = (at(m * k), at(k * n));
    output(batch * m * n, |c| {
        gemm(&Gemm {
            m,
            k,
            n,
            a: Mem::read(a),
            a_strides: if turned { [1, m] } else { [k, 1] },
            b: Mem::read(b),
            b_strides: if turned { [1, k] } else { [n, 1] },
            c,
            c_stride: n,
            batch,
            a_batch: &a_batch,
            b_batch: &b_batch,
            accumulate: false,
            bias: None,
            activation: Activation::None,
            watch: true,
        })
        .map(|_| ())
    })
}

/// The elements of all results, each from its pairs of factors in order of k.
fn each<T: Copy, R>(
    (batch, m, k, n): (usize, usize, usize, usize),
    a: &[T],
    b: &[T],
    turned: bool,
    f: impl Fn(&mut dyn Iterator<Item = (T, T)>) -> R,
) -> Vec<R> {
    let mut out = Vec::new();
    for e in 0..batch {
        let (a, b) = (&a[e * m * k..], &b[e * k * n..]);
        for i in 0..m {
            for j in 0..n {
                let pair = |p: usize| match turned {
                    true => (a[i + p * m], b[p + j * k]),
                    false => (a[i * k + p], b[p * n + j]),
                };
                out.push(f(&mut (0..k).map(pair)));
            }
        }
    }
    out
}

#[test]
fn f64_products_are_chains_of_fused_multiply_adds() {
    for shape in SHAPES {
        let (batch, m, k, n) = shape;
        let mut numbers = Numbers(7 + (m * n) as u64);
        let mut some = |len| (0..len).map(|_| f64::from(numbers.f32()) / 3.0).collect::<Vec<_>>();
        let (a, b) = (some(batch * m * k), some(batch * k * n));
        for turned in [false, true] {
            let want = each(shape, &a, &b, turned, |pairs| {
                let (mut sum, mut chain, mut count) = (None, 0.0, 0);
                for (x, y) in pairs {
                    chain = x.mul_add(y, chain);
                    count += 1;
                    if count % 512 == 0 {
                        sum = Some(sum.map_or(chain, |s: f64| s + chain));
                        chain = 0.0;
                    }
                }
                match sum {
                    Some(s) if count % 512 == 0 => s,
                    Some(s) => s + chain,
                    None => chain,
                }
            });
            let bits = |v: Vec<f64>| v.into_iter().map(f64::to_bits).collect::<Vec<_>>();
            let got = everywhere(|| product(shape, &a, &b, turned).map(bits));
            assert_eq!(got, Ok(bits(want)), "{shape:?} turned {turned}");
        }
    }
}

#[test]
fn products_of_integers_wrap() {
    fn check<T: Element + Poison + PartialEq + std::fmt::Debug>(
        from: impl Fn(u64) -> T,
        plus: impl Fn(T, T, T) -> T,
    ) {
        for shape in SHAPES {
            let (batch, m, k, n) = shape;
            let mut numbers = Numbers(11);
            let mut some = |len| (0..len).map(|_| from(numbers.next())).collect::<Vec<T>>();
            let (a, b) = (some(batch * m * k), some(batch * k * n));
            for turned in [false, true] {
                let want = each(shape, &a, &b, turned, |pairs| {
                    pairs.fold(T::default(), |s, (x, y)| plus(s, x, y))
                });
                let got = everywhere(|| product(shape, &a, &b, turned));
                assert_eq!(got, Ok(want), "{shape:?} turned {turned}");
            }
        }
    }
    check(|x| x as i64, |s, x, y| s.wrapping_add(x.wrapping_mul(y)));
    check(|x| x as i32, |s, x, y| s.wrapping_add(x.wrapping_mul(y)));
    check(|x| x as u8, |s, x, y| s.wrapping_add(x.wrapping_mul(y)));
    let none = product((1, 1, 1, 1), &[Truth(1)], &[Truth(1)], false);
    assert!(matches!(none, Err(KernelError::Type(_))));
}

fn operand(operand: u16, ty: Ty) -> Source {
    Source::Operand { operand, ty, offset: 0, strides: strides(&[1]) }
}

/// `f(x, y)` of one instruction.
fn binary<T: Element, R: Element + Poison>(
    op: Binary,
    x: &[T],
    y: &[T],
) -> Result<Vec<R>, KernelError> {
    let p = Program {
        sources: vec![operand(0, T::TY), operand(1, T::TY)],
        instrs: vec![Instr::Binary(op, 0, 1)],
        results: vec![2],
    };
    let c = p.compile()?;
    let operands = [Mem::read(x), Mem::read(y)];
    output(x.len(), |out| map::run(&c, &[x.len()], &operands, &[out], &[], &[]))
}

#[test]
fn integers_wrap_and_division_by_zero_has_a_place() {
    let (x, y) = ([i32::MIN, 7, -7, 5], [-1, -2, 2, 3]);
    assert_eq!(binary(Binary::Div, &x, &y), Ok(vec![i32::MIN, -3, -3, 1]));
    assert_eq!(binary(Binary::Remainder, &x, &y), Ok(vec![0, -1, 1, 2]));
    assert_eq!(binary(Binary::Add, &x, &x), Ok(vec![0, 14, -14, 10]));
    assert_eq!(binary(Binary::Sub, &[3u8, 200], &[5u8, 100]), Ok(vec![254u8, 100]));
    assert_eq!(binary(Binary::Mul, &[16u8, 17], &[16u8, 17]), Ok(vec![0u8, 33]));
    let zeros = [1u8, 0, 0, 4].repeat(200);
    let one = vec![9u8; 800];
    for op in [Binary::Div, Binary::Remainder] {
        let got = binary::<u8, u8>(op, &one, &zeros);
        assert_eq!(got, Err(KernelError::DivisionByZero { position: 1 }));
    }
}

#[test]
fn storage_types_are_chosen_and_converted_but_not_computed_with() {
    for ty in [Ty::BF16, Ty::F16] {
        assert!(!map::supports(&Instr::Binary(Binary::Add, 0, 1), &[ty, ty]));
        assert!(!map::supports(&Instr::Unary(Unary::Neg, 0), &[ty]));
        assert!(!map::supports(&Instr::Ternary(Ternary::Clamp, 0, 1, 2), &[ty, ty, ty]));
        assert!(map::supports(&Instr::Ternary(Ternary::Where, 0, 1, 2), &[Ty::Bool, ty, ty]));
        assert!(map::supports(&Instr::Cast(Ty::F32, 0), &[ty]));
    }
}
