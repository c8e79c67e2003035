//! The interpreter against an obvious one: one element and one instruction at a time.

#![allow(clippy::unwrap_used, clippy::panic, clippy::unreachable)]

mod map_naive;

use gradus_kernels::isa::{self, Isa};
use gradus_kernels::map;
use gradus_kernels::memory::{KernelError, Mem, Ty};
use gradus_kernels::program::{
    Binary, Dist, Instr, MAX_RANK, Program, RandomKey, Source, Ternary, Unary,
};
use map_naive::{Data, Rng, Strided, check_instr, random_program, same};
use proptest::prelude::*;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The level is process-global.
static LEVEL: Mutex<()> = Mutex::new(());

fn lock() -> MutexGuard<'static, ()> {
    LEVEL.lock().unwrap_or_else(PoisonError::into_inner)
}

const KEYS: [RandomKey; 2] = [
    RandomKey { seed: 0x1234_5678_9abc_def0, stream: 1, draw: 2 },
    RandomKey { seed: 7, stream: 3, draw: 0 },
];

/// Runs a program into new outputs.
fn eval(
    p: &Program,
    dims: &[usize],
    operands: &[Data],
    slots: &[f64],
) -> Result<Vec<Data>, KernelError> {
    let c = p.compile()?;
    let n = dims.iter().product();
    let mut outs: Vec<Data> =
        (0..c.results()).map(|i| Data::new(c.result_ty(i).unwrap(), n)).collect();
    let mems: Vec<Mem<'_>> = operands.iter().map(Data::read).collect();
    let out_mems: Vec<Mem<'_>> = outs.iter_mut().map(Data::write).collect();
    map::run(&c, dims, &mems, &out_mems, slots, &KEYS)?;
    Ok(outs)
}

fn contiguous(dims: &[usize]) -> [isize; MAX_RANK] {
    let mut s = [0; MAX_RANK];
    let mut step = 1;
    for k in (0..dims.len()).rev() {
        s[k] = step;
        step *= dims[k] as isize;
    }
    s
}

