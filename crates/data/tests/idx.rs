//! The IDX reader: what it reads, and that no bytes make it panic or lose something silently.

#![allow(clippy::unwrap_used)]

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use gradus_core::{Array, Code, DType, Error};
use gradus_data::{Idx, IdxType};
use proptest::prelude::*;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn fails(bytes: &[u8]) -> Error {
    Idx::parse(bytes, "the-file").unwrap_err()
}

/// A valid file of 2 images of 3x5.
fn small() -> Vec<u8> {
    Idx::new(IdxType::U8, &[2, 3, 5], (0..30).collect()).unwrap().to_bytes()
}

#[test]
fn all_types_are_read_big_endian() {
    let parse = |code: u8, n: u8, data: &[u8]| {
        let mut bytes = vec![0, 0, code, 1, 0, 0, 0, n];
        bytes.extend_from_slice(data);
        Idx::parse(&bytes, "x").unwrap()
    };
    let ints = |idx: &Idx| idx.to_array().unwrap().to_vec::<i64>().unwrap();
    let floats = |idx: &Idx| idx.to_f32().unwrap().to_vec::<f32>().unwrap();
    let idx = parse(0x08, 2, &[1, 255]);
    assert_eq!((ints(&idx), floats(&idx)), (vec![1, 255], vec![1.0, 255.0]));
    let idx = parse(0x09, 2, &[1, 255]);
    assert_eq!((ints(&idx), floats(&idx)), (vec![1, -1], vec![1.0, -1.0]));
    let idx = parse(0x0B, 2, &[1, 2, 255, 254]);
    assert_eq!((ints(&idx), floats(&idx)), (vec![258, -2], vec![258.0, -2.0]));
    let idx = parse(0x0C, 1, &[0, 1, 0, 2]);
    assert_eq!((ints(&idx), floats(&idx)), (vec![65538], vec![65538.0]));
    let idx = parse(0x0D, 1, &1.5f32.to_be_bytes());
    assert_eq!(idx.to_array().unwrap().dtype(), DType::F32);
    assert_eq!(floats(&idx), [1.5]);
    let idx = parse(0x0E, 1, &(-2.25f64).to_be_bytes());
    assert_eq!(idx.to_array().unwrap().to_vec::<f64>().unwrap(), [-2.25]);
    assert_eq!(floats(&idx), [-2.25]);
}

#[test]
fn arrays_go_to_files_and_back() {
    let folder = tempfile::tempdir().unwrap();
    let arrays = [
        Array::new([2, 2], &[1.5f32, -0.0, f32::MAX, f32::NAN]).unwrap(),
        Array::new([2], &[1e300f64, -2.0]).unwrap(),
        Array::new([3], &[1i64, -7, 2_000_000_000]).unwrap(),
        Array::new([0, 4], &[0f32; 0]).unwrap(),
    ];
    for array in arrays {
        for name in ["plain", "packed.gz"] {
            let path = folder.path().join(name);
            Idx::from_array(&array).unwrap().write(&path).unwrap();
            let gz = std::fs::read(&path).unwrap().starts_with(&[0x1f, 0x8b]);
            assert_eq!(gz, name == "packed.gz");
            assert!(Idx::read(&path).unwrap().to_array().unwrap().same_bits(&array));
        }
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "a draft was left behind");
    let large = Array::new([1], &[1i64 << 40]).unwrap();
    assert_eq!(Idx::from_array(&large).unwrap_err().code(), Code::Index);
    let scalar = Array::new((), &[1.0f32]).unwrap();
    assert_eq!(Idx::from_array(&scalar).unwrap_err().code(), Code::Shape);
    let mask = Array::new([2], &[true, false]).unwrap();
    assert_eq!(Idx::from_array(&mask).unwrap().data(), [1, 0]);
}

#[test]
fn contents_must_fit_their_sizes() {
    for (dims, bytes) in [(&[2usize, 3][..], 5), (&[], 1), (&[1; 9], 1), (&[1 << 33], 1)] {
        assert_eq!(Idx::new(IdxType::U8, dims, vec![0; bytes]).unwrap_err().code(), Code::Shape);
    }
    assert_eq!(Idx::new(IdxType::I16, &[2], vec![0; 2]).unwrap_err().code(), Code::Shape);
}

