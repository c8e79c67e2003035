//! Times of pooling beside a copy of its input: `cargo bench -p gradus-kernels --bench window`
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use gradus_kernels::memory::{Mem, Storage, Ty};
use gradus_kernels::window::{Axis, Divisor, Pooling, Windows, pooling};
use gradus_kernels::{copy, pool};
use std::hint::black_box;
use std::time::Instant;

/// Median time of a call, in us.
fn time(mut f: impl FnMut()) -> f64 {
    f();
    let mut samples: Vec<f64> = (0..31)
        .map(|_| {
            let start = Instant::now();
            f();
            start.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    samples.sort_by(f64::total_cmp);
    samples[15]
}

fn filled(len: usize) -> Storage {
    let mut s = Storage::zeroed(Ty::F32, len);
    for (i, x) in s.get_mut_slice::<f32>().unwrap().iter_mut().enumerate() {
        *x = ((i * 7919) % 1013) as f32 / 500.0 - 1.0;
    }
    s
}

fn case(name: &str, planes: usize, size: usize, [kernel, stride, padding]: [u16; 3]) {
    let windows = Windows { kernel, stride, padding, dilation: 1 };
    let out = (size + 2 * usize::from(padding) - usize::from(kernel)) / usize::from(stride) + 1;
    let one = Axis { size: 1, out: 1, windows: Windows::NONE };
    let axis = Axis { size, out, windows };
    let axes = [one, axis, axis];
    let (whole, short) = (planes * size * size, planes * out * out);
    let (x, g) = (filled(whole), filled(short));
    let (mut large, mut small) = (filled(whole), filled(short));
    let mut at = Storage::zeroed(Ty::I64, short);
    let copied = time(|| {
        let to = black_box(&mut large).write().unwrap();
        copy::to_contiguous(&[whole], x.read(), 0, &[1], to).unwrap();
    });
    print!("{name:28} copy {copied:8.0} us");
    let show = |what: &str, kind: Pooling, operands: &[Mem<'_>], to: &mut Storage| {
        let us = time(|| {
            let to = black_box(&mut *to).write().unwrap();
            pooling(kind, axes, planes, operands, to).unwrap();
        });
        print!(" | {what} {:5.2}", us / copied);
    };
    show("max", Pooling::Max, &[x.read()], &mut small);
    show("its gradient", Pooling::MaxPlace, &[x.read(), g.read()], &mut large);
    show("positions", Pooling::MaxAt, &[x.read()], &mut at);
    show("mean", Pooling::Mean(Divisor::Padded), &[x.read()], &mut small);
    show("its gradient", Pooling::Spread(Divisor::Padded), &[g.read()], &mut large);
    println!();
}

fn main() {
    for threads in [1, 2] {
        pool::set_threads(threads);
        println!("{threads} threads, times as multiples of a copy of the input");
        case("2x2 on [64, 32, 28, 28]", 64 * 32, 28, [2, 2, 0]);
        case("3x3 / 2 on [8, 64, 112, 112]", 8 * 64, 112, [3, 2, 1]);
        case("3x3 / 1 on [32, 64, 28, 28]", 32 * 64, 28, [3, 1, 1]);
        case("7x7 on [32, 512, 7, 7]", 32 * 512, 7, [7, 7, 0]);
        case("2x2 on [64, 32, 7, 7]", 64 * 32, 7, [2, 2, 0]);
    }
}