/// Every value of the program, an instruction at a time, each checked against f64.
fn one_at_a_time(p: &Program, dims: &[usize], operands: &[Data], slots: &[f64]) -> Vec<Data> {
    let n: usize = dims.iter().product();
    let mut values: Vec<Data> = Vec::new();
    for s in &p.sources {
        values.push(match *s {
            Source::Operand { operand, offset, strides, .. } => {
                operands[operand as usize].gather(dims, offset, &strides)
            }
            Source::Slot { slot, ty } => Data::filled(ty, n, slots[slot as usize]),
            Source::Const { bits, ty } => Data::filled(ty, n, f64::from_bits(bits)),
            Source::Random { .. } => {
                let alone = Program { sources: vec![*s], instrs: vec![], results: vec![0] };
                eval(&alone, dims, &[], &[]).unwrap().remove(0)
            }
            Source::Index { axis } => {
                let mut strides = [0; MAX_RANK];
                strides[axis as usize] = 1;
                Data::I64((0..dims[axis as usize].max(1) as i64).collect())
                    .gather(dims, 0, &strides)
            }
        });
    }
    for instr in &p.instrs {
        let (alone, args) = match *instr {
            Instr::Unary(op, a) => (Instr::Unary(op, 0), vec![a]),
            Instr::Cast(ty, a) => (Instr::Cast(ty, 0), vec![a]),
            Instr::Binary(op, a, b) => (Instr::Binary(op, 0, 1), vec![a, b]),
            Instr::Ternary(op, a, b, c) => (Instr::Ternary(op, 0, 1, 2), vec![a, b, c]),
        };
        let data: Vec<Data> = args.iter().map(|&a| values[a as usize].clone()).collect();
        let sources = data
            .iter()
            .enumerate()
            .map(|(i, d)| Source::Operand {
                operand: i as u16,
                ty: d.ty(),
                offset: 0,
                strides: contiguous(dims),
            })
            .collect::<Vec<_>>();
        let result = sources.len() as u16;
        let alone = Program { sources, instrs: vec![alone], results: vec![result] };
        let out = eval(&alone, dims, &data, &[]).unwrap().remove(0);
        check_instr(instr, &data, &out);
        values.push(out);
    }
    values
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn fused_programs_do_what_single_instructions_do(seed: u64) {
        let _lock = lock();
        let rng = &mut Rng(seed);
        let case = random_program(rng);
        let mut first: Option<Vec<Data>> = None;
        for isa in [Isa::Generic, Isa::Avx2, Isa::Avx512].into_iter().filter(|i| i.supported()) {
            isa::force(isa);
            let values = one_at_a_time(&case.program, &case.dims, &case.operands, &case.slots);
            let outs = eval(&case.program, &case.dims, &case.operands, &case.slots).unwrap();
            for (k, (&r, out)) in case.program.results.iter().zip(&outs).enumerate() {
                prop_assert!(same(out, &values[r as usize]), "{isa:?}, result {k}, {case:#?}");
            }
            if isa != Isa::Generic {
                if let Some(first) = &first {
                    for (a, b) in first.iter().zip(&outs) {
                        prop_assert!(same(a, b), "AVX2 and AVX-512 differ, {case:#?}");
                    }
                }
                first = Some(outs);
            }
        }
        isa::force(isa::best());
    }

    #[test]
    fn in_place_gives_the_same_bits(seed: u64) {
        let _lock = lock();
        let rng = &mut Rng(seed);
        let case = random_program(rng);
        let outs = eval(&case.program, &case.dims, &case.operands, &case.slots).unwrap();
        // Outputs take over operands of their type that are read contiguously.
        let c = case.program.compile().unwrap();
        let n: usize = case.dims.iter().product();
        let mut operands = case.operands.clone();
        let mut spare: Vec<Data> = outs.iter().map(|o| Data::new(o.ty(), n)).collect();
        let mut target: Vec<Option<usize>> = vec![None; outs.len()];
        let mut taken = vec![false; operands.len()];
        for (k, out) in outs.iter().enumerate() {
            for i in 0..operands.len() {
                let plain = |s: &Source| match *s {
                    Source::Operand { operand, offset, strides, .. } if operand as usize == i => {
                        offset == 0 && strides == contiguous(&case.dims)
                    }
                    _ => true,
                };
                let fits = operands[i].ty() == out.ty() && operands[i].len() == n && n > 1;
                if fits && !taken[i] && case.program.sources.iter().all(plain) && rng.below(3) > 0 {
                    target[k] = Some(i);
                    taken[i] = true;
                    break;
                }
            }
        }
        {
            let mems: Vec<Mem<'_>> = operands.iter_mut().map(Data::write).collect();
            let mut out_mems: Vec<Mem<'_>> = spare.iter_mut().map(Data::write).collect();
            for (k, t) in target.iter().enumerate() {
                if let Some(i) = t {
                    out_mems[k] = mems[*i];
                }
            }
            map::run(&c, &case.dims, &mems, &out_mems, &case.slots, &KEYS).unwrap();
        }
        for (k, want) in outs.iter().enumerate() {
            let got = target[k].map_or(&spare[k], |i| &operands[i]);
            prop_assert!(same(got, want), "result {k} in {target:?}, {case:#?}");
        }
    }
}

fn operand(operand: u16, ty: Ty, dims: &[usize]) -> Source {
    Source::Operand { operand, ty, offset: 0, strides: contiguous(dims) }
}

fn number(x: f64, ty: Ty) -> Source {
    Source::Const { bits: x.to_bits(), ty }
}

fn apply2(op: Binary, a: &Data, b: &Data) -> Result<Data, KernelError> {
    let dims = [a.len()];
    let p = Program {
        sources: vec![operand(0, a.ty(), &dims), operand(1, b.ty(), &dims)],
        instrs: vec![Instr::Binary(op, 0, 1)],
        results: vec![2],
    };
    eval(&p, &dims, &[a.clone(), b.clone()], &[]).map(|mut o| o.remove(0))
}

