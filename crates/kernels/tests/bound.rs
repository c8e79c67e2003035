//! Bound steps against the ordinary kernels, bit by bit, and what is refused.
#![allow(clippy::unwrap_used, clippy::panic, clippy::unreachable)]

#[allow(dead_code)]
mod map_naive;
mod support;

use gradus_kernels::bound::{Bound, BoundGemm, Home, Place};
use gradus_kernels::copy::to_contiguous;
use gradus_kernels::gemm::{Activation, Gemm, gemm};
use gradus_kernels::isa::{self, Isa};
use gradus_kernels::map;
use gradus_kernels::memory::{Arena, KernelError, Mem, Storage, Ty};
use gradus_kernels::program::{Binary, Instr, Program, Source, Unary};
use gradus_kernels::reduce::{self, ReduceKind};
use gradus_kernels::update::{Adam, Ready, Rule, Sgd, UpdateTensor, update};
use map_naive::{Data, Rng, random_program, same};
use support::{alone, bits, f32s, plain, strides};

/// An arena in which places are given out one after the other.
struct Room {
    arena: Arena,
    end: usize,
}

impl Room {
    fn new() -> Room {
        let mut arena = Arena::new();
        assert!(arena.reserve(4 << 20));
        Room { arena, end: 0 }
    }

    fn take(&mut self, ty: Ty, len: usize) -> Place {
        let start = self.end;
        self.end += (len * ty.size()).next_multiple_of(64) + 64;
        Place { home: Home::Arena, start, len, ty }
    }

    fn mem(&self, p: &Place) -> Mem<'_> {
        self.arena.mem(p.start, p.ty, p.len).unwrap()
    }

    fn put(&mut self, from: Mem<'_>) -> Place {
        let place = self.take(from.ty(), from.len());
        to_contiguous(&[from.len()], from, 0, &[1], self.mem(&place)).unwrap();
        place
    }

    fn floats(&self, p: &Place) -> Vec<f32> {
        self.mem(p).to_vec().unwrap()
    }
}

fn leaf(i: u32, x: Mem<'_>) -> Place {
    Place { home: Home::Leaf(i), start: 0, len: x.len(), ty: x.ty() }
}

#[test]
fn maps_give_the_bits_of_the_interpreter() {
    let _alone = alone();
    let mut bound_ones = 0;
    for seed in 1..800 {
        let case = random_program(&mut Rng(seed));
        let Ok(program) = case.program.compile() else { continue };
        let n: usize = case.dims.iter().product();
        let mut outs: Vec<Data> =
            (0..program.results()).map(|i| Data::new(program.result_ty(i).unwrap(), n)).collect();
        let operands: Vec<Mem<'_>> = case.operands.iter().map(Data::read).collect();
        {
            let outs: Vec<Mem<'_>> = outs.iter_mut().map(Data::write).collect();
            let keys = [Default::default(); 2];
            map::run(&program, &case.dims, &operands, &outs, &case.slots, &keys).unwrap();
        }
        // Some operands are leaves, some lie in the arena.
        let mut room = Room::new();
        let places: Vec<Place> = operands
            .iter()
            .enumerate()
            .map(|(i, m)| if i % 2 == 0 { leaf(i as u32, *m) } else { room.put(*m) })
            .collect();
        let results: Vec<Place> = outs.iter().map(|o| room.take(o.ty(), n)).collect();
        let mut bound = Bound::new(room.end);
        if !bound.map(&program, &case.dims, &places, &results) {
            continue;
        }
        bound_ones += 1;
        let running = bound.start(&room.arena, operands.iter().copied(), &case.slots).unwrap();
        // Twice: a run leaves nothing behind that the next one sees.
        for _ in 0..2 {
            assert_eq!(running.step(0), Some(true));
            for (want, place) in outs.iter().zip(&results) {
                let m = room.mem(place);
                let got = match want {
                    Data::F32(_) => Data::F32(m.to_vec().unwrap()),
                    Data::I64(_) => Data::I64(m.to_vec().unwrap()),
                    Data::Bool(_) => Data::Bool(
                        m.to_vec::<gradus_kernels::memory::Truth>()
                            .unwrap()
                            .iter()
                            .map(|t| t.0)
                            .collect(),
                    ),
                };
                assert!(same(&got, want), "seed {seed}: {got:?} {want:?} {:?}", case.program);
            }
        }
    }
    assert!(bound_ones > 200, "{bound_ones}");
}

