//! Speed of convolutions beside a matrix product of this crate in the same process:
//! `cargo bench -p gradus-kernels --bench conv [-- words of the rows to run] [--first] [--bf16]`: channels
//! last, or second with `--first`; operands in f32, or rounded to bf16 with `--bf16`.
//!
//! One thread, whose own time is measured; samples take turns, and medians are shown, because the
//! clock of a shared machine wanders. `share` is the part of the product's speed that a pass reaches.

#![allow(clippy::print_stdout)] // a table on the screen is what this is for

use gradus_kernels::conv::{Epilogue, Geometry, Pass, conv};
use gradus_kernels::gemm::{Activation, Gemm, gemm};
use gradus_kernels::isa;
use gradus_kernels::memory::Mem;
use std::hint::black_box;

/// Name, batch, channels in and out, groups, size of the image, kernel, stride, padding.
type Row = (&'static str, usize, usize, usize, usize, usize, usize, usize, usize);
const ROWS: &[Row] = &[
    ("mnist-1", 64, 1, 32, 1, 28, 3, 1, 0),
    ("mnist-2", 64, 32, 64, 1, 26, 3, 1, 0),
    ("mnist-2b1", 1, 32, 64, 1, 26, 3, 1, 0),
    ("vgg-128", 4, 128, 128, 1, 28, 3, 1, 1),
    ("vgg-256", 4, 256, 256, 1, 14, 3, 1, 1),
    ("lenet-1", 64, 1, 6, 1, 28, 5, 1, 2),
    ("lenet-2", 64, 6, 16, 1, 14, 5, 1, 0),
    ("wide-5", 64, 20, 50, 1, 12, 5, 1, 0),
    ("resnet20-0", 64, 3, 16, 1, 32, 3, 1, 1),
    ("resnet20-1", 64, 16, 16, 1, 32, 3, 1, 1),
    ("resnet20-1s", 64, 16, 32, 1, 32, 3, 2, 1),
    ("resnet20-2", 64, 32, 32, 1, 16, 3, 1, 1),
    ("resnet20-2s", 64, 32, 64, 1, 16, 3, 2, 1),
    ("resnet20-3", 64, 64, 64, 1, 8, 3, 1, 1),
    ("shortcut", 64, 16, 32, 1, 32, 1, 2, 0),
    ("pointwise", 64, 64, 128, 1, 14, 1, 1, 0),
    ("depthwise", 64, 64, 64, 64, 28, 3, 1, 1),
    ("depthwise-s", 64, 64, 64, 64, 28, 3, 2, 1),
    ("resnet18-1", 4, 64, 64, 1, 56, 3, 1, 1),
    ("resnet18-4", 16, 512, 512, 1, 7, 3, 1, 1),
    ("resnet-stem", 4, 3, 64, 1, 224, 7, 2, 3),
];

/// The time that this thread has run: other programs on the machine do not count.
struct Clock(f64);

impl Clock {
    fn now() -> Clock {
        let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the place is ours, and the clock exists on every Linux.
        unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut t) };
        Clock(t.tv_sec as f64 * 1e9 + t.tv_nsec as f64)
    }

    fn nanos(&self) -> f64 {
        Clock::now().0 - self.0
    }
}

/// Numbers that start at a cache line, as memory of the system does.
struct Aligned(Vec<[f32; 16]>, usize);

impl Aligned {
    fn new(len: usize) -> Aligned {
        let mut lines = vec![[0.0; 16]; len.div_ceil(16) + 1];
        for (i, x) in lines.as_flattened_mut().iter_mut().enumerate() {
            *x = ((i * 7919 + 13) % 1009) as f32 / 1009.0 - 0.5;
        }
        let past = lines.as_ptr() as usize % 64 / 4;
        Aligned(lines, (16 - past) % 16)
    }

    fn get(&self) -> &[f32] {
        &self.0.as_flattened()[self.1..]
    }

    fn get_mut(&mut self) -> &mut [f32] {
        &mut self.0.as_flattened_mut()[self.1..]
    }
}

/// GFLOP/s of a product of 512 x 512 matrices.
struct Product(Aligned, Aligned, Aligned);

