//! Reductions against plain f64 sums, in the promised order, and on the edges.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod support;

use gradus_kernels::memory::{Element, KernelError, Mem, Truth, Ty};
use gradus_kernels::pool;
use gradus_kernels::program::{Binary, Instr, MAX_RANK, Program, Source};
use gradus_kernels::reduce::{ArgKind, ReduceKind, argreduce, run};
use proptest::prelude::*;
use support::{bits, everywhere, f32s, output, plain, strides};

/// The order that the kernels promise, element by element.
fn in_order<T: Copy>(xs: &[T], identity: T, join: impl Fn(T, T) -> T + Copy) -> T {
    let mut level: Vec<T> = xs
        .chunks(4096)
        .map(|chunk| {
            let mut lanes = [identity; 16];
            for (r, &x) in chunk.iter().enumerate() {
                lanes[r % 16] = join(lanes[r % 16], x);
            }
            for half in [8, 4, 2, 1] {
                for i in 0..half {
                    lanes[i] = join(lanes[i], lanes[i + half]);
                }
            }
            lanes[0]
        })
        .collect();
    // A balanced tree from the left, as a binary counter builds it.
    let mut stack: Vec<(u32, T)> = Vec::new();
    for value in level.drain(..) {
        let mut top = (0, value);
        while let Some(&(height, earlier)) = stack.last() {
            if height != top.0 {
                break;
            }
            stack.pop();
            top = (height + 1, join(earlier, top.1));
        }
        stack.push(top);
    }
    let mut result = match stack.pop() {
        Some((_, v)) => v,
        None => return identity,
    };
    while let Some((_, earlier)) = stack.pop() {
        result = join(earlier, result);
    }
    result
}

/// Elements of each result, in the order of their numbers.
fn results<T: Copy>(xs: &[T], dims: &[usize], axes: u8) -> Vec<Vec<T>> {
    let kept: Vec<usize> = (0..dims.len()).filter(|a| axes >> a & 1 == 0).collect();
    let count = kept.iter().map(|&a| dims[a]).product();
    let mut out = vec![Vec::new(); count];
    for (linear, &x) in xs.iter().enumerate() {
        let mut index = vec![0; dims.len()];
        let mut rest = linear;
        for axis in (0..dims.len()).rev() {
            index[axis] = rest % dims[axis];
            rest /= dims[axis];
        }
        let at = kept.iter().fold(0, |at, &a| at * dims[a] + index[a]);
        out[at].push(x);
    }
    out
}

fn max(a: f32, b: f32) -> f32 {
    if b > a || b.is_nan() { b } else { a }
}

fn reduce<T: Element + support::Poison>(
    kind: ReduceKind,
    xs: &[T],
    dims: &[usize],
    axes: u8,
) -> Result<Vec<T>, KernelError> {
    let program = plain(T::TY, strides(dims)).compile()?;
    let kept = (0..dims.len()).filter(|a| axes >> a & 1 == 0).map(|a| dims[a]).product();
    output(kept, |out| {
        run(kind, &program, dims, axes, &[Mem::read(xs)], &[out], &[], &[], 0).map(|_| ())
    })
}

/// `x` by way of strides that do not follow the iteration (so that blocks are gathered), and as
/// `(x + y) - y` with y = 0 (so that a program computes them).
fn fused(kind: ReduceKind, xs: &[f32], dims: &[usize], axes: u8) -> Vec<f32> {
    let zeros = [0.0f32];
    let program = Program {
        sources: vec![
            Source::Operand { operand: 0, ty: Ty::F32, offset: 0, strides: strides(dims) },
            Source::Operand { operand: 1, ty: Ty::F32, offset: 0, strides: [0; MAX_RANK] },
        ],
        instrs: vec![Instr::Binary(Binary::Add, 0, 1), Instr::Binary(Binary::Sub, 2, 1)],
        results: vec![3],
    }
    .compile()
    .unwrap();
    let kept = (0..dims.len()).filter(|a| axes >> a & 1 == 0).map(|a| dims[a]).product();
    let operands = [Mem::read(xs), Mem::read(&zeros)];
    output(kept, |out| run(kind, &program, dims, axes, &operands, &[out], &[], &[], 0).map(|_| ()))
        .unwrap()
}