/// `tanh(x) * x + x`.
fn twice_read(dims: &[usize]) -> Program {
    let source = Source::Operand { operand: 0, ty: Ty::F32, offset: 0, strides: strides(dims) };
    Program {
        sources: vec![source],
        instrs: vec![
            Instr::Unary(Unary::Tanh, 0),
            Instr::Binary(Binary::Mul, 1, 0),
            Instr::Binary(Binary::Add, 2, 0),
        ],
        results: vec![3],
    }
}

#[test]
fn a_map_may_write_over_its_operand() {
    let _alone = alone();
    for n in [1, 4, 32, 100, 512, 513, 2000] {
        let program = twice_read(&[n]).compile().unwrap();
        let x = f32s(n, 3);
        let want =
            support::output(n, |out| map::run(&program, &[n], &[Mem::read(&x)], &[out], &[], &[]))
                .unwrap();
        let mut room = Room::new();
        let place = room.put(Mem::read(&x));
        let mut bound = Bound::new(room.end);
        assert!(bound.map(&program, &[n], &[place], &[place]));
        let running = bound.start(&room.arena, std::iter::empty(), &[]).unwrap();
        assert_eq!(running.step(0), Some(true));
        assert_eq!(bits(&room.floats(&place)), bits(&want));
    }
}

#[test]
fn a_scalar_may_be_replaced() {
    let _alone = alone();
    let program = twice_read(&[]).compile().unwrap();
    let mut room = Room::new();
    let place = room.put(Mem::read(&[0.5f32]));
    let mut bound = Bound::new(room.end);
    assert!(bound.map(&program, &[], &[place], &[place]));
    let running = bound.start(&room.arena, std::iter::empty(), &[]).unwrap();
    assert_eq!(running.step(0), Some(true));
    let want = support::output(1, |out| {
        map::run(&program, &[], &[Mem::read(&[0.5f32])], &[out], &[], &[])
    });
    assert_eq!(room.floats(&place), want.unwrap());
}

#[test]
fn reductions_give_the_same_bits() {
    let _alone = alone();
    let kinds = [ReduceKind::Sum, ReduceKind::Max, ReduceKind::Min, ReduceKind::Prod];
    let mut bound_ones = 0;
    let shapes: [(&[usize], u8); 22] = [
        (&[4, 8], 1),
        (&[4, 8], 2),
        (&[4, 8], 3),
        (&[4, 1], 3),
        (&[4, 1], 1),
        (&[1], 1),
        (&[1, 5], 1),
        (&[], 0),
        (&[7, 3], 0),
        (&[17, 5], 1),
        (&[32, 64], 1),
        (&[32, 64], 2),
        (&[33, 40], 1),
        (&[100, 200], 1),
        (&[3, 300], 1),
        (&[2, 3, 4], 0b101),
        (&[2, 3, 4], 0b110),
        (&[2, 3, 4], 0b011),
        (&[2, 3, 4], 0b010),
        (&[500], 1),
        (&[5000], 1),
        (&[4096, 2], 1),
    ];
    for (dims, axes) in shapes {
        let n: usize = dims.iter().product();
        let kept: usize = (0..dims.len()).filter(|a| axes >> a & 1 == 0).map(|a| dims[a]).product();
        let mut x = f32s(n, n as u64 + 1);
        x[0] = -0.0;
        x[n / 2] = -0.0;
        for (kind, program) in
            kinds.iter().flat_map(|k| [(k, plain(Ty::F32, strides(dims))), (k, twice_read(dims))])
        {
            let program = program.compile().unwrap();
            for bad in [None, Some(f32::NAN), Some(f32::INFINITY)] {
                let mut x = x.clone();
                if let Some(bad) = bad {
                    x[n - 1] = bad;
                }
                let mut want = vec![0f32; kept];
                let finite = reduce::run(
                    *kind,
                    &program,
                    dims,
                    axes,
                    &[Mem::read(&x)],
                    &[Mem::write(&mut want)],
                    &[],
                    &[],
                    1,
                )
                .unwrap();
                let mut room = Room::new();
                let (from, to) = (room.put(Mem::read(&x)), room.take(Ty::F32, kept));
                let mut bound = Bound::new(room.end);
                if !bound.reduce(*kind, &program, dims, axes, &[from], &[to], 1) {
                    continue;
                }
                bound_ones += 1;
                let running = bound.start(&room.arena, std::iter::empty(), &[]).unwrap();
                assert_eq!(running.step(0), Some(finite), "{kind:?} {dims:?} {axes:b} {bad:?}");
                let got = room.floats(&to);
                assert_eq!(bits(&got), bits(&want), "{kind:?} {dims:?} {axes:b} {bad:?}");
            }
        }
    }
    assert!(bound_ones > 200, "{bound_ones}");
}

