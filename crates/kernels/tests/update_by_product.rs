//! Updates by a gradient that is computed beside them: the bits of the product and then the update.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod support;

use gradus_kernels::gemm::{Activation, Gemm, gemm};
use gradus_kernels::memory::{KernelError, Mem, Storage, Ty};
use gradus_kernels::update::*;
use support::{bits, everywhere, f32s};

const ADAM: Adam = Adam {
    lr: 1e-3,
    beta1: 0.9,
    beta2: 0.999,
    eps: 1e-8,
    weight_decay: 0.0,
    decoupled: false,
    amsgrad: false,
    maximize: false,
    step: 3,
};
const SGD: Sgd = Sgd {
    lr: 0.1,
    momentum: 0.9,
    dampening: 0.0,
    weight_decay: 0.01,
    nesterov: true,
    maximize: false,
    first_step: false,
};

fn storage(values: &[f32]) -> Storage {
    let mut s = Storage::any(Ty::F32, values.len());
    // SAFETY is the kernels': the copy checks sizes.
    gradus_kernels::copy::to_contiguous(
        &[values.len()],
        Mem::read(values),
        0,
        &[1],
        s.write().unwrap(),
    )
    .unwrap();
    s
}

fn values(s: &Storage) -> Vec<u32> {
    let mut out = vec![0f32; s.len()];
    gradus_kernels::copy::to_contiguous(&[s.len()], s.read(), 0, &[1], Mem::write(&mut out))
        .unwrap();
    bits(&out)
}

struct Case {
    p: Storage,
    states: [Storage; 3],
}

fn case(n: usize, seed: u64) -> Case {
    let positive = |seed| f32s(n, seed).iter().map(|x| x * x * 1e-3).collect::<Vec<_>>();
    Case {
        p: storage(&f32s(n, seed)),
        states: [
            storage(&f32s(n, seed + 1)),
            storage(&positive(seed + 2)),
            storage(&positive(seed + 3)),
        ],
    }
}

fn own(states: &mut [Storage; 3], count: usize) -> [Option<&mut Storage>; 3] {
    let mut out = [const { None }; 3];
    for (to, s) in out.iter_mut().zip(states).take(count) {
        *to = Some(s);
    }
    out
}

fn gradient<'a>(size: [usize; 3], a: &'a [f32], b: &'a [f32]) -> Gradient<'a> {
    let [m, k, n] = size;
    // As for a weight: the left operand is turned.
    Gradient { m, k, n, a: Mem::read(a), a_strides: [1, m], b: Mem::read(b), b_strides: [n, 1] }
}

fn plain(g: &Gradient<'_>, c: &mut [f32]) {
    let done = gemm(&Gemm {
        m: g.m,
        k: g.k,
        n: g.n,
        a: g.a,
        a_strides: g.a_strides,
        b: g.b,
        b_strides: g.b_strides,
        c: Mem::write(c),
        c_stride: g.n,
        batch: 1,
        a_batch: &[],
        b_batch: &[],
        accumulate: false,
        bias: None,
        activation: Activation::None,
        watch: true,
    });
    assert_eq!(done, Ok(true));
}

fn rules() -> Vec<Rule> {
    vec![
        Rule::Adam(ADAM),
        Rule::Adam(Adam { weight_decay: 0.1, decoupled: true, ..ADAM }),
        Rule::Adam(Adam { weight_decay: 0.1, ..ADAM }),
        Rule::Adam(Adam { amsgrad: true, ..ADAM }),
        Rule::Adam(Adam { maximize: true, ..ADAM }),
        Rule::Adam(Adam { beta1: 0.3, ..ADAM }),
        Rule::Sgd(SGD),
        Rule::Sgd(Sgd { momentum: 0.0, nesterov: false, ..SGD }),
    ]
}