/// The same logical elements, stored with the axes in reverse order.
fn transposed(kind: ReduceKind, xs: &[f32], dims: &[usize], axes: u8) -> Vec<f32> {
    let mut steps = [0isize; MAX_RANK];
    let mut step = 1;
    for (axis, &d) in dims.iter().enumerate() {
        steps[axis] = step;
        step *= d as isize;
    }
    let row = strides(dims);
    let mut stored = vec![0.0; xs.len()];
    for (linear, &x) in xs.iter().enumerate() {
        let place: isize =
            (0..dims.len()).map(|a| (linear as isize / row[a]) % dims[a] as isize * steps[a]).sum();
        stored[place as usize] = x;
    }
    let program = plain(Ty::F32, steps).compile().unwrap();
    let kept = (0..dims.len()).filter(|a| axes >> a & 1 == 0).map(|a| dims[a]).product();
    output(kept, |out| {
        run(kind, &program, dims, axes, &[Mem::read(&stored)], &[out], &[], &[], 0).map(|_| ())
    })
    .unwrap()
}

fn check(dims: &[usize], axes: u8, seed: u64) {
    let n = dims.iter().product();
    let xs = f32s(n, seed);
    let elements = results(&xs, dims, axes);
    for kind in [ReduceKind::Sum, ReduceKind::Max, ReduceKind::Min, ReduceKind::Prod] {
        let expected: Vec<f32> = elements
            .iter()
            .map(|e| match kind {
                ReduceKind::Sum => in_order(e, 0.0, |a, b| a + b),
                ReduceKind::Prod => in_order(e, 1.0, |a, b| a * b),
                ReduceKind::Max => in_order(e, f32::NEG_INFINITY, max),
                ReduceKind::Min => in_order(e, f32::INFINITY, |a, b| -max(-a, -b)),
            })
            .collect();
        let got = everywhere(|| bits(&reduce(kind, &xs, dims, axes).unwrap()));
        assert_eq!(got, bits(&expected), "{kind:?} of {dims:?} along {axes:b}");
        let got = everywhere(|| bits(&fused(kind, &xs, dims, axes)));
        assert_eq!(got, bits(&expected), "fused {kind:?} of {dims:?} along {axes:b}");
        let got = everywhere(|| bits(&transposed(kind, &xs, dims, axes)));
        assert_eq!(got, bits(&expected), "transposed {kind:?} of {dims:?} along {axes:b}");
    }
    let sum = reduce(ReduceKind::Sum, &xs, dims, axes).unwrap();
    for (got, e) in sum.iter().zip(&elements) {
        let exact: f64 = e.iter().map(|&x| f64::from(x)).sum();
        let size: f64 = e.iter().map(|&x| f64::from(x).abs()).sum();
        assert!((f64::from(*got) - exact).abs() <= 1e-5 * size + 1e-30);
    }
}