#[test]
fn two_sums_in_one_pass_give_the_same_bits() {
    let _alone = alone();
    let dims = [6, 20];
    let mut program = twice_read(&dims);
    program.results = vec![1, 3];
    let program = program.compile().unwrap();
    let x = f32s(120, 9);
    for axes in [1, 2, 3] {
        let kept = [20, 6, 1][axes as usize - 1];
        let (mut a, mut b) = (vec![0f32; kept], vec![0f32; kept]);
        let outs = [Mem::write(&mut a), Mem::write(&mut b)];
        let kind = ReduceKind::Sum;
        reduce::run(kind, &program, &dims, axes, &[Mem::read(&x)], &outs, &[], &[], 0).unwrap();
        let mut room = Room::new();
        let to = [room.take(Ty::F32, kept), room.take(Ty::F32, kept)];
        let mut bound = Bound::new(room.end);
        assert!(bound.reduce(kind, &program, &dims, axes, &[leaf(0, Mem::read(&x))], &to, 0));
        let running = bound.start(&room.arena, [Mem::read(&x)].into_iter(), &[]).unwrap();
        assert_eq!(running.step(0), Some(true));
        assert_eq!(bits(&room.floats(&to[0])), bits(&a));
        assert_eq!(bits(&room.floats(&to[1])), bits(&b));
    }
}

#[test]
fn products_give_the_same_bits() {
    let _alone = alone();
    let mut bound_ones = 0;
    let sizes = [1, 2, 3, 4, 7, 8, 16, 17];
    for (i, m) in sizes.into_iter().enumerate() {
        for k in [0, 1, 2, 5, 8, 33] {
            for n in [1, 2, 3, 8, 9, 16, 30, 48] {
                let turned = (m + k + n + i) % 4;
                let (a, b) = (f32s(m * k, 1), f32s(k * n, 2));
                let mut bias = f32s(n, 3);
                if m == 4 {
                    bias[n - 1] = f32::INFINITY;
                }
                let a_strides = if turned & 1 == 0 { [k, 1] } else { [1, m] };
                let b_strides = if turned & 2 == 0 { [n, 1] } else { [1, k] };
                let with_bias = (m + n) % 2 == 0;
                let activation = if n % 2 == 0 { Activation::Relu } else { Activation::None };
                let mut c = vec![0f32; m * n];
                let finite = gemm(&Gemm {
                    m,
                    k,
                    n,
                    a: Mem::read(&a),
                    a_strides,
                    b: Mem::read(&b),
                    b_strides,
                    c: Mem::write(&mut c),
                    c_stride: n,
                    batch: 1,
                    a_batch: &[],
                    b_batch: &[],
                    accumulate: false,
                    bias: with_bias.then(|| Mem::read(&bias)),
                    activation,
                    watch: true,
                })
                .unwrap();
                let mut room = Room::new();
                let own = room.put(Mem::read(&a));
                let to = room.take(Ty::F32, m * n);
                let mut bound = Bound::new(room.end);
                let product = BoundGemm {
                    m,
                    k,
                    n,
                    a: own,
                    a_strides,
                    b: leaf(0, Mem::read(&b)),
                    b_strides,
                    c: to,
                    bias: with_bias.then(|| leaf(1, Mem::read(&bias))),
                    activation,
                    watch: true,
                };
                if !bound.gemm(&product) {
                    continue;
                }
                bound_ones += 1;
                let leaves = [Mem::read(&b), Mem::read(&bias)];
                let running = bound.start(&room.arena, leaves.into_iter(), &[]).unwrap();
                assert_eq!(running.step(0), Some(finite), "{m} {k} {n}");
                assert_eq!(bits(&room.floats(&to)), bits(&c), "{m} {k} {n} {turned}");
            }
        }
    }
    assert!(bound_ones > 100, "{bound_ones}");
}

