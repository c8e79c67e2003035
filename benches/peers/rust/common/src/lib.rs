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

/// The optimizers of the workloads.
#[derive(Clone, Copy, PartialEq)]
pub enum Rule {
    Sgd,
    /// Momentum 0.9, L2 5e-4.
    Momentum,
    Adam,
    /// Decay 0.01.
    AdamW,
}

/// Batch, learning rate, optimizer.
pub fn setup(workload: &str) -> Fallible<(usize, f64, Rule)> {
    Ok(match workload {
        "mlp_mnist" => (128, 1e-3, Rule::Adam),
        "mlp_tabular" => (32, 1e-3, Rule::Adam),
        "xor" => (4, 0.5, Rule::Sgd),
        "autoencoder" => (256, 1e-3, Rule::Adam),
        "cnn_mnist" => (64, 1e-3, Rule::Adam),
        "resnet20" => (64, 0.1, Rule::Momentum),
        "lstm_char" => (32, 1e-3, Rule::Adam),
        "gpt_mini" => (8, 3e-4, Rule::AdamW),
        "infer_mlp_mnist" | "infer_cnn_mnist" => (1, 0.0, Rule::Sgd),
        other => return Err(format!("there is no workload {other}").into()),
    })
}

/// Layer sizes of the workloads that are linear layers one after the other.
pub fn sizes(workload: &str) -> &'static [usize] {
    match workload {
        "mlp_tabular" => &[20, 64, 32, 1],
        "xor" => &[2, 8, 1],
        "autoencoder" => &[784, 128, 32, 128, 784],
        _ => &[784, 512, 256, 10],
    }
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

/// Samples one after the other and a class each; or no samples, and rows of tokens in `y`.
pub struct Data {
    pub x: Vec<f32>,
    pub y: Vec<i64>,
    pub rows: usize,
}

pub fn data(workload: &str) -> Fallible<Data> {
    let mut mix = Mix(1);
    let of = |x: Vec<f32>, y: Vec<i64>| Data { rows: y.len(), x, y };
    Ok(match workload.trim_start_matches("infer_") {
        "xor" => of(vec![0., 0., 0., 1., 1., 0., 1., 1.], vec![0, 1, 1, 0]),
        "mlp_tabular" => {
            let x: Vec<f32> = (0..16384 * 20).map(|_| mix.normal()).collect();
            let w: Vec<f32> = (0..20).map(|_| mix.normal()).collect();
            let score = |row: &[f32]| row.iter().zip(&w).map(|(a, b)| a * b).sum::<f32>();
            let y = x.chunks_exact(20).map(|row| i64::from(score(row) > 0.0)).collect();
            of(x, y)
        }
        "resnet20" => {
            let x = (0..2048 * 3 * 32 * 32).map(|_| mix.normal()).collect();
            of(x, (0..2048).map(|_| (mix.next() % 10) as i64).collect())
        }
        "lstm_char" => text(65, 96, &mut mix),
        "gpt_mini" => text(129, 256, &mut mix),
        _ => {
            let folder = std::env::var("PEER_DATA")?;
            let images = std::fs::read(format!("{folder}/train-images-idx3-ubyte"))?;
            let labels = std::fs::read(format!("{folder}/train-labels-idx1-ubyte"))?;
            of(
                images.iter().skip(16).map(|&b| f32::from(b) / 255.0).collect(),
                labels.iter().skip(8).map(|&b| i64::from(b)).collect(),
            )
        }
    })
}

/// A counter that stumbles.
fn text(length: usize, vocabulary: i64, mix: &mut Mix) -> Data {
    let rows = 2048;
    let id = |i: usize| (i as i64 * 7 + (mix.next() % 3) as i64) % vocabulary;
    Data { x: Vec::new(), y: (0..rows * length).map(id).collect(), rows }
}

/// The most memory this process had, in MB; 0 where the system does not say.
fn peak_rss_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kb = line.and_then(|line| line.split_whitespace().next()).and_then(|n| n.parse().ok());
    kb.unwrap_or(0.0) / 1024.0
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
    let (first_s, first_cpu) = (wall() - args.start, cpu());
    let (mut n, begin) = (0, Instant::now());
    loop {
        n += 1;
        let read = n % 20 == 0 || (n < 20 && n % 5 == 0);
        step(n, read)?;
        let spent = begin.elapsed().as_secs_f64();
        // At least 20 steps, unless they are slow.
        if read && ((n >= 20 && spent >= args.warmup) || spent > 20.0) {
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
         \"steps_per_cpu_s\": {:.3}, \"peak_rss_mb\": {:.1}, \"first_step_s\": {first_s:.4}, \
         \"first_step_cpu_s\": {first_cpu:.4}, \"first_loss\": {first:.5}, \
         \"final_loss\": {last:.5}, \"steps\": {}}}",
        args.workload,
        args.threads,
        median(&mut rates),
        median(&mut cpu_rates),
        peak_rss_mb(),
        n + 1,
    );
    Ok(())
}

/// Measures single calls.
pub fn infer(peer: &str, args: &Args, mut call: impl FnMut() -> Fallible<()>) -> Fallible<()> {
    call()?;
    let (first_s, first_cpu) = (wall() - args.start, cpu());
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
         \"median_us\": {half:.3}, \"peak_rss_mb\": {:.1}, \"first_step_s\": {first_s:.4}, \
         \"first_step_cpu_s\": {first_cpu:.4}, \"calls\": {}}}",
        args.workload,
        args.threads,
        peak_rss_mb(),
        times.len(),
    );
    Ok(())
}