#[test]
fn the_shapes_that_matter() {
    for (dims, axes) in [
        (&[100_000][..], 0b1u8),
        (&[4096], 1),
        (&[1], 1),
        (&[300_001], 1),
        (&[128, 10], 0b10),
        (&[128, 10], 0b01),
        (&[7, 16], 0b10),
        (&[5, 1000], 0b10),
        (&[3, 20_000], 0b10),
        (&[128, 512], 0b01),
        (&[20_000, 3], 0b01),
        (&[9000, 300], 0b01),
        // One chunk of columns, whose lanes are filled apart by several threads.
        (&[4096, 64], 0b01),
        (&[31, 7, 19, 33], 0b0111),
        (&[13, 100, 70, 2], 0b0011),
        (&[8, 16, 7, 7], 0b1101),
        (&[8, 16, 7, 7], 0b0010),
        (&[2, 9000, 5], 0b010),
        (&[4, 3, 5, 6, 7], 0b10101),
        (&[4, 3, 5, 6, 7], 0b01010),
        (&[2, 3], 0),
    ] {
        check(dims, axes, 3);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn any_shape(dims in prop::collection::vec(1usize..9, 0..6), axes in 0u8..64, seed in 0u64..99) {
        let axes = axes & ((1 << dims.len()) - 1);
        check(&dims, axes, seed);
    }
}

#[test]
fn several_threads_take_part() {
    let _alone = support::alone();
    pool::set_threads(2);
    pool::set_split_all(true);
    pool::reset_workers_that_ran();
    let xs = f32s(200_000, 1);
    // On a busy machine one thread may be done many times before another wakes up.
    for _ in 0..100_000 {
        reduce(ReduceKind::Sum, &xs, &[200_000], 1).unwrap();
        if pool::workers_that_ran() > 1 {
            break;
        }
    }
    assert!(pool::workers_that_ran() > 1);
    pool::set_split_all(false);
}

#[test]
fn whole_numbers_and_booleans() {
    let xs: Vec<i64> = (0..6000).map(|i| (i * 7919) % 1013 - 500).collect();
    for (dims, axes) in [(&[6000][..], 1u8), (&[60, 100], 2), (&[60, 100], 1), (&[6, 10, 100], 2)] {
        let elements = results(&xs, dims, axes);
        for (kind, join) in [
            (ReduceKind::Sum, (|a, b| a.wrapping_add(b)) as fn(i64, i64) -> i64),
            (ReduceKind::Prod, |a, b| a.wrapping_mul(b)),
            (ReduceKind::Max, i64::max),
            (ReduceKind::Min, i64::min),
        ] {
            let expected: Vec<i64> =
                elements.iter().map(|e| e.iter().copied().reduce(join).unwrap()).collect();
            assert_eq!(everywhere(|| reduce(kind, &xs, dims, axes).unwrap()), expected);
        }
        let flags: Vec<Truth> = xs.iter().map(|&x| Truth::from(x % 50 == 0)).collect();
        let elements = results(&flags, dims, axes);
        let any: Vec<Truth> = elements.iter().map(|e| e.contains(&Truth(1)).into()).collect();
        let all: Vec<Truth> = elements.iter().map(|e| (!e.contains(&Truth(0))).into()).collect();
        assert_eq!(everywhere(|| reduce(ReduceKind::Max, &flags, dims, axes).unwrap()), any);
        assert_eq!(everywhere(|| reduce(ReduceKind::Min, &flags, dims, axes).unwrap()), all);
    }
    assert_eq!(
        reduce(ReduceKind::Sum, &[Truth(1)], &[1], 1),
        Err(KernelError::Type("this reduction of this type"))
    );
}

#[test]
fn nothing_nan_and_infinity() {
    assert_eq!(reduce::<f32>(ReduceKind::Sum, &[], &[0], 1), Ok(vec![0.0]));
    assert_eq!(reduce::<f32>(ReduceKind::Prod, &[], &[3, 0], 2), Ok(vec![1.0; 3]));
    assert_eq!(reduce::<i64>(ReduceKind::Sum, &[], &[0, 2], 1), Ok(vec![0; 2]));
    assert_eq!(reduce::<f32>(ReduceKind::Sum, &[], &[3, 0], 1), Ok(vec![]));
    assert!(matches!(reduce::<f32>(ReduceKind::Max, &[], &[0], 1), Err(KernelError::Bounds(_))));
    assert_eq!(reduce::<f32>(ReduceKind::Max, &[], &[0, 3], 2), Ok(vec![]));
    for n in [1usize, 5, 16, 17, 600, 5000] {
        for at in [0, n / 2, n - 1] {
            let mut xs = vec![1.0f32; n];
            xs[at] = f32::NAN;
            for kind in [ReduceKind::Sum, ReduceKind::Max, ReduceKind::Min, ReduceKind::Prod] {
                for (dims, axes) in [(vec![n], 1), (vec![1, n, 1], 2)] {
                    let got = everywhere(|| bits(&reduce(kind, &xs, &dims, axes).unwrap()));
                    assert_eq!(got, [f32::NAN.to_bits()], "{kind:?} of {n}, NaN at {at}");
                }
            }
            xs[at] = f32::INFINITY;
            assert_eq!(reduce(ReduceKind::Max, &xs, &[n], 1), Ok(vec![f32::INFINITY]));
            assert_eq!(reduce(ReduceKind::Sum, &xs, &[n], 1), Ok(vec![f32::INFINITY]));
            xs[at] = f32::NEG_INFINITY;
            assert_eq!(reduce(ReduceKind::Min, &xs, &[n], 1), Ok(vec![f32::NEG_INFINITY]));
        }
    }
    assert_eq!(
        reduce(ReduceKind::Max, &[f32::NEG_INFINITY; 3], &[3], 1),
        Ok(vec![f32::NEG_INFINITY])
    );
}

#[test]
fn the_watch_and_the_checks() {
    let xs = [1.0f32, 2.0, f32::INFINITY, 4.0];
    let program = plain(Ty::F32, strides(&[2, 2])).compile().unwrap();
    let go = |axes, out: Mem<'_>, watch| {
        run(
            ReduceKind::Sum,
            &program,
            &[2, 2],
            axes,
            &[Mem::read(&xs)],
            &[out],
            &[],
            &[],
            u8::from(watch),
        )
    };
    let mut out = [0.0f32; 2];
    assert_eq!(go(2, Mem::write(&mut out), true), Ok(false));
    assert_eq!(go(2, Mem::write(&mut out), false), Ok(true));
    assert!(matches!(go(3, Mem::write(&mut out), true), Err(KernelError::Bounds(_))));
    assert!(matches!(go(4, Mem::write(&mut out), true), Err(KernelError::Bounds(_))));
    assert!(matches!(go(2, Mem::read(&out), true), Err(KernelError::Type(_))));
    assert!(matches!(go(2, Mem::write(&mut [0i64; 2]), true), Err(KernelError::Type(_))));
    let mut both = [1.0f32; 4];
    let mem = Mem::write(&mut both);
    let part = mem.slice(0, 2).unwrap();
    let r = run(ReduceKind::Sum, &program, &[2, 2], 2, &[mem], &[part], &[], &[], 0);
    assert!(matches!(r, Err(KernelError::Overlap(_))));
    let short = [1.0f32; 3];
    let r = run(
        ReduceKind::Sum,
        &program,
        &[2, 2],
        2,
        &[Mem::read(&short)],
        &[Mem::write(&mut out)],
        &[],
        &[],
        0,
    );
    assert!(r.is_err());
}