#[test]
fn a_failed_write_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let idx = Idx::new(IdxType::U8, &[1], vec![1]).unwrap();
    let taken = folder.path().join("a-folder");
    std::fs::create_dir(&taken).unwrap();
    let e = idx.write(&taken).unwrap_err();
    assert!(e.code() == Code::Io && e.title().contains("cannot write"), "{e}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    assert_eq!(idx.write(folder.path().join("no/such")).unwrap_err().code(), Code::Io);
}

#[test]
fn a_wrong_magic_number_says_what_the_file_looks_like() {
    for (bytes, word) in [
        (&b"\x89PNG\r\n\x1a\n0123"[..], "a PNG image"),
        (b"<!DOCTYPE html><html><body>404 not found", "an HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1", "Git LFS"),
        (b"0,0,5,13,9,1,0\n", "text, starting with \"0,0,5,13,9,1,0\""),
        (b"PK\x03\x04....", "a ZIP archive"),
        (b"\x01\x02\x03\x04\xff\xff", "unknown binary data"),
        (b"\0\0", "zeros"),
    ] {
        let e = fails(bytes);
        assert_eq!(e.code(), Code::Format);
        assert!(e.title() == "the-file is not an IDX file", "{e}");
        assert!(e.to_string().contains(word), "{e}");
        // The same inside gzip, and gzip inside gzip.
        let e = fails(&gzip(bytes));
        assert!(e.code() == Code::Format && e.to_string().contains(word), "{e}");
        let e = fails(&gzip(&gzip(bytes)));
        assert!(e.to_string().contains("like gzip data"), "{e}");
    }
    // Almost right: a type that does not exist, no axes, too many axes.
    assert!(fails(&[0, 0, 0x0A, 3, 0, 0, 0, 0]).to_string().contains("00 00 0a 03"));
    assert!(fails(&[0, 0, 8, 0, 1]).to_string().contains("(0 axes)"));
    assert!(fails(&[0, 0, 8, 9, 1]).to_string().contains("(9 axes)"));
}

#[test]
fn empty_and_truncated_files_say_how_many_bytes_are_missing() {
    assert!(fails(b"").title().contains("is empty"));
    assert!(fails(&gzip(b"")).title().contains("is empty"));
    let full = small();
    let e = fails(&full[..10]);
    assert!(e.title().contains("truncated") && e.to_string().contains("16 bytes of header"), "{e}");
    let e = fails(&full[..45]);
    assert_eq!(e.code(), Code::Format);
    assert!(e.title().contains("truncated"), "{e}");
    assert_eq!(e.get("expected").unwrap(), "46 bytes (16 of header and 30 of data)");
    assert_eq!(e.get("found").unwrap(), "45 bytes");
    let e = fails(&gzip(&full[..45]));
    assert!(e.title().contains("truncated"), "{e}");
    assert_eq!(e.get("found").unwrap(), "45 bytes");
    let mut long = full.clone();
    long.push(0);
    let e = fails(&long);
    assert!(e.title().contains("longer than its header says"), "{e}");
    assert_eq!(e.get("found").unwrap(), "47 bytes");
    assert!(fails(&gzip(&long)).title().contains("longer than its header says"));
}

#[test]
fn headers_that_lie_cost_no_memory() {
    let header = |dims: &[u32]| {
        let mut bytes = vec![0, 0, 0x0E, dims.len() as u8];
        bytes.extend(dims.iter().flat_map(|d| d.to_be_bytes()));
        bytes
    };
    // 2^45 bytes, and more than 64 bits can count.
    for (dims, word) in
        [(&[1u32 << 31, 1 << 11][..], "truncated"), (&[u32::MAX; 8], "more bytes than any file")]
    {
        for bytes in [header(dims), gzip(&header(dims))] {
            let e = fails(&bytes);
            assert!(e.code() == Code::Format && e.title().contains(word), "{e}");
        }
    }
    // A gzip bomb: 64 MB of zeros behind a header that promises 16 bytes.
    let mut bomb = header(&[2]);
    bomb.resize(64 << 20, 0);
    let bomb = gzip(&bomb);
    assert!(fails(&bomb).title().contains("longer than its header says"));
    // Sizes of 0 hold nothing, whatever the others are.
    assert!(Idx::parse(&header(&[0, u32::MAX]), "x").unwrap().data().is_empty());
}

