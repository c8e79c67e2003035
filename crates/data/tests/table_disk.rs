//! Tables that are not kept in memory: the same bits, in bounded memory. Alone in its process, and
//! one test only, because it counts allocations and sets the number of threads.

#![allow(clippy::unwrap_used, clippy::cast_precision_loss)]

use std::fs::File;
use std::io::Write;
use std::path::Path;

use gradus_data::Dataset;
use gradus_data::table::{Parts, Prepared, ReadOptions, Storage, Table, TaskOptions};

const PARTS: Parts = Parts { valid: 0.1, test: 0.2 };

/// A hundred bytes a row: numbers, missing ones, categories, texts in quotes.
fn write(path: &Path, rows: usize) {
    let mut file = std::io::BufWriter::new(File::create(path).unwrap());
    writeln!(file, "a,b,c,d,city,note,e,f,g,y").unwrap();
    for i in 0..rows {
        let x = (i as f64 * 0.618_033_988_75).fract();
        let b = if i % 50 == 3 { String::new() } else { format!("{}", i * 7919 % 100_003) };
        writeln!(
            file,
            "{x:.9},{b},{},{:.4},city {},\"note \"\"{i}\"\",\nsecond line\",{:.6},{},{:.3e},{:.5}",
            i % 17,
            x * x * 1e4,
            i * 31 % 40,
            x.sin(),
            i * i % 1009,
            x.exp() * 1e-7,
            x * 3.0 + 1.0
        )
        .unwrap();
    }
}

fn prepare(path: &Path, storage: Storage) -> Prepared {
    let table = Table::open(path, &ReadOptions::new().storage(storage)).unwrap();
    assert_eq!(table.is_streamed(), storage == Storage::Disk);
    table.task(&TaskOptions::new()).unwrap().prepare(PARTS, 5).unwrap()
}

/// One pass over shuffled batches; a number that depends on every bit and its place.
fn epoch(data: &Dataset) -> u64 {
    let mut hash = 0u64;
    for batch in data.shuffled(3).array_batches(64) {
        let batch = batch.unwrap();
        let values =
            batch.x.as_slice::<f32>().unwrap().iter().chain(batch.y.as_slice::<f32>().unwrap());
        for value in values {
            hash = hash.rotate_left(5).wrapping_mul(0x9E37_79B9_7F4A_7C15)
                ^ u64::from(value.to_bits());
        }
    }
    hash
}

#[test]
fn on_disk_means_the_same_bits_in_bounded_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.csv");
    write(&path, 20_000);

    // Any number of threads, in memory and on disk, from a file, from a pipe, or compressed.
    let mut seen = Vec::new();
    for threads in [1, 2, 5] {
        gradus_core::set_threads(threads);
        for storage in [Storage::Memory, Storage::Disk] {
            let p = prepare(&path, storage);
            assert_eq!(p.train.is_on_disk(), storage == Storage::Disk);
            let test = p.test.unwrap();
            let json = p.encoder.to_json().unwrap();
            seen.push((epoch(&p.train), epoch(&test), p.train.fingerprint(), json));
        }
    }
    let options = ReadOptions::new().memory_limit(100_000); // automatic, above this
    let pipe = Table::from_reader("pipe", File::open(&path).unwrap(), &options).unwrap();
    assert!(pipe.is_streamed());
    let p = pipe.task(&TaskOptions::new()).unwrap().prepare(PARTS, 5).unwrap();
    assert!(p.train.is_on_disk());
    seen.push((
        epoch(&p.train),
        epoch(&p.test.unwrap()),
        p.train.fingerprint(),
        p.encoder.to_json().unwrap(),
    ));
    let zipped = folder.path().join("rows");
    let mut gzip =
        flate2::write::GzEncoder::new(File::create(&zipped).unwrap(), flate2::Compression::fast());
    gzip.write_all(&std::fs::read(&path).unwrap()).unwrap();
    gzip.finish().unwrap();
    let p = prepare(&zipped, Storage::Disk);
    seen.push((
        epoch(&p.train),
        epoch(&p.test.unwrap()),
        p.train.fingerprint(),
        p.encoder.to_json().unwrap(),
    ));
    for other in &seen {
        assert!(
            *other == seen[0],
            "{:?} and {:?}",
            (other.0, other.1, &other.2),
            (seen[0].0, seen[0].1, &seen[0].2)
        );
    }

    // Memory, counted on this thread, which does all the work.
    gradus_core::set_threads(1);
    let peak = |rows: usize, storage| {
        write(&path, rows);
        let measured = allocation_counter::measure(|| {
            let p = prepare(&path, storage);
            assert_ne!(epoch(&p.train), 0);
        });
        measured.bytes_max as f64
    };
    let (small, large) = (peak(50_000, Storage::Disk), peak(200_000, Storage::Disk));
    let a_row = (large - small) / 150_000.0;
    let memory = peak(200_000, Storage::Memory);
    let report = format!("{small} and {large} bytes, {a_row:.1} a row; in memory {memory}");
    // The rows' targets and orders, but neither text nor cells nor features.
    assert!(a_row < 100.0, "{report}");
    assert!(small - 50_000.0 * a_row < 24e6, "{report}");
    assert!(memory > 2.0 * large, "{report}");
}
