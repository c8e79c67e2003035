//! Clocks and windows, as in the peers' scripts: windows are sized in CPU seconds and both clocks
//! are kept, because on a machine that others use the CPU-time rate is the one to trust.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use gradus::Result;

use crate::args::BenchArgs;
use crate::json::Line;

/// Measures training steps; a call of `step` makes so many of them.
pub(super) fn train(
    args: &BenchArgs,
    batch_size: usize,
    steps: usize,
    start: Start,
    mut step: impl FnMut() -> Result<f64>,
) -> Result<Line> {
    let first_loss = step()?;
    let start = start.first_step();
    let (mut n, started) = (0usize, Instant::now());
    loop {
        step()?;
        n += 1;
        let spent = started.elapsed().as_secs_f64();
        // At least 20 steps, unless they are slow.
        if (n.is_multiple_of(20) && spent >= args.warmup) || (n.is_multiple_of(5) && spent > 20.0) {
            break;
        }
    }
    let before = cpu_seconds();
    let trial = (n / 4).max(1);
    for _ in 0..trial {
        n += 1;
        step()?;
    }
    let threads = gradus::threads().max(1) as f64;
    let per_step = ((cpu_seconds() - before) / trial as f64 / threads).max(1e-7);
    let window = ((args.window / per_step) as usize).max(3);
    let (mut wall_rates, mut cpu_rates, mut loss) = (Vec::new(), Vec::new(), first_loss);
    let mut faults = f64::INFINITY;
    for _ in 0..args.windows {
        let before = page_faults();
        let (wall, cpu) = (Instant::now(), cpu_seconds());
        for _ in 0..window {
            n += 1;
            loss = step()?;
        }
        let made = (window * steps) as f64;
        wall_rates.push(made / wall.elapsed().as_secs_f64().max(1e-9));
        cpu_rates.push(made / (cpu_seconds() - cpu).max(1e-9));
        faults = faults.min((page_faults() - before) / made);
    }
    let (wall, cpu) = (Rates::of(wall_rates), Rates::of(cpu_rates));
    Ok(Line::new()
        .with("steps_per_s", round(wall.median, 3))
        .with("samples_per_s", round(wall.median * batch_size as f64, 1))
        .with("peak_rss_mb", round(peak_rss_mb(), 1))
        .and(start.line(steps as f64 / cpu.median))
        .with("final_loss", round(loss, 5))
        .with("first_loss", round(first_loss, 5))
        .with("steps", (n + 1) * steps)
        .with("spread", round(wall.spread(), 3))
        .with("steps_per_cpu_s", round(cpu.median, 3))
        .with("best_steps_per_cpu_s", round(cpu.high, 3))
        .with("cpu_spread", round(cpu.spread(), 3))
        .with("page_faults_per_step", round(faults, 3)))
}

/// Measures single predictions.
pub(super) fn infer(
    args: &BenchArgs,
    start: Start,
    mut call: impl FnMut() -> Result<()>,
) -> Result<Line> {
    call()?;
    let start = start.first_step();
    let started = Instant::now();
    while started.elapsed().as_secs_f64() < args.warmup.min(1.0) {
        call()?;
    }
    let mut times = Vec::new();
    let started = Instant::now();
    while times.is_empty() || started.elapsed().as_secs_f64() < args.window {
        let before = Instant::now();
        call()?;
        times.push(before.elapsed().as_secs_f64() * 1e6);
    }
    times.sort_by(f64::total_cmp);
    let at = |i: usize| times.get(i).copied().unwrap_or(f64::NAN);
    Ok(Line::new()
        .with("min_us", round(at(0), 2))
        .with("p10_us", round(at(times.len() / 10), 2))
        .with("median_us", round(at(times.len() / 2), 2))
        .with("p99_us", round(at(times.len() * 99 / 100), 2))
        .with("peak_rss_mb", round(peak_rss_mb(), 1))
        .and(start.line(at(times.len() / 2) * 1e-6))
        .with("calls", times.len()))
}

/// Where the time until the end of the first step goes: from the start of the process, or from the end of
/// the workload before.
pub(super) struct Start {
    /// Seconds by the wall and of the CPU, and nanoseconds of planning, that earlier workloads took.
    before: (f64, f64, u64),
    data_s: f64,
    data_cpu_s: f64,
    first_step_s: f64,
    first_step_cpu_s: f64,
    plan_ms: f64,
}