#[test]
fn several_results_are_those_of_runs_of_their_own() {
    use gradus_kernels::program::{Instr, Program, Unary};
    for (dims, axes) in [
        (&[70, 33, 5][..], 0b011),
        (&[50, 41, 61], 0b011),
        (&[3, 4, 700], 0b101),
        (&[90_000], 1),
        (&[60, 300], 1),
        (&[9, 7], 2),
    ] {
        let xs = f32s(dims.iter().product(), 3);
        let sources = plain(Ty::F32, strides(dims)).sources;
        let instrs = vec![Instr::Unary(Unary::Square, 0), Instr::Unary(Unary::Tanh, 1)];
        let program = |results: &[u16]| {
            let (sources, instrs) = (sources.clone(), instrs.clone());
            Program { sources, instrs, results: results.to_vec() }.compile().unwrap()
        };
        let kept: usize = (0..dims.len()).filter(|i| axes >> i & 1 == 0).map(|i| dims[i]).product();
        let one = |k: u16| {
            let (program, x) = (program(&[k]), [Mem::read(&xs)]);
            output(kept, |out| {
                run(ReduceKind::Sum, &program, dims, axes, &x, &[out], &[], &[], 0).map(|_| ())
            })
            .unwrap()
        };
        let want: Vec<Vec<u32>> = (0..3).map(|k| bits(&one(k))).collect();
        let have = everywhere(|| {
            let (program, x) = (program(&[0, 1, 2]), [Mem::read(&xs)]);
            let mut outs = vec![vec![0.0f32; kept]; 3];
            let mems: Vec<Mem<'_>> = outs.iter_mut().map(|o| Mem::write(o)).collect();
            run(ReduceKind::Sum, &program, dims, axes, &x, &mems, &[], &[], 7).unwrap();
            outs.iter().map(|o| bits(o)).collect::<Vec<_>>()
        });
        assert_eq!(have, want, "{dims:?} over {axes:b}");
    }
}