#[test]
fn nan_passes_through_extremes_and_only_ne_sees_it() {
    let n = f32::NAN;
    let a = Data::F32(vec![n, 1.0, n, -0.0, 3.0]);
    let b = Data::F32(vec![1.0, n, n, 0.0, 2.0]);
    for op in [Binary::Max, Binary::Min] {
        let Data::F32(v) = apply2(op, &a, &b).unwrap() else { panic!() };
        assert!(v[0].is_nan() && v[1].is_nan() && v[2].is_nan() && !v[4].is_nan());
    }
    for (op, nan) in [
        (Binary::Eq, 0),
        (Binary::Ne, 1),
        (Binary::Lt, 0),
        (Binary::Le, 0),
        (Binary::Gt, 0),
        (Binary::Ge, 0),
    ] {
        let Data::Bool(v) = apply2(op, &a, &b).unwrap() else { panic!() };
        assert_eq!(v[..3], [nan; 3], "{op:?}");
    }
}

#[test]
fn the_sign_of_a_nan_is_not_seen() {
    let p = Program {
        sources: vec![operand(0, Ty::F32, &[5])],
        instrs: vec![Instr::Unary(Unary::SignBit, 0)],
        results: vec![1],
    };
    let x = Data::F32(vec![f32::NAN, -f32::NAN, -0.0, 0.0, -1.0]);
    assert_eq!(eval(&p, &[5], &[x], &[]).unwrap(), [Data::Bool(vec![0, 0, 1, 0, 1])]);
}

#[test]
fn remainder_has_the_sign_of_the_divisor_and_integers_wrap() {
    let a = Data::F32(vec![5.0, -5.0, 5.0, -5.0, 1e30, -1e-10, 7.0, f32::INFINITY, -1.0, 6.0]);
    let b = Data::F32(vec![3.0, 3.0, -3.0, -3.0, 7.0, 3.0, 0.0, 2.0, f32::INFINITY, -3.0]);
    let Data::F32(v) = apply2(Binary::Remainder, &a, &b).unwrap() else { panic!() };
    assert_eq!(v[..6], [2.0, 1.0, -1.0, -2.0, 1e30_f32 % 7.0, 3.0]);
    assert!(v[6].is_nan() && v[7].is_nan());
    assert_eq!((v[8], v[9]), (f32::INFINITY, 0.0));
    let a = Data::I64(vec![5, -5, 5, -5, i64::MIN, i64::MIN]);
    let b = Data::I64(vec![3, 3, -3, -3, -1, 3]);
    assert_eq!(
        apply2(Binary::Remainder, &a, &b).unwrap(),
        Data::I64(vec![2, 1, -1, -2, 0, i64::MIN.rem_euclid(3)])
    );
    assert_eq!(
        apply2(Binary::Div, &a, &b).unwrap(),
        Data::I64(vec![1, -1, -1, 1, i64::MIN, i64::MIN / 3])
    );
    let max = Data::I64(vec![i64::MAX]);
    assert_eq!(apply2(Binary::Add, &max, &max).unwrap(), Data::I64(vec![-2]));
}

#[test]
fn division_by_zero_names_the_first_element() {
    let n = 40_000;
    let a = Data::I64(vec![7; n]);
    let mut b = vec![2; n];
    b[33_333] = 0;
    b[39_000] = 0;
    for op in [Binary::Div, Binary::Remainder] {
        let got = apply2(op, &a, &Data::I64(b.clone()));
        assert_eq!(got, Err(KernelError::DivisionByZero { position: 33_333 }));
    }
    // The divisor is a constant.
    let p = Program {
        sources: vec![operand(0, Ty::I64, &[n]), number(0.0, Ty::I64)],
        instrs: vec![Instr::Binary(Binary::Div, 0, 1)],
        results: vec![2],
    };
    let zero = Err(KernelError::DivisionByZero { position: 0 });
    assert_eq!(eval(&p, &[n], std::slice::from_ref(&a), &[]), zero);
    // Nothing is divided.
    assert!(eval(&p, &[0], &[a], &[]).is_ok());
}

