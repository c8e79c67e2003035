//! Folders of IDX files: what is found, and what is said when something is wrong.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use gradus_core::{Code, Error};
use gradus_data::{Idx, IdxType, load_idx, mnist_folder};
use tempfile::TempDir;

/// Image `i` is all bytes `i`; its label is `i % 10`.
fn images(n: usize) -> Idx {
    Idx::new(IdxType::U8, &[n, 2, 2], (0..n).flat_map(|i| [i as u8; 4]).collect()).unwrap()
}

fn labels(n: usize) -> Idx {
    Idx::new(IdxType::U8, &[n], (0..n).map(|i| (i % 10) as u8).collect()).unwrap()
}

fn folder(files: &[(&str, Idx)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, idx) in files {
        idx.write(folder.path().join(name)).unwrap();
    }
    folder
}

/// The four files under MNIST's names, with 20 and 10 images.
fn full() -> TempDir {
    folder(&[
        ("train-images-idx3-ubyte", images(20)),
        ("train-labels-idx1-ubyte", labels(20)),
        ("t10k-images-idx3-ubyte", images(10)),
        ("t10k-labels-idx1-ubyte", labels(10)),
    ])
}

fn fails(path: &Path) -> Error {
    mnist_folder(path).unwrap_err()
}

fn write(folder: &TempDir, name: &str, bytes: &[u8]) {
    std::fs::write(folder.path().join(name), bytes).unwrap();
}

#[test]
fn the_four_files_become_two_datasets() {
    let full = full();
    let found = mnist_folder(full.path()).unwrap();
    assert!(found.has_test());
    let (train, test) = found.load().unwrap();
    let test = test.unwrap();
    assert_eq!((train.len(), test.len()), (20, 10));
    assert_eq!((train.classes(), test.classes()), (Some(10), Some(10)));
    assert_eq!(train.sample_shape().dims(), [2, 2]);
    let (x, y) = train.sample(13).unwrap();
    assert_eq!(x.as_slice::<f32>().unwrap(), [13.0 * (1.0 / 255.0); 4]);
    assert_eq!(y.as_slice::<i64>().unwrap(), [3]);
    assert!(train.name().ends_with("/train") && test.name().ends_with("/test"));
    let again = mnist_folder(full.path()).unwrap();
    assert_eq!(again.test().unwrap().unwrap().fingerprint(), test.fingerprint());
    assert_eq!(again.train().unwrap().fingerprint(), train.fingerprint());
}

#[test]
fn other_names_and_places_are_found() {
    for (train, test, places) in [
        ("train-?.idx#-ubyte", Some("t10k-?.idx#-ubyte"), ""),
        ("train-?-idx#-ubyte.gz", Some("t10k-?-idx#-ubyte.gz"), ""),
        ("TRAIN-?-IDX#-UBYTE", Some("test-?-idx#-ubyte"), ""),
        ("my-?-idx#-ubyte", None, ""),
        ("train-?-idx#-ubyte", None, "raw"),
        ("train-?-idx#-ubyte", Some("t10k-?-idx#-ubyte"), "MNIST/raw"),
    ] {
        let root = tempfile::tempdir().unwrap();
        let inner = root.path().join(places);
        std::fs::create_dir_all(&inner).unwrap();
        let put = |pattern: &str, n| {
            let name = |kind, axes| pattern.replace('?', kind).replace('#', axes);
            images(n).write(inner.join(name("images", "3"))).unwrap();
            labels(n).write(inner.join(name("labels", "1"))).unwrap();
        };
        put(train, 20);
        if let Some(test) = test {
            put(test, 10);
        }
        std::fs::write(inner.join("README.txt"), "hello").unwrap();
        std::fs::write(inner.join("._train-images-idx3-ubyte"), "macOS").unwrap();
        let (data, held) = mnist_folder(root.path()).unwrap().load().unwrap();
        assert_eq!((data.len(), held.map(|d| d.len())), (20, test.map(|_| 10)), "{train}");
    }
}

#[test]
fn gzip_is_told_by_its_bytes_not_its_name() {
    let full = full();
    let plain = full.path().join("train-images-idx3-ubyte");
    let packed = full.path().join("x.gz");
    images(20).write(&packed).unwrap();
    std::fs::rename(&packed, &plain).unwrap();
    assert_eq!(mnist_folder(full.path()).unwrap().train().unwrap().len(), 20);
    let misnamed = full.path().join("train-labels-idx1-ubyte");
    std::fs::rename(&misnamed, misnamed.with_extension("gz")).unwrap();
    assert_eq!(mnist_folder(full.path()).unwrap().train().unwrap().len(), 20);
}

#[test]
fn a_plain_file_is_preferred_to_its_compressed_copy() {
    let full = full();
    write(&full, "train-images-idx3-ubyte.gz", b"broken");
    assert_eq!(mnist_folder(full.path()).unwrap().train().unwrap().len(), 20);
}