impl Start {
    /// Measures what reads or makes the data, so that it can be told from the rest.
    pub(super) fn data<T>(first: bool, load: impl FnOnce() -> Result<T>) -> Result<(T, Start)> {
        let (wall, cpu) = (Instant::now(), cpu_seconds());
        let before = match first {
            true => (0.0, 0.0, 0),
            false => (since_start(), cpu, gradus::plan_cache().making_ns),
        };
        let data = load()?;
        let data_cpu_s = cpu_seconds() - cpu;
        let data_s = wall.elapsed().as_secs_f64();
        let (first_step_s, first_step_cpu_s, plan_ms) = (0.0, 0.0, 0.0);
        Ok((data, Start { before, data_s, data_cpu_s, first_step_s, first_step_cpu_s, plan_ms }))
    }

    /// The first step is over.
    fn first_step(self) -> Start {
        let (wall, cpu, planning) = self.before;
        let made = gradus::plan_cache().making_ns.saturating_sub(planning);
        Start {
            first_step_s: since_start() - wall,
            first_step_cpu_s: cpu_seconds() - cpu,
            plan_ms: made as f64 * 1e-6,
            ..self
        }
    }

    /// What of it goes into the output; a later step takes `steady` seconds of the CPU.
    fn line(&self, steady: f64) -> Line {
        let start = self.first_step_cpu_s - steady - self.data_cpu_s;
        Line::new()
            .with("first_step_s", round(self.first_step_s, 4))
            .with("first_step_cpu_s", round(self.first_step_cpu_s, 4))
            .with("data_s", round(self.data_s, 4))
            .with("data_cpu_s", round(self.data_cpu_s, 4))
            .with("plan_ms", round(self.plan_ms, 2))
            // The first step less a later one and less the data.
            .with("start_ms", round(start * 1e3, 1))
    }
}

struct Rates {
    median: f64,
    low: f64,
    high: f64,
}

impl Rates {
    fn of(mut rates: Vec<f64>) -> Rates {
        rates.sort_by(f64::total_cmp);
        let at = |i: usize| rates.get(i).copied().unwrap_or(f64::NAN);
        let last = rates.len().saturating_sub(1);
        // As Python's `statistics.median`.
        let median = (at(last / 2) + at(rates.len() / 2)) / 2.0;
        Rates { median, low: at(0), high: at(last) }
    }

    fn spread(&self) -> f64 {
        (self.high - self.low) / self.median
    }
}

/// A number with at most so many digits after the point.
pub(super) fn round(v: f64, digits: i32) -> f64 {
    let factor = 10f64.powi(digits);
    (v * factor).round() / factor
}

/// CPU seconds of this process so far, all threads.
#[cfg(unix)]
fn cpu_seconds() -> f64 {
    use nix::time::{ClockId, clock_gettime};
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)
        .map_or(f64::NAN, |t| t.tv_sec() as f64 + t.tv_nsec() as f64 * 1e-9)
}

/// Elsewhere the wall clock has to do.
#[cfg(not(unix))]
fn cpu_seconds() -> f64 {
    since_start()
}

/// Seconds since this process was started: since `BENCH_T0` (seconds since 1970, set by a script
/// just before), or by the kernel's books, or since the first call.
fn since_start() -> f64 {
    static FIRST: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    let first = *FIRST.get_or_init(Instant::now);
    let given = std::env::var("BENCH_T0").ok().and_then(|t| t.parse::<f64>().ok());
    if let Some(t0) = given
        && let Ok(now) = SystemTime::now().duration_since(UNIX_EPOCH)
    {
        return now.as_secs_f64() - t0;
    }
    since_start_by_kernel().unwrap_or_else(|| first.elapsed().as_secs_f64())
}

#[cfg(target_os = "linux")]
fn since_start_by_kernel() -> Option<f64> {
    use nix::time::{ClockId, clock_gettime};
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program comes before, in brackets, and may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks: f64 = fields.split_whitespace().nth(19)?.parse().ok()?;
    let boot = clock_gettime(ClockId::CLOCK_BOOTTIME).ok()?;
    // The unit of /proc has been 1/100 s on every Linux for decades.
    Some(boot.tv_sec() as f64 + boot.tv_nsec() as f64 * 1e-9 - ticks / 100.0)
}

#[cfg(not(target_os = "linux"))]
fn since_start_by_kernel() -> Option<f64> {
    None
}

/// Page faults of this process so far that needed no disk; 0 where the system does not say.
fn page_faults() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name of the program comes before, in brackets, and may hold anything.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    fields.split_whitespace().nth(7).and_then(|n| n.parse().ok()).unwrap_or(0.0)
}

/// The most memory this process had, in MB; 0 where the system does not say.
fn peak_rss_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    let kb = line.and_then(|l| l.split_whitespace().next()).and_then(|n| n.parse::<f64>().ok());
    kb.unwrap_or(0.0) / 1024.0
}