#[test]
fn an_update_by_a_product_has_the_bits_of_the_product_and_the_update() {
    let sizes = [[64, 32, 32], [65, 33, 47], [512, 128, 97], [71, 512, 160], [300, 100, 784]];
    everywhere(|| {
        for rule in rules() {
            for (i, size) in sizes.into_iter().enumerate() {
                let [m, k, n] = size;
                // Small values too, so that there are subnormals on the way.
                let scale = if i == 1 { 1e-20 } else { 1.0 };
                let a: Vec<f32> = f32s(m * k, 7).iter().map(|x| x * scale).collect();
                let b: Vec<f32> = f32s(k * n, 8).iter().map(|x| x * scale).collect();
                let g = gradient(size, &a, &b);
                let ready = Ready::new(&rule, Ty::F32);
                assert!(gradus_kernels::gemm::takes(m, k, n), "{size:?}");
                let (mut want, mut have) = (case(m * n, 20), case(m * n, 20));
                let mut c = vec![0.0; m * n];
                plain(&g, &mut c);
                let count = rule.states();
                ready.in_place(&mut want.p, own(&mut want.states, count), Mem::read(&c)).unwrap();
                ready.by_product(&mut have.p, own(&mut have.states, count), &g).unwrap();
                assert_eq!(values(&have.p), values(&want.p), "{rule:?} {size:?}");
                for (have, want) in have.states.iter().zip(&want.states) {
                    assert_eq!(values(have), values(want), "state of {rule:?} {size:?}");
                }
            }
        }
    });
}

#[test]
fn what_does_not_fit_is_refused_and_nothing_written() {
    let _alone = support::alone();
    let rule = Rule::Adam(ADAM);
    let ready = Ready::new(&rule, Ty::F32);
    let (m, k, n) = (64, 32, 64);
    let (a, b) = (f32s(m * k, 1), f32s(k * n, 2));
    let g = gradient([m, k, n], &a, &b);
    let mut case = case(m * n, 3);
    let before = values(&case.p);
    let refused = ready.by_product(&mut case.p, own(&mut case.states, 1), &g);
    assert!(matches!(refused, Err(KernelError::Bounds(_))));
    let other = Gradient { n: 32, ..g };
    let refused = ready.by_product(&mut case.p, own(&mut case.states, 2), &other);
    assert!(matches!(refused, Err(KernelError::Bounds(_))));
    let short = Gradient { a: Mem::read(&a[1..]), ..g };
    let refused = ready.by_product(&mut case.p, own(&mut case.states, 2), &short);
    assert!(matches!(refused, Err(KernelError::Bounds(_))));
    let held = case.p.clone();
    let refused = ready.by_product(&mut case.p, own(&mut case.states, 2), &g);
    assert!(matches!(refused, Err(KernelError::Overlap(_))));
    drop(held);
    assert_eq!(values(&case.p), before);
    assert!(!ready.takes(4, 128, 512) && !ready.takes(512, 1000, 512));
    let best = gradus_kernels::isa::best() == gradus_kernels::isa::Isa::Avx512;
    assert_eq!(ready.takes(512, 128, 512), best);
    let pointwise = Rule::Pointwise(Pointwise::Lion, [0.5; NUMBERS]);
    assert!(!Ready::new(&pointwise, Ty::F32).takes(512, 128, 512));
    assert!(!Ready::new(&rule, Ty::F64).takes(512, 128, 512));
}

#[test]
#[ignore = "a measurement"]
fn speed() {
    gradus_kernels::pool::set_threads(1);
    for (size, rule) in [
        ([512, 128, 784], Rule::Adam(ADAM)),
        ([256, 128, 512], Rule::Adam(ADAM)),
        ([512, 128, 784], Rule::Sgd(SGD)),
    ] {
        let [m, k, n] = size;
        let (a, b) = (f32s(m * k, 7), f32s(k * n, 8));
        let g = gradient(size, &a, &b);
        let ready = Ready::new(&rule, Ty::F32);
        let count = rule.states();
        let mut case = case(m * n, 20);
        let mut c = vec![0.0; m * n];
        let mut evict = vec![0f32; 300_000];
        let mut best = [f64::MAX; 3];
        for _ in 0..400 {
            let mut evicted = || evict.iter_mut().for_each(|x| *x += 1.0);
            evicted();
            let t = std::time::Instant::now();
            plain(&g, &mut c);
            best[0] = best[0].min(t.elapsed().as_secs_f64() * 1e6);
            evicted();
            let t = std::time::Instant::now();
            ready.in_place(&mut case.p, own(&mut case.states, count), Mem::read(&c)).unwrap();
            best[1] = best[1].min(t.elapsed().as_secs_f64() * 1e6);
            evicted();
            let t = std::time::Instant::now();
            ready.by_product(&mut case.p, own(&mut case.states, count), &g).unwrap();
            best[2] = best[2].min(t.elapsed().as_secs_f64() * 1e6);
        }
        let flops = 2e-3 * (m * k * n) as f64;
        println!(
            "{size:?}: product {:.1} us ({:.0} GFLOP/s), update {:.1}, together {:.1}, beside {:.1}",
            best[0],
            flops / best[0],
            best[1],
            best[0] + best[1],
            best[2]
        );
    }
}