impl Product {
    fn speed(&mut self) -> f64 {
        let n = 512;
        let start = Clock::now();
        let done = gemm(&Gemm {
            m: n,
            k: n,
            n,
            a: Mem::read(self.0.get()),
            a_strides: [n, 1],
            b: Mem::read(self.1.get()),
            b_strides: [n, 1],
            c: Mem::write(self.2.get_mut()),
            c_stride: n,
            batch: 1,
            a_batch: &[],
            b_batch: &[],
            accumulate: false,
            bias: None,
            activation: Activation::None,
            watch: false,
        });
        black_box(done.is_ok());
        (2 * n * n * n) as f64 / start.nanos()
    }
}

fn median(mut x: Vec<f64>) -> f64 {
    x.sort_by(f64::total_cmp);
    x[x.len() / 2]
}

fn main() {
    gradus_kernels::pool::set_threads(1);
    let first = std::env::args().any(|w| w == "--first");
    let half = std::env::args().any(|w| w == "--bf16");
    let words: Vec<String> = std::env::args().skip(1).filter(|w| !w.starts_with('-')).collect();
    println!("level {}; medians of interleaved samples", isa::active().name());
    println!(
        "{:<12} {:>24} {:<8} {:>10} {:>8} {:>6}",
        "row", "shape", "pass", "us", "GFLOP/s", "share"
    );
    let n = 512 * 512 + 16;
    let mut product = Product(Aligned::new(n), Aligned::new(n), Aligned::new(n));
    for &(name, batch, inputs, outputs, groups, size, kernel, stride, pad) in ROWS {
        let label = format!("{batch}x{inputs}x{size}x{size}->{outputs} k{kernel}s{stride}p{pad}");
        if !words.is_empty() && !words.iter().any(|w| name.contains(w) || label.contains(w)) {
            continue;
        }
        let out = (size + 2 * pad - kernel) / stride + 1;
        let g = Geometry {
            batch,
            groups,
            inputs,
            outputs,
            x: [1, size, size],
            y: [1, out, out],
            kernel: [1, kernel, kernel],
            stride: [1, stride, stride],
            dilation: [1; 3],
            before: [0, pad, pad],
            last: !first,
            bf16: half,
        };
        let nx = batch * inputs * size * size;
        let ny = batch * outputs * out * out;
        let nw = outputs * inputs / groups * kernel * kernel;
        let (mut x, mut w, mut y) =
            (Aligned::new(nx + 16), Aligned::new(nw + 16), Aligned::new(ny + 16));
        let mut run = |pass: Pass, times: usize| {
            let start = Clock::now();
            for _ in 0..times {
                let done = match pass {
                    Pass::Forward => conv(
                        pass,
                        &g,
                        Mem::read(x.get()),
                        Mem::read(w.get()),
                        &Epilogue::default(),
                        Mem::write(y.get_mut()),
                    ),
                    Pass::Input => conv(
                        pass,
                        &g,
                        Mem::read(y.get()),
                        Mem::read(w.get()),
                        &Epilogue::default(),
                        Mem::write(x.get_mut()),
                    ),
                    Pass::Weight => conv(
                        pass,
                        &g,
                        Mem::read(x.get()),
                        Mem::read(y.get()),
                        &Epilogue::default(),
                        Mem::write(w.get_mut()),
                    ),
                };
                black_box(done.is_ok());
            }
            start.nanos() / times as f64
        };
        let flop = 2.0 * g.work() as f64;
        for pass in [Pass::Forward, Pass::Input, Pass::Weight] {
            let once = run(pass, 1).min(run(pass, 1));
            let times = (2e6 / once).ceil() as usize;
            let (mut ours, mut theirs) = (vec![], vec![]);
            for _ in 0..11 {
                ours.push(run(pass, times));
                theirs.push(product.speed());
            }
            let (ns, reference) = (median(ours), median(theirs));
            let speed = flop / ns;
            println!(
                "{name:<12} {label:>24} {:<8} {:>10.0} {speed:>8.1} {:>5.0}%",
                format!("{pass:?}").to_lowercase(),
                ns / 1e3,
                100.0 * speed / reference
            );
        }
    }
}