#[test]
fn a_watch_sees_what_is_not_finite() {
    let _alone = alone();
    for n in [1, 7, 16, 100] {
        let mut room = Room::new();
        let place = room.put(Mem::read(&vec![f32::MAX; n]));
        let mut bound = Bound::new(room.end);
        assert!(!bound.skip() && bound.watch(&place));
        let finite = |room: &Room| {
            let running = bound.start(&room.arena, std::iter::empty(), &[]).unwrap();
            assert_eq!((running.step(0), running.step(2)), (None, None));
            running.step(1).unwrap()
        };
        assert!(finite(&room));
        let last = Place { start: place.start + 4 * (n - 1) / 64 * 64, len: 1, ..place };
        to_contiguous(&[1], Mem::read(&[f32::NAN]), 0, &[1], room.mem(&last)).unwrap();
        assert!(!finite(&room));
    }
}

#[test]
fn what_does_not_fit_is_not_bound() {
    let _alone = alone();
    let program = twice_read(&[8]).compile().unwrap();
    let place = |start, len| Place { home: Home::Arena, start, len, ty: Ty::F32 };
    let refused = |from: Place, to: Place| !Bound::new(1024).map(&program, &[8], &[from], &[to]);
    assert!(!refused(place(0, 8), place(64, 8)) && !refused(place(0, 8), place(0, 8)));
    assert!(refused(place(0, 8), place(16, 8)), "overlaps");
    assert!(refused(place(0, 7), place(64, 8)), "short operand");
    assert!(refused(place(0, 8), place(64, 7)), "short output");
    assert!(refused(place(0, 8), place(1000, 8)), "behind the arena");
    assert!(refused(place(2, 8), place(64, 8)), "not aligned");
    assert!(refused(place(0, 8), place(usize::MAX - 3, 8)), "too far");
    assert!(refused(place(0, 8), Place { home: Home::Leaf(0), ..place(0, 8) }), "a leaf is read");
    assert!(refused(place(0, 8), Place { ty: Ty::I32, ..place(64, 8) }), "another type");
    assert!(refused(Place { ty: Ty::I32, ..place(0, 8) }, place(64, 8)), "another type");
    assert!(refused(Place { home: Home::Leaf(1000), ..place(0, 8) }, place(64, 8)), "too many");
    let sum = plain(Ty::F32, strides(&[8])).compile().unwrap();
    let reduced = |from: Place, to: Place| {
        Bound::new(1024).reduce(ReduceKind::Sum, &sum, &[8], 1, &[from], &[to], 0)
    };
    assert!(reduced(place(0, 8), place(64, 1)) && !reduced(place(0, 8), place(0, 1)));
    assert!(!reduced(place(0, 7), place(64, 1)) && !reduced(place(0, 8), place(64, 2)));
    let product = |a: Place, c: Place| {
        let b = place(512, 4);
        let (bias, activation) = (None, Activation::None);
        Bound::new(1024).gemm(&BoundGemm {
            m: 2,
            k: 2,
            n: 2,
            a,
            a_strides: [2, 1],
            b,
            b_strides: [2, 1],
            c,
            bias,
            activation,
            watch: false,
        })
    };
    assert!(product(place(0, 4), place(64, 4)) && !product(place(0, 4), place(8, 4)));
    assert!(!product(place(0, 3), place(64, 4)) && !product(place(0, 4), place(64, 3)));
    assert!(!product(place(0, 4), place(512, 4)));
}

/// Their bits are those of another kernel.
#[test]
fn products_that_are_summed_over_lanes_are_refused() {
    let _alone = alone();
    let place = |start, len| Place { home: Home::Arena, start, len, ty: Ty::F32 };
    let product = |m, k, n| {
        Bound::new(1 << 20).gemm(&BoundGemm {
            m,
            k,
            n,
            a: place(0, m * k),
            a_strides: [k, 1],
            b: place(1 << 18, k * n),
            b_strides: [n, 1],
            c: place(1 << 19, m * n),
            bias: None,
            activation: Activation::None,
            watch: false,
        })
    };
    assert!(product(1, 255, 16) && product(4, 511, 16));
    assert!(!product(1, 512, 32) && !product(2, 512, 32));
}

