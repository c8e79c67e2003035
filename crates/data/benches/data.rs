//! Times what a training loop waits for, on data of MNIST's size: `cargo bench -p gradus-data`.
//!
//! Needs no files: it writes random images of MNIST's size to a temporary folder, plain and gzip.
//! With `GRADUS_MNIST` naming a folder, reading that one is timed too.

#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use gradus_core::Array;
use gradus_data::{Dataset, Idx, IdxType, mnist_folder, permutation};

/// The median of several runs, each of which gives the time of one item.
fn median(what: &str, runs: usize, mut run: impl FnMut() -> Duration) {
    let mut times: Vec<Duration> = (0..runs).map(|_| run()).collect();
    times.sort();
    println!("{what:45} {:>12.1} us", times[runs / 2].as_secs_f64() * 1e6);
}

fn timed<T>(f: impl FnOnce() -> T) -> Duration {
    let start = Instant::now();
    black_box(f());
    start.elapsed()
}

/// The time of one batch in a pass over the data, with one batch alive at a time.
fn per_batch(data: &Dataset) -> Duration {
    let start = Instant::now();
    let mut count = 0;
    for batch in data.array_batches(128) {
        black_box(batch.unwrap());
        count += 1;
    }
    start.elapsed() / count
}

fn main() {
    let (n, width) = (60_000usize, 784);
    let mut state = 1u32;
    let pixels: Vec<u8> = (0..n * width)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // Mostly background, as in MNIST, so that gzip has something to do.
            if state >> 29 == 0 { (state >> 16) as u8 } else { 0 }
        })
        .collect();
    let labels: Vec<u8> = (0..n).map(|i| (i % 10) as u8).collect();

    let folder = tempfile::tempdir().unwrap();
    let gzip = tempfile::tempdir().unwrap();
    for (part, n) in [("train", n), ("t10k", 10_000)] {
        let images = Idx::new(IdxType::U8, &[n, 28, 28], pixels[..n * width].to_vec()).unwrap();
        let labels = Idx::new(IdxType::U8, &[n], labels[..n].to_vec()).unwrap();
        for (place, end) in [(&folder, ""), (&gzip, ".gz")] {
            images.write(place.path().join(format!("{part}-images-idx3-ubyte{end}"))).unwrap();
            labels.write(place.path().join(format!("{part}-labels-idx1-ubyte{end}"))).unwrap();
        }
    }

    let y = Array::new([n], &labels.iter().map(|&l| i64::from(l)).collect::<Vec<_>>()).unwrap();
    let bytes = Dataset::from_pixels([width], pixels, y).unwrap();
    let (x, y) = bytes.arrays().unwrap();
    let floats = Dataset::from_arrays(x, y).unwrap();

    median("batch of 128x784, u8, in order", 15, || per_batch(&bytes));
    median("batch of 128x784, u8, shuffled", 15, || per_batch(&bytes.shuffled(0)));
    median("batch of 128x784, f32, in order", 15, || per_batch(&floats));
    median("batch of 128x784, f32, shuffled", 15, || per_batch(&floats.shuffled(0)));
    let xor = gradus_data::xor().unwrap();
    median("batch of 4x2 (xor)", 15, || {
        timed(|| (0..1000).for_each(|_| drop(xor.array_batches(4).next()))) / 1000
    });
    median("permutation(60000)", 15, || timed(|| permutation(n, 0)));
    median("shuffled of 60000", 15, || timed(|| bytes.shuffled(0)));
    median("split of 60000", 15, || timed(|| bytes.split(0.9, 0).unwrap()));
    let fresh = || mnist_folder(folder.path()).unwrap();
    median("open folder (headers)", 15, || timed(fresh));
    median("open and read train, plain", 15, || timed(|| fresh().train().unwrap()));
    median("open and read all four, plain", 15, || timed(|| fresh().load().unwrap()));
    let fresh = || mnist_folder(gzip.path()).unwrap();
    median("open and read all four, gzip", 3, || timed(|| fresh().load().unwrap()));
    let train = mnist_folder(folder.path()).unwrap().train().unwrap();
    median("fingerprint of 47 MB, first time", 1, || timed(|| train.fingerprint()));
    median("fingerprint again", 5, || timed(|| train.shuffled(1).fingerprint()));
    median("digits, first time", 1, || timed(|| gradus_data::digits().unwrap()));
    if let Ok(path) = std::env::var("GRADUS_MNIST") {
        median("open and read all of GRADUS_MNIST", 3, || {
            timed(|| mnist_folder(&path).unwrap().load().unwrap())
        });
    }
}