#[test]
fn casts_saturate_and_nan_is_zero_or_true() {
    let x = Data::F32(vec![f32::NAN, 1e30, -1e30, -1.9, 0.0, -0.0]);
    let cast = |to| {
        let p = Program {
            sources: vec![operand(0, Ty::F32, &[6])],
            instrs: vec![Instr::Cast(to, 0)],
            results: vec![1],
        };
        eval(&p, &[6], std::slice::from_ref(&x), &[]).unwrap().remove(0)
    };
    assert_eq!(cast(Ty::I64), Data::I64(vec![0, i64::MAX, i64::MIN, -1, 0, 0]));
    assert_eq!(cast(Ty::Bool), Data::Bool(vec![1, 1, 1, 1, 0, 0]));
}

#[test]
fn wrong_programs_are_refused() {
    let two = |a, b, op| Program {
        sources: vec![operand(0, a, &[4]), operand(1, b, &[4])],
        instrs: vec![Instr::Binary(op, 0, 1)],
        results: vec![2],
    };
    let refused = |p: &Program| matches!(p.compile(), Err(KernelError::Type(_)));
    assert!(refused(&two(Ty::Bool, Ty::Bool, Binary::Add)));
    assert!(refused(&two(Ty::F32, Ty::I64, Binary::Add)));
    assert!(refused(&two(Ty::F16, Ty::F16, Binary::Add)));
    assert!(refused(&two(Ty::F32, Ty::F32, Binary::And)));
    assert!(refused(&two(Ty::Bool, Ty::Bool, Binary::ShiftLeft)));
    assert!(!refused(&two(Ty::Bool, Ty::Bool, Binary::Xor)));
    let forward = Program {
        sources: vec![operand(0, Ty::F32, &[4])],
        instrs: vec![Instr::Unary(Unary::Neg, 1)],
        results: vec![1],
    };
    assert!(refused(&forward));
    let result = Program { instrs: vec![], results: vec![1], ..forward };
    assert!(refused(&result));
    let mask = Program {
        sources: vec![operand(0, Ty::F32, &[4])],
        instrs: vec![Instr::Ternary(Ternary::Where, 0, 0, 0)],
        results: vec![1],
    };
    assert!(refused(&mask));
}

#[test]
fn windows_are_checked_before_anything_is_written() {
    let neg = |offset, strides: &[isize]| {
        let mut s = [0; MAX_RANK];
        s[..strides.len()].copy_from_slice(strides);
        let p = Program {
            sources: vec![Source::Operand { operand: 0, ty: Ty::F32, offset, strides: s }],
            instrs: vec![Instr::Unary(Unary::Neg, 0)],
            results: vec![1],
        };
        p.compile().unwrap()
    };
    let x = vec![1.0_f32; 12];
    let mut y = vec![5.0_f32; 12];
    let mut run = |c: &map::Compiled, dims: &[usize], x: Mem<'_>| {
        let r = map::run(c, dims, &[x], &[Mem::write(&mut y)], &[], &[]);
        (r, y[0])
    };
    let bounds = |r: &(Result<(), KernelError>, f32)| matches!(r, (Err(KernelError::Bounds(_)), v) if *v == 5.0);
    assert!(bounds(&run(&neg(1, &[4, 1]), &[3, 4], Mem::read(&x))));
    assert!(bounds(&run(&neg(0, &[-4, 1]), &[3, 4], Mem::read(&x))));
    assert!(bounds(&run(&neg(0, &[isize::MAX, 1]), &[3, 4], Mem::read(&x))));
    assert!(bounds(&run(&neg(usize::MAX, &[0, 0]), &[3, 4], Mem::read(&x))));
    assert!(bounds(&run(&neg(0, &[0, 0]), &[5, 4], Mem::read(&x))));
    assert!(bounds(&run(&neg(0, &[0, 0]), &[usize::MAX, 4], Mem::read(&x))));
    assert!(bounds(&run(&neg(0, &[0; 8]), &[1; 9], Mem::read(&x))));
    assert!(matches!(
        run(&neg(0, &[4, 1]), &[3, 4], Mem::read(&[1_i64; 12])).0,
        Err(KernelError::Type(_))
    ));
    assert!(run(&neg(usize::MAX, &[4, 1]), &[0, 4], Mem::read(&x)).0.is_ok());
    assert_eq!(run(&neg(8, &[-4, 1]), &[3, 4], Mem::read(&x)), (Ok(()), -1.0));
    assert_eq!(run(&neg(11, &[]), &[], Mem::read(&x)), (Ok(()), -1.0));
}