#[test]
fn memory_that_does_not_fit_does_not_start() {
    let _alone = alone();
    let program = twice_read(&[8]).compile().unwrap();
    let mut room = Room::new();
    let to = room.take(Ty::F32, 8);
    let x = f32s(8, 1);
    let mut bound = Bound::new(room.end);
    assert!(bound.map(&program, &[8], &[leaf(0, Mem::read(&x))], &[to]));
    let starts =
        |arena: &Arena, leaf: Mem<'_>| bound.start(arena, [leaf].into_iter(), &[]).is_some();
    assert!(starts(&room.arena, Mem::read(&x)));
    assert!(!starts(&room.arena, Mem::read(&x[..7])), "short");
    assert!(!starts(&room.arena, Mem::read(&[0i32; 8])), "another type");
    assert!(!starts(&Arena::new(), Mem::read(&x)), "no arena");
    assert!(!starts(&room.arena, room.arena.mem(1024, Ty::F32, 8).unwrap()), "in the arena");
    assert!(bound.start(&room.arena, std::iter::empty(), &[]).is_none(), "no leaf");
    if isa::best() > Isa::Generic {
        isa::force(Isa::Generic);
        assert!(!starts(&room.arena, Mem::read(&x)), "another level");
        isa::force(isa::best());
    }
    // A number of the run is missing.
    let source = Source::Slot { slot: 3, ty: Ty::F32 };
    let number = Program { sources: vec![source], instrs: vec![], results: vec![0] };
    let mut bound = Bound::new(room.end);
    assert!(bound.map(&number.compile().unwrap(), &[8], &[], &[to]));
    assert!(bound.start(&room.arena, std::iter::empty(), &[1.0; 3]).is_none());
    let running = bound.start(&room.arena, std::iter::empty(), &[1.5; 4]).unwrap();
    assert_eq!(running.step(0), Some(true));
    assert_eq!(room.floats(&to), [1.5; 8]);
}

#[test]
fn updates_in_place_give_the_same_bits() {
    let _alone = alone();
    let sgd = Sgd {
        lr: 0.1,
        momentum: 0.9,
        dampening: 0.1,
        weight_decay: 0.01,
        nesterov: false,
        maximize: false,
        first_step: false,
    };
    let adam = Adam {
        lr: 0.1,
        beta1: 0.9,
        beta2: 0.99,
        eps: 1e-8,
        weight_decay: 0.01,
        decoupled: true,
        amsgrad: true,
        maximize: false,
        step: 3,
    };
    let rules = [
        Rule::Sgd(sgd),
        Rule::Sgd(Sgd { momentum: 0.0, weight_decay: 0.0, ..sgd }),
        Rule::Adam(adam),
        Rule::Adam(Adam { amsgrad: false, ..adam }),
    ];
    for rule in rules {
        for n in [0, 1, 2, 8, 15, 16, 17, 33, 20_000] {
            let new = |seed| f32s(n, seed).iter().map(|x| x.abs()).collect::<Vec<_>>();
            let mut all = [1, 2, 3, 4].map(new);
            let g = f32s(n, 5);
            let mut owned = all.clone().map(|v| Storage::from_slice(&v));
            {
                let mut windows = all.iter_mut().map(|v| {
                    let m = Mem::write(v);
                    (m, m)
                });
                let (p_src, p_dst) = windows.next().unwrap();
                let states: Vec<_> = windows.map(Some).take(rule.states()).collect();
                let states = std::array::from_fn(|i| states.get(i).copied().flatten());
                let one = UpdateTensor { p_src, p_dst, g: Mem::read(&g), states };
                update(&rule, &[one]).unwrap();
            }
            let ready = Ready::new(&rule, Ty::F32);
            let [p, a, b, c] = &mut owned;
            ready.in_place(p, [Some(a), Some(b), Some(c)], Mem::read(&g)).unwrap();
            for (want, got) in all.iter().zip(&owned) {
                assert_eq!(bits(got.as_slice().unwrap()), bits(want), "{rule:?} {n}");
            }
            let [p, a, ..] = &mut owned;
            if n > 0 {
                let held = p.clone();
                let shared = ready.in_place(p, [None, None, None], Mem::read(&g));
                assert!(shared.is_err() && held.as_slice::<f32>() == p.as_slice());
                drop(held);
                let short = ready.in_place(p, [Some(a), None, None], Mem::read(&g[1..]));
                assert!(matches!(short, Err(KernelError::Bounds(_))));
            }
        }
    }
}
