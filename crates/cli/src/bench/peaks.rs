//! `gradus bench --peaks`: what this machine can do at most, to compare speeds with.

use std::io::{self, Write};
use std::time::Duration;

use gradus::{Error, Result, Rng, Tensor, peak, profile};

use super::measure::round;
use crate::args::BenchArgs;
use crate::fail::Outcome;
use crate::json::Line;
use crate::text::{self, Table};

/// How long each figure is measured.
const TIME: Duration = Duration::from_millis(200);

/// The two figures that steps are compared with.
#[derive(Clone, Copy)]
pub(super) struct Peaks {
    /// Multiplications and additions a second, of all threads together.
    pub(super) flops: f64,
    /// Bytes a second that one thread copies, for arrays of some sizes in bytes, the smallest first.
    copy: [(usize, f64); 4],
}

impl Peaks {
    pub(super) fn measure(time: Duration) -> Result<Peaks> {
        let flops = peak::multiply_adds(gradus::threads(), time);
        let mut copy = [(16 << 10, 0.0), (256 << 10, 0.0), (4 << 20, 0.0), (64 << 20, 0.0)];
        for (bytes, speed) in &mut copy {
            *speed = bandwidth(*bytes, time)?[1];
        }
        Ok(Peaks { flops, copy })
    }

    /// The better of two measurements, figure by figure.
    pub(super) fn or(self, other: Peaks) -> Peaks {
        let mut copy = self.copy;
        for ((_, a), (_, b)) in copy.iter_mut().zip(other.copy) {
            *a = a.max(b);
        }
        Peaks { flops: self.flops.max(other.flops), copy }
    }

    /// How fast one thread moves `bytes` bytes that it has just worked on.
    pub(super) fn bandwidth(&self, bytes: f64) -> f64 {
        let fits = self.copy.iter().find(|(size, _)| *size as f64 * 2.0 >= bytes);
        fits.or(self.copy.last()).map_or(f64::NAN, |&(_, speed)| speed)
    }
}

fn bandwidth(bytes: usize, time: Duration) -> Result<[f64; 2]> {
    peak::bandwidth(bytes, time).map_err(|e| Error::internal(format!("bandwidth: {e:?}")))
}

pub(super) fn run(args: &BenchArgs) -> Outcome {
    let threads = gradus::threads();
    let mut rows: Vec<(String, f64, &'static str, &'static str)> = Vec::new();
    let one = peak::multiply_adds(1, TIME);
    rows.push(("multiply-adds from registers, 1 thread".into(), one / 1e9, "GFLOP/s", "fma_1"));
    if threads > 1 {
        let all = peak::multiply_adds(threads, TIME);
        let name = format!("multiply-adds from registers, {threads} threads");
        rows.push((name, all / 1e9, "GFLOP/s", "fma_all"));
        rows.push(("scaling of that".into(), all / one, "times", "fma_scaling"));
    }
    for n in [32, 256, 1024] {
        let name = format!("matrix product {n} x {n} x {n}, {}", text::threads(threads));
        rows.push((name, product(n)? / 1e9, "GFLOP/s", "gemm"));
    }
    for bytes in [16 << 10, 256 << 10, 4 << 20, 64 << 20] {
        let [read, copied] = bandwidth(bytes, TIME)?;
        let size = text::bytes(bytes as u64);
        rows.push((
            format!("reading {size} again and again, 1 thread"),
            read / 1e9,
            "GB/s",
            "read",
        ));
        rows.push((
            format!("copying {size}, read and written, 1 thread"),
            copied / 1e9,
            "GB/s",
            "copy",
        ));
    }
    if let Some([best, median]) = peak::fork_join(TIME) {
        rows.push(("fork and join of two threads, best".into(), best * 1e6, "us", "fork_best"));
        rows.push((
            "fork and join of two threads, median".into(),
            median * 1e6,
            "us",
            "fork_median",
        ));
    }
    let mut out = io::stdout().lock();
    if args.json {
        for (name, value, unit, key) in rows {
            let line = Line::new().with("peak", key).with("what", name);
            writeln!(out, "{}", line.with("value", round(value, 3)).with("unit", unit))?;
        }
    } else {
        let mut table = Table::new(&["what", "best", "unit"]);
        for (name, value, unit, _) in rows {
            table.row(vec![name, text::short(value), unit.into()]);
        }
        write!(out, "{}", table.plain(""))?;
        writeln!(out, "instructions: {}", gradus::isa::active().name())?;
    }
    Ok(())
}

/// Multiplications and additions a second of a square product, the best of many.
fn product(n: usize) -> Result<f64> {
    let rng = Rng::new(0);
    let [a, b] = [0, 1].map(|_| rng.normal([n, n], 0.0, 1.0).map(Tensor::from));
    let (a, b) = (a?, b?);
    let mut best = f64::INFINITY;
    let times = (400_000_000 / (n * n * n)).clamp(5, 2000);
    for _ in 0..times {
        let (result, costs) = profile(|| a.matmul(&b).to_array().map(drop));
        result?;
        let products = costs.steps.iter().filter(|s| s.kind == "gemm");
        best = best.min(products.map(|s| s.seconds).sum());
    }
    Ok(2.0 * (n * n * n) as f64 / best.max(1e-9))
}
