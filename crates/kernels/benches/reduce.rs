//! Times of reductions, rows, updates and copies, alone and in two threads:
//! `cargo bench -p gradus-kernels --bench reduce`
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use gradus_kernels::copy::to_contiguous;
use gradus_kernels::index::{Around, index_add, index_select};
use gradus_kernels::memory::{Mem, Storage, Ty};
use gradus_kernels::program::{MAX_RANK, Program, Source};
use gradus_kernels::reduce::{ArgKind, ReduceKind, argreduce, run};
use gradus_kernels::update::{Adam, Rule, Sgd, UpdateTensor, update};
use gradus_kernels::{pool, rows};
use std::hint::black_box;
use std::time::Instant;

/// Best and median time of a call, in us.
fn time(mut f: impl FnMut()) -> (f64, f64) {
    f();
    let start = Instant::now();
    f();
    let once = start.elapsed().as_secs_f64().max(1e-9);
    let calls = ((3e-3 / once) as usize).clamp(1, 200_000);
    let mut samples: Vec<f64> = (0..25)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..calls {
                f();
            }
            start.elapsed().as_secs_f64() * 1e6 / calls as f64
        })
        .collect();
    samples.sort_by(f64::total_cmp);
    (samples[0], samples[12])
}

fn show(name: &str, bytes: usize, mut f: impl FnMut()) {
    let wanted = std::env::args().nth(1).filter(|a| !a.starts_with("--"));
    if wanted.is_some_and(|w| !name.contains(&w)) {
        return;
    }
    pool::set_threads(1);
    let (best, median) = time(&mut f);
    pool::set_threads(2);
    let (best2, median2) = time(&mut f);
    let rate = |us: f64| bytes as f64 / us / 1e3;
    println!(
        "{name:34} {best:10.2} us (median {median:10.2}) {:6.1} GB/s | 2 threads {best2:10.2} ({median2:10.2}) {:6.1} GB/s",
        rate(best),
        rate(best2)
    );
}

fn filled(len: usize) -> Storage {
    let mut s = Storage::zeroed(Ty::F32, len);
    for (i, x) in s.get_mut_slice::<f32>().unwrap().iter_mut().enumerate() {
        *x = ((i * 7919) % 1013) as f32 / 500.0 - 1.0;
    }
    s
}

fn reduce(name: &str, dims: &[usize], axes: u8) {
    let n: usize = dims.iter().product();
    let mut strides = [0isize; MAX_RANK];
    let mut step = 1;
    for (axis, &d) in dims.iter().enumerate().rev() {
        strides[axis] = step;
        step *= d as isize;
    }
    let program = Program {
        sources: vec![Source::Operand { operand: 0, ty: Ty::F32, offset: 0, strides }],
        instrs: vec![],
        results: vec![0],
    };
    let program = program.compile().unwrap();
    let squared = Program {
        sources: vec![Source::Operand { operand: 0, ty: Ty::F32, offset: 0, strides }],
        instrs: vec![gradus_kernels::program::Instr::Unary(
            gradus_kernels::program::Unary::Square,
            0,
        )],
        results: vec![1],
    };
    let squared = squared.compile().unwrap();
    let kept = (0..dims.len()).filter(|a| axes >> a & 1 == 0).map(|a| dims[a]).product();
    let (x, mut out) = (filled(n), filled(kept));
    let (x, out) = (x.read(), out.write().unwrap());
    for (kind, label) in [(ReduceKind::Sum, "sum"), (ReduceKind::Max, "max")] {
        show(&format!("{label} {name}"), n * 4, || {
            run(kind, &program, dims, axes, &[x], black_box(&[out]), &[], &[], 1).unwrap();
        });
    }
    show(&format!("sum of squares {name}"), n * 4, || {
        run(ReduceKind::Sum, &squared, dims, axes, &[x], black_box(&[out]), &[], &[], 1).unwrap();
    });
}

fn row(n: usize, count: usize) {
    let (x, g) = (filled(n * count), filled(n * count));
    let (mut y, mut loss) = (filled(n * count), filled(count));
    let targets: Vec<i64> = (0..count).map(|i| (i % n) as i64).collect();
    let (x, g, y, loss) = (x.read(), g.read(), y.write().unwrap(), loss.write().unwrap());
    let t = Mem::read(&targets);
    let label = format!("{count}x{n}");
    let bytes = n * count * 4;
    show(&format!("softmax {label}"), 2 * bytes, || rows::softmax(x, y, n).unwrap());
    show(&format!("log_softmax {label}"), 2 * bytes, || rows::log_softmax(x, y, n).unwrap());
    show(&format!("softmax_grad {label}"), 3 * bytes, || rows::softmax_grad(x, g, y, n).unwrap());
    show(&format!("ce forward {label}"), bytes, || {
        rows::cross_entropy(x, t, loss, n, None).unwrap();
    });
    let one = [1.0f32];
    show(&format!("ce gradient {label}"), 2 * bytes, || {
        rows::cross_entropy_grad(x, t, Mem::read(&one), y, n, None).unwrap();
    });
    let mut arg = vec![0i64; count];
    let arg = Mem::write(&mut arg);
    show(&format!("argmax {label}"), bytes, || {
        argreduce(ArgKind::ArgMax, x, count, n, 1, arg).unwrap();
    });
}