fn naive_arg(kind: ArgKind, xs: &[f32]) -> i64 {
    let mut best = 0;
    for (i, x) in xs.iter().enumerate() {
        let b = xs[best];
        let better = if kind == ArgKind::ArgMax { *x > b } else { *x < b };
        if !b.is_nan() && (better || x.is_nan()) {
            best = i;
        }
    }
    best as i64
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn args(outer in 1usize..4, len in 1usize..300, inner in 1usize..90, seed in 0u64..9, nan in any::<bool>()) {
        let mut xs: Vec<f32> =
            f32s(outer * len * inner, seed).iter().map(|x| (x * 20.0).round()).collect();
        if nan {
            let at = xs.len() / 2;
            xs[at] = f32::NAN;
        }
        for kind in [ArgKind::ArgMax, ArgKind::ArgMin] {
            let got = everywhere(|| {
                output::<i64>(outer * inner, |out| {
                    argreduce(kind, Mem::read(&xs), outer, len, inner, out)
                })
            })
            .unwrap();
            let expected: Vec<i64> =
                results(&xs, &[outer, len, inner], 2).iter().map(|e| naive_arg(kind, e)).collect();
            prop_assert_eq!(got, expected);
        }
    }
}

#[test]
fn args_on_the_edges() {
    let go = |kind, xs: &[f32]| {
        output::<i64>(1, |out| argreduce(kind, Mem::read(xs), 1, xs.len(), 1, out))
    };
    assert_eq!(go(ArgKind::ArgMax, &[1.0, 3.0, 3.0]), Ok(vec![1]));
    assert_eq!(go(ArgKind::ArgMin, &[1.0, f32::NAN, 0.0, f32::NAN]), Ok(vec![1]));
    assert_eq!(go(ArgKind::ArgMax, &[f32::NEG_INFINITY; 4]), Ok(vec![0]));
    // The first of equal ones, in rows of every length.
    for n in [3, 15, 16, 17, 40, 2047, 2048, 5000] {
        for at in [0, n / 3, n / 2, n - 2] {
            let mut xs = vec![0.5f32; n];
            (xs[at], xs[at + 1], xs[n - 1]) = (2.0, 2.0, 2.0);
            assert_eq!(go(ArgKind::ArgMax, &xs), Ok(vec![at as i64]), "{n}");
            let xs: Vec<f32> = xs.iter().map(|x| -x).collect();
            assert_eq!(go(ArgKind::ArgMin, &xs), Ok(vec![at as i64]), "{n}");
        }
    }
    assert!(go(ArgKind::ArgMax, &[]).is_err());
    let none =
        output::<i64>(0, |out| argreduce(ArgKind::ArgMax, Mem::read::<f32>(&[]), 0, 5, 1, out));
    assert_eq!(none, Ok(vec![]));
}