#[test]
fn overlaps_are_refused_except_in_place() {
    let mut x = vec![1.0_f32; 16];
    let whole = Mem::write(&mut x);
    let p = |strides: [isize; 1], offset| {
        let mut s = [0; MAX_RANK];
        s[..1].copy_from_slice(&strides);
        Program {
            sources: vec![Source::Operand { operand: 0, ty: Ty::F32, offset, strides: s }],
            instrs: vec![Instr::Unary(Unary::Neg, 0), Instr::Unary(Unary::Abs, 0)],
            results: vec![1],
        }
        .compile()
        .unwrap()
    };
    let run = |c: &map::Compiled, a: Mem<'_>, outs: &[Mem<'_>]| {
        let n = outs[0].len();
        map::run(c, &[n], &[a], outs, &[], &[])
    };
    let overlap = |r| matches!(r, Err(KernelError::Overlap(_)));
    assert_eq!(run(&p([1], 0), whole, &[whole]), Ok(()));
    let (low, high) = (whole.slice(0, 8).unwrap(), whole.slice(8, 8).unwrap());
    assert_eq!(run(&p([1], 0), low, &[high]), Ok(()));
    assert!(overlap(run(&p([1], 0), low, &[whole.slice(1, 8).unwrap()])));
    assert!(overlap(run(&p([-1], 7), low, &[low])));
    assert!(overlap(run(&p([0], 0), low, &[low])));
    assert!(overlap(run(&p([1], 0), whole, &[low])));
    let two = Program {
        results: vec![1, 2],
        ..Program {
            sources: vec![operand(0, Ty::F32, &[8])],
            instrs: vec![Instr::Unary(Unary::Neg, 0), Instr::Unary(Unary::Abs, 0)],
            results: vec![],
        }
    }
    .compile()
    .unwrap();
    assert!(overlap(run(&two, low, &[high, high])));
    assert_eq!(run(&two, low, &[high, low]), Ok(()));
    let read_only = [0.0_f32; 8];
    assert!(matches!(run(&p([1], 0), low, &[Mem::read(&read_only)]), Err(KernelError::Type(_))));
}

#[test]
fn swapped_operands_can_be_written_over_each_other() {
    // Results that are operands, each in the place of the other.
    let p = Program {
        sources: vec![operand(0, Ty::F32, &[1000]), operand(1, Ty::F32, &[1000])],
        instrs: vec![Instr::Binary(Binary::Add, 0, 1)],
        results: vec![1, 0, 2],
    }
    .compile()
    .unwrap();
    let mut a: Vec<f32> = (0..1000).map(|i| i as f32).collect();
    let mut b: Vec<f32> = (0..1000).map(|i| -2.0 * i as f32).collect();
    let mut sum = vec![0.0_f32; 1000];
    let want = (b.clone(), a.clone());
    {
        let (ma, mb) = (Mem::write(&mut a), Mem::write(&mut b));
        map::run(&p, &[1000], &[ma, mb], &[ma, mb, Mem::write(&mut sum)], &[], &[]).unwrap();
    }
    assert_eq!((&a, &b), (&want.0, &want.1));
    assert_eq!(sum[10], -10.0);
}