fn updates(n: usize) {
    let mut s: Vec<Storage> = (0..4).map(|_| filled(n)).collect();
    let g = filled(n);
    let m: Vec<Mem> = s.iter_mut().map(|s| s.write().unwrap()).collect();
    let t = UpdateTensor {
        p_src: m[0],
        p_dst: m[0],
        g: g.read(),
        states: [Some((m[1], m[1])), Some((m[2], m[2])), None],
    };
    let sgd = Sgd {
        lr: 1e-3,
        momentum: 0.9,
        dampening: 0.0,
        weight_decay: 1e-4,
        nesterov: false,
        maximize: false,
        first_step: false,
    };
    let adam = Adam {
        lr: 1e-3,
        beta1: 0.9,
        beta2: 0.999,
        eps: 1e-8,
        weight_decay: 1e-2,
        decoupled: true,
        amsgrad: false,
        maximize: false,
        step: 10,
    };
    show(&format!("sgd momentum {}K", n / 1024), n * 20, || {
        update(&Rule::Sgd(sgd), &[t]).unwrap();
    });
    show(&format!("adamw {}K", n / 1024), n * 28, || update(&Rule::Adam(adam), &[t]).unwrap());
}

fn copies() {
    for (name, dims, strides) in [
        ("transpose 512x512", &[512usize, 512][..], &[1isize, 512][..]),
        ("transpose 4096x1024", &[1024, 4096], &[1, 1024]),
        ("transpose 64x784", &[784, 64], &[1, 784]),
        ("contiguous 1M", &[1 << 20], &[1]),
        ("nchw to nhwc 32x64x28x28", &[32, 28, 28, 64], &[50176, 28, 1, 784]),
        ("heads 8x128x8x32", &[8, 8, 128, 32], &[32768, 32, 256, 1]),
        ("reversed 1M", &[1 << 20], &[-1]),
    ] {
        let n: usize = dims.iter().product();
        let (x, mut y) = (filled(n), filled(n));
        let (x, y) = (x.read(), y.write().unwrap());
        let offset = if strides[0] < 0 { n - 1 } else { 0 };
        show(name, n * 8, || to_contiguous(dims, x, offset, strides, y).unwrap());
    }
}

fn indices() {
    let (v, w, m) = (10_000, 64, 4096);
    let index: Vec<i64> = (0..m).map(|i| (i * 7919 % v) as i64).collect();
    let (mut table, mut out) = (filled(v * w), filled(m * w));
    let around = Around { outer: 1, len: v, inner: w };
    show("index_select 4096 of 10000x64", m * w * 8, || {
        index_select(table.read(), Mem::read(&index), out.write().unwrap(), around).unwrap();
    });
    show("index_add 4096 to 10000x64", m * w * 12, || {
        index_add(table.write().unwrap(), Mem::read(&index), out.read(), around).unwrap();
    });
}

fn main() {
    for n in [64, 4096, 65_536, 1 << 20, 1 << 24] {
        reduce(&format!("all {n}"), &[n], 1);
    }
    reduce("inner 128x10", &[128, 10], 2);
    reduce("inner 128x512", &[128, 512], 2);
    reduce("inner 4096x768", &[4096, 768], 2);
    reduce("outer 128x10", &[128, 10], 1);
    reduce("outer 128x512", &[128, 512], 1);
    reduce("outer 4096x1024", &[4096, 1024], 1);
    reduce("outer 60000x3", &[60_000, 3], 1);
    reduce("nchw stats 32x64x28x28", &[32, 64, 28, 28], 0b1101);
    reduce("nhwc stats 32x28x28x64", &[32, 28, 28, 64], 0b0111);
    for (n, count) in
        [(8, 128), (10, 128), (16, 128), (10, 4096), (100, 128), (1000, 1024), (32_000, 256)]
    {
        row(n, count);
    }
    for n in [1024, 64 << 10, 512 << 10, 4 << 20] {
        updates(n);
    }
    copies();
    indices();
}