#[test]
fn missing_folders_and_files_say_what_was_looked_for_and_what_is_there() {
    let root = tempfile::tempdir().unwrap();
    let e = fails(&root.path().join("nowhere"));
    assert!(e.code() == Code::Io && e.title().contains("does not exist"), "{e}");
    let e = fails(root.path());
    assert!(e.code() == Code::Io && e.title().contains("no IDX images"), "{e}");
    assert!(e.get("looked").unwrap().contains("train-images-idx3-ubyte"), "{e}");
    assert_eq!(e.get("there").unwrap(), "nothing");
    for i in 0..12 {
        write(&root, &format!("photo{i:02}.png"), b"x");
    }
    let e = fails(root.path());
    assert!(e.get("there").unwrap().contains("photo07.png and 4 more"), "{e}");
    let e = fails(&root.path().join("photo00.png"));
    assert!(e.code() == Code::Io && e.title().contains("is not a folder"), "{e}");
    assert!(e.advice().unwrap().contains("its folder"), "{e}");

    for (gone, what) in [
        ("train-images-idx3-ubyte", "training images are missing"),
        ("train-labels-idx1-ubyte", "training labels are missing"),
        ("t10k-images-idx3-ubyte", "test images are missing"),
        ("t10k-labels-idx1-ubyte", "test labels are missing"),
    ] {
        let full = full();
        std::fs::remove_file(full.path().join(gone)).unwrap();
        let e = fails(full.path());
        assert!(e.code() == Code::Io && e.title().contains(what), "{e}");
        assert!(e.to_string().contains("there"), "{e}");
    }
    let only_test = folder(&[
        ("t10k-images-idx3-ubyte", images(10)),
        ("t10k-labels-idx1-ubyte", labels(10)),
        ("images-idx3-ubyte", images(10)),
        ("labels-idx1-ubyte", labels(10)),
    ]);
    let e = fails(only_test.path());
    assert!(e.title().contains("no training images"), "{e}");
    let full = full();
    images(20).write(full.path().join("old-train-images-idx3-ubyte")).unwrap();
    let e = fails(full.path());
    assert!(e.title().contains("two files could be the training images"), "{e}");
}

#[test]
fn wrong_files_are_told_when_the_folder_is_opened() {
    for name in ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"] {
        let full = full();
        let path = full.path().join(name);
        let good = std::fs::read(&path).unwrap();
        let check = |bytes: &[u8], word: &str| {
            std::fs::write(&path, bytes).unwrap();
            let e = fails(full.path());
            assert_eq!(e.code(), Code::Format);
            assert!(e.to_string().contains(word) && e.to_string().contains(name), "{e}");
        };
        check(b"", "is empty");
        check(&good[..good.len() - 1], "truncated");
        check(&good[..6], "truncated");
        check(b"<html>not found</html>", "HTML");
        check(&[good.as_slice(), b"x"].concat(), "longer");
        check(&[0x1f, 0x8b, 8, 0, 0, 0], "truncated");
    }
}

#[test]
fn a_corrupt_gzip_file_is_an_error_of_its_set_only() {
    let full = full();
    let path = full.path().join("t10k-images-idx3-ubyte");
    images(10).write(full.path().join("x.gz")).unwrap();
    std::fs::rename(full.path().join("x.gz"), &path).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.len() - 6;
    bytes[at] ^= 0xff;
    std::fs::write(&path, bytes).unwrap();
    let found = mnist_folder(full.path()).unwrap();
    assert_eq!(found.train().unwrap().len(), 20);
    for e in [found.test().unwrap_err(), found.load().unwrap_err()] {
        assert!(e.code() == Code::Format && e.title().contains("corrupt"), "{e}");
    }
}

#[test]
fn counts_that_differ_name_both_numbers_and_files() {
    for part in ["train", "t10k"] {
        let full = full();
        labels(7).write(full.path().join(format!("{part}-labels-idx1-ubyte"))).unwrap();
        let e = fails(full.path());
        assert_eq!(e.code(), Code::Data);
        assert!(e.title().contains("images but 7 labels"), "{e}");
        assert!(e.get("images").unwrap().contains(&format!("{part}-images")), "{e}");
        assert!(e.get("labels").unwrap().contains(&format!("{part}-labels")), "{e}");
    }
}

