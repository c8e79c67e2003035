//! Block evaluation, which cannot be seen from outside the crate.

use super::{BLOCK, BlockEval, Compiled, run};
use crate::memory::{Element, KernelError, Mem, Truth, Ty};
use crate::program::{Binary, Dist, Instr, MAX_RANK, Program, RandomKey, Source, Unary};

impl BlockEval<'_> {
    /// Result 0 of a range.
    fn get<T: Element>(&mut self, start: usize, len: usize) -> &[T] {
        self.evaluate(start, len);
        self.result(0)
    }
}

fn operand(operand: u16, ty: Ty, s: &[isize]) -> Source {
    let mut strides = [0; MAX_RANK];
    strides[..s.len()].copy_from_slice(s);
    Source::Operand { operand, ty, offset: 0, strides }
}

const KEYS: [RandomKey; 1] = [RandomKey { seed: 5, stream: 6, draw: 7 }];

/// Contiguous, bias, transposed, random and index sources in one program.
fn mixed() -> Compiled {
    let p = Program {
        sources: vec![
            operand(0, Ty::F32, &[70, 7, 1]),
            operand(1, Ty::F32, &[0, 0, 1]),
            operand(2, Ty::F32, &[1, 60, 420]),
            Source::Random { key: 0, dist: Dist::Normal },
            Source::Index { axis: 1 },
        ],
        instrs: vec![
            Instr::Binary(Binary::Add, 0, 1),
            Instr::Binary(Binary::Mul, 5, 2),
            Instr::Binary(Binary::Add, 6, 3),
            Instr::Cast(Ty::F32, 4),
            Instr::Binary(Binary::Sub, 7, 8),
            Instr::Unary(Unary::Tanh, 9),
        ],
        results: vec![10],
    };
    p.compile().unwrap()
}

#[test]
fn any_range_of_blocks_gives_the_bits_of_a_whole_run() {
    let c = mixed();
    let dims = [60, 10, 7];
    let x: Vec<f32> = (0..4200).map(|i| (i % 97) as f32 * 0.01).collect();
    let mut want = vec![0.0_f32; 4200];
    let operands = [Mem::read(&x), Mem::read(&x), Mem::read(&x)];
    run(&c, &dims, &operands, &[Mem::write(&mut want)], &[], &KEYS).unwrap();
    let mut eval = BlockEval::new(&c, &dims, &operands, &[], &KEYS).unwrap();
    let mut seed = 1_usize;
    for k in 0..500 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let start = (seed >> 33) % 4200;
        let len = ((seed >> 50) % (BLOCK + 1)).min(4200 - start);
        assert_eq!(eval.get::<f32>(start, len), &want[start..start + len], "case {k}");
        assert!(eval.get::<i64>(start, len).is_empty() && eval.get::<Truth>(start, len).is_empty());
    }
    assert!(eval.get::<f32>(4200, 1).is_empty() && eval.get::<f32>(0, BLOCK + 1).is_empty());
    assert!(eval.get::<f32>(usize::MAX, 2).is_empty());
    assert_eq!(eval.error(), None);
}

#[test]
fn a_plain_operand_is_read_where_it_lies_and_a_scalar_is_spread() {
    let x: Vec<f32> = (0..1000).map(|i| i as f32).collect();
    let p = Program { sources: vec![operand(0, Ty::F32, &[1])], instrs: vec![], results: vec![0] };
    let c = p.compile().unwrap();
    let operands = [Mem::read(&x)];
    let mut eval = BlockEval::new(&c, &[1000], &operands, &[], &[]).unwrap();
    assert_eq!(eval.get::<f32>(500, 100).as_ptr(), x[500..].as_ptr());
    let p = Program {
        sources: vec![Source::Slot { slot: 0, ty: Ty::I64 }],
        instrs: vec![],
        results: vec![0],
    };
    let c = p.compile().unwrap();
    let mut eval = BlockEval::new(&c, &[1000], &[], &[3.0], &[]).unwrap();
    assert_eq!(eval.get::<i64>(7, BLOCK), [3; BLOCK]);
}

#[test]
fn a_division_by_zero_is_remembered() {
    let (a, b) = ([1_i64; 600], [2_i64, 0].repeat(300));
    let p = Program {
        sources: vec![operand(0, Ty::I64, &[1]), operand(1, Ty::I64, &[1])],
        instrs: vec![Instr::Binary(Binary::Remainder, 0, 1)],
        results: vec![2],
    };
    let c = p.compile().unwrap();
    let operands = [Mem::read(&a), Mem::read(&b)];
    let mut eval = BlockEval::new(&c, &[600], &operands, &[], &[]).unwrap();
    assert_eq!(eval.get::<i64>(512, 88)[..2], [1, 0]);
    assert_eq!(eval.error(), Some(KernelError::DivisionByZero { position: 513 }));
    eval.get::<i64>(0, 512);
    assert_eq!(eval.error(), Some(KernelError::DivisionByZero { position: 1 }));
}

#[test]
fn evaluators_can_be_nested() {
    let c = mixed();
    let x = vec![0.25_f32; 4200];
    let operands = [Mem::read(&x), Mem::read(&x), Mem::read(&x)];
    let mut a = BlockEval::new(&c, &[60, 10, 7], &operands, &[], &KEYS).unwrap();
    let first = a.get::<f32>(0, 100).to_vec();
    let mut b = BlockEval::new(&c, &[60, 10, 7], &operands, &[], &KEYS).unwrap();
    let second = b.get::<f32>(100, 100).to_vec();
    assert_eq!(a.get::<f32>(100, 100), second);
    drop(a);
    assert_eq!(b.get::<f32>(0, 100), first);
}