#[test]
fn a_broken_gzip_stream_is_told_from_a_short_one() {
    let packed = gzip(&small());
    let e = fails(&packed[..packed.len() - 10]);
    assert!(e.code() == Code::Format && e.title().contains("truncated"), "{e}");
    let e = fails(&packed[..packed.len() - 3]); // in the checksum
    assert!(e.code() == Code::Format && e.title().contains("truncated"), "{e}");
    let mut wrong_sum = packed.clone();
    let at = wrong_sum.len() - 6;
    wrong_sum[at] ^= 1;
    let e = fails(&wrong_sum);
    assert!(e.code() == Code::Format && e.title().contains("corrupt"), "{e}");
    let mut trailing = packed;
    trailing.extend_from_slice(b"more");
    assert_eq!(fails(&trailing).code(), Code::Format);
    assert!(fails(&[0x1f, 0x8b]).title().contains("truncated"));
}

#[test]
fn paths_that_cannot_be_read_say_why() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("neighbour"), b"x").unwrap();
    let e = Idx::read(folder.path().join("missing")).unwrap_err();
    assert!(e.code() == Code::Io && e.title().contains("does not exist"), "{e}");
    assert!(e.get("there").unwrap().contains("neighbour"), "{e}");
    let e = Idx::read(folder.path().join("no/such/file")).unwrap_err();
    assert!(e.get("there").unwrap().contains("does not exist either"), "{e}");
    let e = Idx::read(folder.path()).unwrap_err();
    assert!(e.code() == Code::Io && e.title().contains("is a folder"), "{e}");
    let e = Idx::read(folder.path().join("neighbour/below")).unwrap_err();
    assert_eq!(e.code(), Code::Io);
    assert_eq!(Idx::read("").unwrap_err().code(), Code::Io);
    #[cfg(unix)]
    {
        let e = Idx::read("/dev/null").unwrap_err();
        assert!(e.title().contains("not a plain file"), "{e}");
    }
}

/// Whatever is read must be all that was there.
fn check_honest(bytes: &[u8]) {
    if let Ok(idx) = Idx::parse(bytes, "fuzz") {
        assert_eq!(idx.to_bytes(), bytes);
        let n: usize = idx.dims().iter().product();
        assert_eq!(n * idx.ty().size(), idx.data().len());
        assert_eq!(idx.to_array().unwrap().numel(), n);
        assert_eq!(idx.to_f32().unwrap().numel(), n);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        check_honest(&bytes);
        prop_assert!(Idx::parse(&bytes, "fuzz").is_err() || bytes.starts_with(&[0, 0]));
        // Random bytes that look like gzip, or that are what a gzip stream holds.
        let mut packed = vec![0x1f, 0x8b, 8, 0];
        packed.extend_from_slice(&bytes);
        prop_assert!(Idx::parse(&packed, "fuzz").is_err());
        let plain = Idx::parse(&bytes, "fuzz").ok();
        if !bytes.starts_with(&[0x1f, 0x8b]) {
            prop_assert_eq!(Idx::parse(&gzip(&bytes), "fuzz").ok(), plain);
        }
    }

    #[test]
    fn random_headers_never_panic(
        code in 8u8..15, dims in prop::collection::vec(0u32..5, 0..9), data: Vec<u8>,
    ) {
        let mut bytes = vec![0, 0, code, dims.len() as u8];
        bytes.extend(dims.iter().flat_map(|d| d.to_be_bytes()));
        bytes.extend_from_slice(&data);
        check_honest(&bytes);
    }

    #[test]
    fn damaged_files_are_read_whole_or_not_at_all(
        at in 0usize..46, change in 1u8.., cut in 0usize..60,
    ) {
        let mut bytes = small();
        bytes[at] ^= change;
        check_honest(&bytes);
        bytes.truncate(cut);
        check_honest(&bytes);
    }

    #[test]
    fn damaged_gzip_is_an_error_or_the_same_contents(
        at: prop::sample::Index, change in 1u8.., cut: prop::sample::Index,
    ) {
        let good = gzip(&small());
        let mut bad = good.clone();
        bad[at.index(good.len())] ^= change;
        if let Ok(idx) = Idx::parse(&bad, "fuzz") {
            // Only bytes that say nothing about the contents, such as the time, may differ.
            prop_assert_eq!(idx.to_bytes(), small());
        }
        prop_assert!(Idx::parse(&good[..cut.index(good.len())], "fuzz").is_err());
    }
}
