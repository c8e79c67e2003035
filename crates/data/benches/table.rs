//! Times reading a table of a million rows: `cargo bench -p gradus-data --bench table`.
//!
//! Writes a generated CSV file (10 columns: whole numbers, numbers with a fraction, a category,
//! some missing values) to a temporary folder. With `GRADUS_POLARS` naming a Python that has
//! Polars, it reads the same file in turns with ours, on as many threads, and the medians are
//! compared:
//!
//! ```sh
//! python3 -m venv venv && venv/bin/pip install polars
//! GRADUS_THREADS=2 GRADUS_POLARS=venv/bin/python cargo bench -p gradus-data --bench table
//! ```
//!
//! `GRADUS_ROWS` is the number of rows.

#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::fmt::Write;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use gradus_data::table::{Parts, ReadOptions, Storage, Table, TaskOptions};

/// Reads a path a line from standard input and prints the seconds that Polars takes for it.
const POLARS: &str = "
import sys, time, polars as pl
for line in sys.stdin:
    start = time.perf_counter()
    table = pl.read_csv(line.strip(), infer_schema_length=10000)
    print(time.perf_counter() - start, table.height, pl.thread_pool_size(), flush=True)
";

fn generate(path: &Path, rows: usize) {
    let mut state = 7u64;
    let mut draw = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f64 / (1u64 << 31) as f64
    };
    let mut text =
        String::from("age,income,rooms,latitude,longitude,score,ratio,city,visits,price\n");
    let cities = ["Berlin", "Paris", "Rome", "Oslo", "Vienna", "Madrid", "Lisbon", "Prague"];
    for _ in 0..rows {
        let age = (18.0 + 60.0 * draw()) as u32;
        let income = 1000.0 + 9000.0 * draw();
        let rooms = (1.0 + 8.0 * draw()) as u32;
        let score = if draw() < 0.03 { String::new() } else { format!("{:.6}", draw()) };
        let ratio = draw() * draw();
        let city = cities[(draw() * 8.0) as usize];
        let visits =
            if draw() < 0.02 { String::new() } else { format!("{}", (draw() * 1e6) as u32) };
        let price = income * 3.0 + f64::from(rooms) * 500.0 + 100.0 * draw();
        let (north, east) = (35.0 + 25.0 * draw(), -10.0 + 30.0 * draw());
        writeln!(
            text,
            "{age},{income:.2},{rooms},{north:.5},{east:.5},{score},{ratio:.8},{city},{visits},{price:.1}"
        )
        .unwrap();
    }
    std::fs::File::create(path).unwrap().write_all(text.as_bytes()).unwrap();
}

fn seconds<T>(run: impl FnOnce() -> T) -> f64 {
    let start = Instant::now();
    std::hint::black_box(run());
    start.elapsed().as_secs_f64()
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn main() {
    let rows = std::env::var("GRADUS_ROWS").ok().and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("generated.csv");
    generate(&path, rows);
    let size = std::fs::metadata(&path).unwrap().len() as f64 / 1e6;
    let threads = gradus_core::threads();
    println!("{rows} rows, {size:.1} MB, {threads} threads");
    let open = |storage| Table::open(&path, &ReadOptions::new().storage(storage)).unwrap();
    let mut polars = std::env::var("GRADUS_POLARS").ok().map(|python| {
        let mut child = Command::new(python)
            .args(["-c", POLARS])
            .env("POLARS_MAX_THREADS", threads.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        (child, input)
    });
    let mut answers =
        polars.as_mut().map(|(child, _)| BufReader::new(child.stdout.take().unwrap()).lines());
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..8 {
        let mine = seconds(|| open(Storage::Memory));
        let mut other = None;
        if let (Some((_, input)), Some(answers)) = (&mut polars, &mut answers) {
            writeln!(input, "{}", path.display()).unwrap();
            let line = answers.next().unwrap().unwrap();
            let mut words = line.split(' ');
            other = words.next().unwrap().parse::<f64>().ok();
            assert_eq!(words.next().unwrap().parse(), Ok(rows));
        }
        // The first round warms up.
        if round > 0 {
            ours.push(mine);
            theirs.extend(other);
        }
    }
    let mine = median(&mut ours);
    println!("read into typed columns        {mine:8.3} s  ({:.3} to {:.3})", ours[0], ours[6]);
    if theirs.len() == ours.len() {
        let other = median(&mut theirs);
        println!(
            "Polars                         {other:8.3} s  ({:.3} to {:.3})",
            theirs[0], theirs[6]
        );
        println!("ratio                          {:8.2}", mine / other);
    }
    drop(answers);
    if let Some((mut child, input)) = polars {
        drop(input);
        child.wait().unwrap();
    }
    println!("read, streamed (no cells kept) {:8.3} s", seconds(|| open(Storage::Disk)));
    for storage in [Storage::Memory, Storage::Disk] {
        let table = open(storage);
        let time = seconds(|| {
            let task = table.task(&TaskOptions::new()).unwrap();
            task.prepare(Parts { valid: 0.1, test: 0.1 }, 17).unwrap()
        });
        println!("split, fit, encode: {storage:?} {time:8.3} s");
    }
}
