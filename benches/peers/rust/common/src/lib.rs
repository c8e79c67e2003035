//! What the peers in Rust share: arguments, data, timing, one line of JSON.
//!
//! `PEER_DATA` names the folder with the uncompressed MNIST files; `BENCH_T0` is the wall clock
//! before the process started. The sizes and the timing are those of `../../common.py`.

use cpu_time::ProcessTime;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A program that measures and cannot go on says why and ends.
pub type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

pub struct Args {
    pub workload: String,
    pub threads: usize,
    pub window: f64,
    pub windows: usize,
    pub warmup: f64,
    start: f64,
}

fn wall() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |t| t.as_secs_f64())
}

impl Args {
    pub fn parse() -> Fallible<Args> {
        let mut args = Args {
            workload: String::new(),
            threads: 1,
            window: 3.0,
            windows: 3,
            warmup: 2.0,
            start: std::env::var("BENCH_T0").ok().and_then(|s| s.parse().ok()).unwrap_or_else(wall),
        };
        let words: Vec<String> = std::env::args().skip(1).collect();
        for pair in words.chunks(2) {
            let [name, value] = pair else { return Err(format!("{pair:?} has no value").into()) };
            match name.as_str() {
                "--workload" => args.workload.clone_from(value),
                "--threads" => args.threads = value.parse()?,
                "--window" => args.window = value.parse()?,
                "--windows" => args.windows = value.parse()?,
                "--warmup" => args.warmup = value.parse()?,
                _ => return Err(format!("there is no option {name}").into()),
            }
        }
        Ok(args)
    }
}

/// Layer sizes, batch, learning rate, whether Adam (else SGD).
pub fn model(workload: &str) -> Fallible<(&'static [usize], usize, f64, bool)> {
    Ok(match workload {
        "mlp_mnist" => (&[784, 512, 256, 10], 128, 1e-3, true),
        "mlp_tabular" => (&[20, 64, 32, 1], 32, 1e-3, true),
        "xor" => (&[2, 8, 1], 4, 0.5, false),
        "autoencoder" => (&[784, 128, 32, 128, 784], 256, 1e-3, true),
        "infer_mlp_mnist" => (&[784, 512, 256, 10], 1, 0.0, false),
        other => return Err(format!("there is no workload {other}").into()),
    })
}

/// Well-mixed numbers (splitmix64).
struct Mix(u64);

impl Mix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 24) as f32
    }

    fn normal(&mut self) -> f32 {
        let (a, b) = (self.unit().max(1e-7), self.unit());
        (-2.0 * a.ln()).sqrt() * (std::f32::consts::TAU * b).cos()
    }
}

/// Rows in one list, and a class each.
pub struct Data {
    pub x: Vec<f32>,
    pub y: Vec<i64>,
}

pub fn data(workload: &str) -> Fallible<Data> {
    let mut mix = Mix(1);
    Ok(match workload {
        "xor" => Data { x: vec![0., 0., 0., 1., 1., 0., 1., 1.], y: vec![0, 1, 1, 0] },
        "mlp_tabular" => {
            let x: Vec<f32> = (0..16384 * 20).map(|_| mix.normal()).collect();
            let w: Vec<f32> = (0..20).map(|_| mix.normal()).collect();
            let score = |row: &[f32]| row.iter().zip(&w).map(|(a, b)| a * b).sum::<f32>();
            let y = x.chunks_exact(20).map(|row| i64::from(score(row) > 0.0)).collect();
            Data { x, y }
        }
        _ => {
            let folder = std::env::var("PEER_DATA")?;
            let images = std::fs::read(format!("{folder}/train-images-idx3-ubyte"))?;
            let labels = std::fs::read(format!("{folder}/train-labels-idx1-ubyte"))?;
            Data {
                x: images.iter().skip(16).map(|&b| f32::from(b) / 255.0).collect(),
                y: labels.iter().skip(8).map(|&b| i64::from(b)).collect(),
            }
        }
    })
}

fn cpu() -> f64 {
    ProcessTime::now().as_duration().as_secs_f64()
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Measures training. `step(i, read)` runs one step and gives its loss, if it is to be read.
pub fn train(
    peer: &str,
    args: &Args,
    mut step: impl FnMut(usize, bool) -> Fallible<f32>,
) -> Fallible<()> {
    let first = step(0, true)?;
    let first_s = wall() - args.start;
    let (mut n, begin) = (0, Instant::now());
    loop {
        n += 1;
        let read = n % 20 == 0;
        step(n, read)?;
        if read && begin.elapsed().as_secs_f64() >= args.warmup {
            break;
        }
    }
    let (begin, some) = (cpu(), (n / 4).max(1));
    for i in 1..=some {
        n += 1;
        step(n, i == some)?;
    }
    let each = (cpu() - begin) / some as f64 / args.threads as f64;
    let count = ((args.window / each.max(1e-9)) as usize).max(3);
    let (mut rates, mut cpu_rates, mut last) = (Vec::new(), Vec::new(), first);
    for _ in 0..args.windows {
        let (begin, used) = (Instant::now(), cpu());
        for i in 1..=count {
            n += 1;
            last = step(n, i == count)?;
        }
        rates.push(count as f64 / begin.elapsed().as_secs_f64());
        cpu_rates.push(count as f64 / (cpu() - used));
    }
    println!(
        "{{\"peer\": \"{peer}\", \"workload\": \"{}\", \"threads\": {}, \"steps_per_s\": {:.3}, \
         \"steps_per_cpu_s\": {:.3}, \"first_step_s\": {first_s:.4}, \"first_loss\": {first:.5}, \
         \"final_loss\": {last:.5}, \"steps\": {}}}",
        args.workload,
        args.threads,
        median(&mut rates),
        median(&mut cpu_rates),
        n + 1,
    );
    Ok(())
}

/// Measures single calls.
pub fn infer(peer: &str, args: &Args, mut call: impl FnMut() -> Fallible<()>) -> Fallible<()> {
    call()?;
    let first_s = wall() - args.start;
    let begin = Instant::now();
    while begin.elapsed().as_secs_f64() < args.warmup {
        call()?;
    }
    let (mut times, begin) = (Vec::new(), Instant::now());
    while begin.elapsed().as_secs_f64() < args.window {
        let one = Instant::now();
        call()?;
        times.push(one.elapsed().as_secs_f64() * 1e6);
    }
    let half = median(&mut times);
    let tenth = times.get(times.len() / 10).copied().unwrap_or(f64::NAN);
    println!(
        "{{\"peer\": \"{peer}\", \"workload\": \"{}\", \"threads\": {}, \"p10_us\": {tenth:.3}, \
         \"median_us\": {half:.3}, \"first_step_s\": {first_s:.4}, \"calls\": {}}}",
        args.workload,
        args.threads,
        times.len(),
    );
    Ok(())
}