#[test]
fn random_numbers_depend_on_key_and_element_alone() {
    let _lock = lock();
    for dist in [Dist::Uniform, Dist::Normal] {
        let p = Program {
            sources: vec![Source::Random { key: 1, dist }],
            instrs: vec![],
            results: vec![0],
        };
        let n = 300_000;
        let Data::F32(all) = eval(&p, &[n], &[], &[]).unwrap().remove(0) else { panic!() };
        for dims in [vec![3, 100, 7], vec![1], vec![513]] {
            let Data::F32(some) = eval(&p, &dims, &[], &[]).unwrap().remove(0) else { panic!() };
            assert_eq!(some, all[..some.len()]);
        }
        for start in [0, 1, 2, 3, 63, 1021] {
            let mut part = vec![0.0; 777];
            gradus_kernels::philox::fill(KEYS[1], dist, start as u64, &mut part);
            assert_eq!(part, all[start..start + 777]);
        }
        let moment = |k| all.iter().map(|&x| f64::from(x).powi(k)).sum::<f64>() / n as f64;
        let want = match dist {
            Dist::Uniform => [0.5, 1.0 / 3.0, 0.25, 0.2],
            Dist::Normal => [0.0, 1.0, 0.0, 3.0],
        };
        for (k, want) in want.iter().enumerate() {
            assert!((moment(k as i32 + 1) - want).abs() < 0.05, "{dist:?}, moment {}", k + 1);
        }
        if dist == Dist::Uniform {
            assert!(all.iter().all(|x| (0.0..1.0).contains(x)));
        } else {
            // The pairing that the documentation promises.
            let w =
                gradus_kernels::philox::philox4x32([0, 0, KEYS[1].draw, KEYS[1].stream], [7, 0]);
            let unit = |w: u32| f64::from(w >> 8) / 16_777_216.0;
            let angle = 2.0 * std::f64::consts::PI * unit(w[1]);
            let radius = (-2.0 * (unit(w[0]) + 1.0 / 16_777_216.0).ln()).sqrt();
            assert!((f64::from(all[0]) - radius * angle.cos()).abs() < 1e-6);
            assert!((f64::from(all[1]) - radius * angle.sin()).abs() < 1e-6);
        }
    }
}

#[test]
fn columns_that_are_neighbours_are_read_from_any_row_on() {
    // Blocks start and end inside the rows of a plane.
    for dims in [[3, 500, 3], [2, 700, 5], [4, 130, 33], [9, 64, 16]] {
        let [_, rows, inner] = dims;
        let mut strides = [0; MAX_RANK];
        strides[..3].copy_from_slice(&[(rows * inner) as isize, 1, rows as isize]);
        let x = Data::F32((0..dims.iter().product::<usize>()).map(|i| i as f32).collect());
        let source = Source::Operand { operand: 0, ty: Ty::F32, offset: 0, strides };
        let instrs = vec![Instr::Unary(Unary::Abs, 0)];
        let program = Program { sources: vec![source], instrs, results: vec![1] };
        let got = eval(&program, &dims, std::slice::from_ref(&x), &[]).unwrap().remove(0);
        assert!(same(&got, &x.gather(&dims, 0, &strides)), "{dims:?}");
    }
}

#[test]
fn relu_keeps_nan_and_the_sign_of_zero() {
    let _lock = lock();
    let some = [-0.0f32, 0.0, f32::NAN, -1.5, 2.5, f32::NEG_INFINITY, f32::INFINITY];
    let x: Vec<f32> = some.into_iter().cycle().take(41).collect();
    let source = Source::Operand { operand: 0, ty: Ty::F32, offset: 0, strides: contiguous(&[41]) };
    let instrs = vec![Instr::Unary(Unary::Relu, 0)];
    let program = Program { sources: vec![source], instrs, results: vec![1] };
    for isa in [Isa::Generic, Isa::Avx2, Isa::Avx512].into_iter().filter(|i| i.supported()) {
        isa::force(isa);
        let got = eval(&program, &[41], &[Data::F32(x.clone())], &[]).unwrap().remove(0);
        let want = x.iter().map(|&x| if x < 0.0 { 0.0 } else { x }).collect();
        assert!(same(&got, &Data::F32(want)), "{}: {got:?}", isa.name());
    }
    isa::force(isa::best());
}