#[test]
fn files_that_are_swapped_or_of_another_kind_are_told() {
    let root = folder(&[("images-idx3-ubyte", labels(5)), ("labels-idx1-ubyte", images(5))]);
    let e = fails(root.path());
    assert!(e.code() == Code::Shape && e.to_string().contains("swapped"), "{e}");
    let pixel = |n: usize| Idx::new(IdxType::U8, &[n, 1, 1], vec![0; n]).unwrap();
    let full = full();
    pixel(10).write(full.path().join("t10k-images-idx3-ubyte")).unwrap();
    let e = fails(full.path());
    assert!(e.code() == Code::Data && e.title().contains("differ in size"), "{e}");

    let at = |name: &str| -> PathBuf { full.path().join(name) };
    images(2).write(at("i")).unwrap();
    images(2).write(at("l")).unwrap();
    assert!(load_idx(at("i"), at("l")).unwrap_err().title().contains("does not hold labels"));
    Idx::new(IdxType::F32, &[2], vec![0; 8]).unwrap().write(at("l")).unwrap();
    assert_eq!(load_idx(at("i"), at("l")).unwrap_err().code(), Code::DType);
    images(0).write(at("i")).unwrap();
    labels(0).write(at("l")).unwrap();
    assert!(load_idx(at("i"), at("l")).unwrap_err().title().contains("holds no images"));
    Idx::new(IdxType::U8, &[2, 0], vec![]).unwrap().write(at("i")).unwrap();
    labels(2).write(at("l")).unwrap();
    let e = load_idx(at("i"), at("l")).unwrap_err();
    assert!(e.code() == Code::Shape && e.to_string().contains("file"), "{e}");
    let many = Idx::new(IdxType::U8, &[1; 8], vec![1]).unwrap();
    many.write(at("i")).unwrap();
    labels(1).write(at("l")).unwrap();
    assert_eq!(load_idx(at("i"), at("l")).unwrap().sample_shape().rank(), 7);
}

#[test]
fn labels_out_of_range_name_the_sample_and_the_file() {
    let full = full();
    let path = full.path().join("train-labels-idx1-ubyte");
    let mut bytes = vec![0u8; 20];
    bytes[13] = 0xff;
    Idx::new(IdxType::I8, &[20], bytes).unwrap().write(&path).unwrap();
    let e = mnist_folder(full.path()).unwrap().train().unwrap_err();
    assert_eq!(e.code(), Code::Index);
    assert!(e.title().contains("class id -1 of sample 13"), "{e}");
    assert!(e.get("file").unwrap().contains("train-labels"), "{e}");

    let few = Idx::new(IdxType::U8, &[20], (0..20).map(|i| i % 8).collect()).unwrap();
    few.write(&path).unwrap();
    let found = mnist_folder(full.path()).unwrap();
    assert_eq!(found.train().unwrap().classes(), Some(8));
    let e = found.test().unwrap_err();
    assert_eq!(e.code(), Code::Index);
    assert!(e.title().contains("class id 8 of sample 8"), "{e}");
    assert!(e.get("file").unwrap().contains("t10k-labels"), "{e}");
}

#[test]
fn images_of_real_numbers_are_taken_as_they_are() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    let bytes = [0.5f32, -2.0].iter().flat_map(|x| x.to_be_bytes()).collect();
    Idx::new(IdxType::F32, &[2, 1], bytes).unwrap().write(at("i")).unwrap();
    labels(2).write(at("l")).unwrap();
    let (x, _) = load_idx(at("i"), at("l")).unwrap().arrays().unwrap();
    assert_eq!(x.as_slice::<f32>().unwrap(), [0.5, -2.0]);
}

#[test]
fn a_missing_or_unreadable_test_set_does_not_stop_training() {
    let root =
        folder(&[("train-images-idx3-ubyte", images(20)), ("train-labels-idx1-ubyte", labels(20))]);
    let found = mnist_folder(root.path()).unwrap();
    assert!(!found.has_test() && found.test().unwrap().is_none());
    let full = full();
    let found = mnist_folder(full.path()).unwrap();
    std::fs::remove_file(full.path().join("t10k-images-idx3-ubyte")).unwrap();
    assert_eq!(found.train().unwrap().len(), 20);
    assert_eq!(found.test().unwrap_err().code(), Code::Io);
}

/// Runs when `GRADUS_MNIST` names a folder with the real files.
#[test]
fn the_real_mnist_is_read_right() {
    let Ok(path) = std::env::var("GRADUS_MNIST") else {
        println!("skipped: set GRADUS_MNIST to the folder of the four MNIST files");
        return;
    };
    let (train, test) = mnist_folder(path).unwrap().load().unwrap();
    let test = test.unwrap();
    assert_eq!((train.len(), test.len()), (60_000, 10_000));
    assert_eq!(train.sample_shape().dims(), [28, 28]);
    assert_eq!(train.class_counts(), [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]);
    assert_eq!(test.class_counts(), [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]);
    let (x, _) = train.arrays().unwrap();
    let mean = x.to_f64().iter().sum::<f64>() / x.numel() as f64;
    assert!((mean - 0.1307).abs() < 1e-4, "{mean}"); // the mean that every tutorial subtracts
}
