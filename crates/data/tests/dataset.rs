//! Datasets: what they accept, parts and orders of them, batches.

#![allow(clippy::unwrap_used)]

use gradus_core::{Array, Code, Result};
use gradus_data::{
    Batch, Dataset, FromBatch, digits, digits_images, mix, moons, noisy_line, permutation, xor,
};
use proptest::prelude::*;

/// `n` samples of two numbers, sample `i` is `[i, -i]`; class `i % classes`.
fn numbered(n: usize, classes: usize) -> Dataset {
    let x: Vec<f32> = (0..n).flat_map(|i| [i as f32, -(i as f32)]).collect();
    let y: Vec<i64> = (0..n).map(|i| (i % classes) as i64).collect();
    Dataset::from_arrays(Array::new([n, 2], &x).unwrap(), Array::new([n], &y).unwrap()).unwrap()
}

fn indices(data: &Dataset) -> Vec<usize> {
    data.indices().collect()
}

#[test]
fn a_dataset_can_go_to_other_threads() {
    fn check<T: Send + Sync + Clone + 'static>() {}
    check::<Dataset>();
}

#[test]
fn arrays_are_shared_not_copied() {
    let x = Array::new([3, 2], &[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
    let y = Array::new([3], &[0i64, 1, 0]).unwrap();
    let data = Dataset::from_arrays(x.clone(), y).unwrap();
    let (all, _) = data.arrays().unwrap();
    assert_eq!(all.as_slice::<f32>().unwrap().as_ptr(), x.as_slice::<f32>().unwrap().as_ptr());
}

#[test]
fn wrong_arrays_are_errors_with_numbers() {
    let x = |dims: &[usize]| Array::new(dims, &vec![0.5f32; dims.iter().product()]).unwrap();
    let ids = |v: &[i64]| Array::new([v.len()], v).unwrap();
    let bad = |x, y| Dataset::from_arrays(x, y).unwrap_err();

    let e = bad(x(&[3, 2]), ids(&[0, 1]));
    assert_eq!(e.code(), Code::Data);
    assert!(e.title().contains("3 samples but 2 targets"), "{e}");
    let e = bad(x(&[2, 2]), ids(&[0, -1]));
    assert_eq!(e.code(), Code::Index);
    assert!(e.title().contains("class id -1 of sample 1"), "{e}");
    let e = bad(x(&[2, 2]), ids(&[0, i64::MAX]));
    assert!(e.code() == Code::Index && e.to_string().contains("f32"), "{e}");
    let e = bad(x(&[]), ids(&[0]));
    assert_eq!(e.code(), Code::Shape);
    let e = bad(x(&[1]), Array::new((), &[1i64]).unwrap());
    assert_eq!(e.code(), Code::Shape);
    let e = bad(x(&[0, 2]), ids(&[]));
    assert!(e.code() == Code::Data && e.title().contains("no samples"), "{e}");
    let e = bad(x(&[2, 0]), ids(&[0, 1]));
    assert_eq!(e.code(), Code::Shape);
    let e = bad(x(&[2, 1, 1, 1, 1, 1, 1, 1]), ids(&[0]));
    assert_eq!(e.code(), Code::Data, "{e}");
    let e = bad(ids(&[0, 1]), ids(&[0, 1]));
    assert!(e.code() == Code::DType && e.to_string().contains("from_pixels"), "{e}");
    let e = bad(x(&[2]), Array::new([2], &[true, false]).unwrap());
    assert_eq!(e.code(), Code::DType);
    let e = bad(x(&[2]), Array::new([2, 1], &[0i64, 1]).unwrap());
    assert_eq!(e.code(), Code::Shape);

    let e = Dataset::from_pixels([2, 2], vec![0; 9], ids(&[0, 1])).unwrap_err();
    assert!(e.code() == Code::Shape && e.title().contains("9 bytes"), "{e}");
    let e = Dataset::from_pixels([0, 2], vec![], ids(&[])).unwrap_err();
    assert_eq!(e.code(), Code::Shape);
    let e = Dataset::from_pixels([1; 8], vec![1], ids(&[0])).unwrap_err();
    assert_eq!(e.code(), Code::Shape);
    let e = Dataset::from_pixels([1; 9], vec![1], ids(&[0])).unwrap_err();
    assert_eq!(e.code(), Code::Shape);
    let e = Dataset::from_pixels([2], vec![], ids(&[])).unwrap_err();
    assert_eq!(e.code(), Code::Data);
    let e = Dataset::from_pixels([usize::MAX, 2], vec![1], ids(&[0])).unwrap_err();
    assert_eq!(e.code(), Code::Memory);
}

#[test]
fn settings_are_checked() {
    let data = numbered(6, 3);
    assert_eq!(data.clone().with_classes(2).unwrap_err().code(), Code::Index);
    assert_eq!(data.clone().with_classes(0).unwrap_err().code(), Code::Argument);
    assert_eq!(data.clone().with_classes(usize::MAX).unwrap_err().code(), Code::Argument);
    assert_eq!(data.clone().with_classes(5).unwrap().class_counts(), [2, 2, 2, 0, 0]);
    let named = data.clone().with_class_names(["a", "b", "c"]).unwrap();
    assert_eq!(named.class_names().unwrap()[2], "c");
    assert_eq!(data.clone().with_scale(0.5).unwrap_err().code(), Code::Argument);
    assert_eq!(digits().unwrap().with_scale(f32::NAN).unwrap_err().code(), Code::Argument);
    assert_eq!(xor().unwrap().with_classes(2).unwrap_err().code(), Code::Data);
    assert_eq!(data.binary_targets().unwrap_err().code(), Code::Data);
    assert_eq!(xor().unwrap().binary_targets().unwrap_err().code(), Code::Data);
    assert_eq!(data.reshape_samples([3]).unwrap_err().code(), Code::Shape);
    assert_eq!(data.reshape_samples([2, 1, 1]).unwrap().sample_shape().dims(), [2, 1, 1]);
    assert_eq!(data.sample(6).unwrap_err().code(), Code::Index);
    assert_eq!(data.subset(&[0, 6]).unwrap_err().code(), Code::Index);
    assert_eq!(xor().unwrap().class_counts(), Vec::<usize>::new());
    assert_eq!(digits().unwrap().to_string(), "digits: 1797 samples of u8 [64], 10 classes");
    assert_eq!(xor().unwrap().to_string(), "xor: 4 samples of f32 [2], targets [1]");
}

#[test]
fn digits_are_the_known_set() {
    let data = digits().unwrap();
    // The counts that scikit-learn documents for the same set.
    assert_eq!(data.class_counts(), [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]);
    let (x, y) = data.sample(0).unwrap();
    assert_eq!(y.as_slice::<i64>().unwrap(), [0]);
    let first: Vec<f32> = [0.0, 0.0, 5.0, 13.0, 9.0, 1.0, 0.0, 0.0].map(|v| v / 16.0).to_vec();
    assert_eq!(x.as_slice::<f32>().unwrap()[..8], first);
    let (all, _) = data.arrays().unwrap();
    let sum: f32 = all.as_slice::<f32>().unwrap().iter().sum::<f32>() * 16.0;
    assert_eq!(sum, 561_718.0);
    assert_eq!(digits_images().unwrap().sample_shape().dims(), [8, 8]);
    assert_eq!(data.class_names().unwrap()[7], "7");
}

#[test]
fn every_byte_is_scaled_whatever_the_width_and_order() {
    // Widths around the sizes at which the copy loops change.
    for width in [1usize, 3, 15, 16, 17, 33, 784, 4095, 4096, 4097, 9000] {
        let n = 11;
        let pixels: Vec<u8> = (0..n * width).map(|i| (i * 7 + i / width) as u8).collect();
        let y = Array::new([n], &[0i64; 11]).unwrap();
        let data = Dataset::from_pixels([width], pixels.clone(), y).unwrap();
        for (scale, data) in [(1.0 / 255.0, data.clone()), (0.25, data.with_scale(0.25).unwrap())] {
            for view in [data.clone(), data.shuffled(1), data.skip(2).take(5)] {
                for batch in view.array_batches(4) {
                    let batch = batch.unwrap();
                    let want: Vec<f32> = batch
                        .indices()
                        .flat_map(|row| &pixels[row * width..][..width])
                        .map(|&byte| f32::from(byte) * scale)
                        .collect();
                    assert_eq!(batch.x.as_slice::<f32>().unwrap(), want, "width {width}");
                }
            }
        }
    }
}

#[test]
fn batches_cover_the_data_in_order() {
    let data = numbered(10, 2).shuffled(4);
    for (size, lens) in [(3, vec![3, 3, 3, 1]), (5, vec![5, 5]), (10, vec![10]), (99, vec![10])] {
        let batches: Vec<_> = data.array_batches(size).map(Result::unwrap).collect();
        assert_eq!(batches.iter().map(|b| b.len()).collect::<Vec<_>>(), lens);
        assert_eq!(data.array_batches(size).len(), lens.len());
        let rows: Vec<usize> = batches.iter().flat_map(|b| b.indices()).collect();
        assert_eq!(rows, indices(&data));
        for (number, batch) in batches.iter().enumerate() {
            assert_eq!(batch.number(), number);
            assert_eq!(batch.x.dims(), [batch.len(), 2]);
            for (at, row) in batch.indices().enumerate() {
                let x = &batch.x.as_slice::<f32>().unwrap()[2 * at..][..2];
                assert_eq!(x, [row as f32, -(row as f32)]);
                assert_eq!(batch.y.as_slice::<i64>().unwrap()[at], (row % 2) as i64);
            }
        }
    }
    let dropped: Vec<_> = data.array_batches(3).drop_last(true).map(Result::unwrap).collect();
    assert_eq!(dropped.len(), 3);
    assert!(dropped.iter().all(|b| b.len() == 3));
    assert_eq!(data.array_batches(99).drop_last(true).count(), 0);
    assert_eq!(data.take(0).array_batches(3).count(), 0);
    assert_eq!(data.array_batches(usize::MAX).count(), 1);
}

#[test]
fn a_batch_size_of_zero_is_one_error() {
    for drop_last in [false, true] {
        let mut batches = numbered(4, 2).array_batches(0).drop_last(drop_last);
        let e = batches.next().unwrap().unwrap_err();
        assert!(e.code() == Code::Argument && e.title().contains("batch size is 0"), "{e}");
        assert!(batches.next().is_none());
    }
}

#[test]
fn batches_take_any_form_that_can_be_made_from_them() {
    struct Length(usize);
    impl FromBatch for Length {
        fn from_batch(batch: Result<Batch>) -> Length {
            Length(batch.map_or(usize::MAX, |b| b.len()))
        }
    }
    let lengths = |size| -> Vec<usize> {
        numbered(5, 2).batches_of(size).map(|length: Length| length.0).collect()
    };
    assert_eq!((lengths(2), lengths(0)), (vec![2, 2, 1], vec![usize::MAX]));
}

#[test]
fn regression_targets_keep_their_shape() {
    let data = noisy_line(7, 0.1, 3).unwrap();
    assert_eq!((data.classes(), data.target_shape().dims()), (None, &[1][..]));
    let batch = data.shuffled(0).array_batches(3).next().unwrap().unwrap();
    assert_eq!((batch.x.dims(), batch.y.dims()), (&[3, 1][..], &[3, 1][..]));
    let (x, y) = data.sample(2).unwrap();
    assert_eq!((x.dims(), y.dims()), (&[1][..], &[1][..]));
    let (train, test) = data.split(0.5, 0).unwrap();
    assert_eq!((train.len(), test.len()), (4, 3));
    let flat = Dataset::from_arrays(
        Array::new([2], &[1.0f32, 2.0]).unwrap(),
        Array::new([2], &[3.0f32, 4.0]).unwrap(),
    )
    .unwrap();
    let batch = flat.array_batches(2).next().unwrap().unwrap();
    assert_eq!((batch.x.dims(), batch.y.dims()), (&[2][..], &[2][..]));
    assert_eq!(flat.flatten().sample_shape().dims(), [1]);
}

#[test]
fn splits_and_shuffles_are_pinned_for_ever() {
    let data = numbered(10, 2);
    let (train, test) = data.split(0.6, 17).unwrap();
    assert_eq!((indices(&train), indices(&test)), (PINNED_TRAIN.to_vec(), PINNED_TEST.to_vec()));
    assert_eq!(indices(&data.shuffled(17)), permutation(10, 17));
    let (train, _) = digits().unwrap().split(0.8, 17).unwrap();
    assert_eq!(train.shuffled(mix(17, 3)).fingerprint(), PINNED_FINGERPRINT);
}
const PINNED_TRAIN: [usize; 6] = [7, 6, 8, 5, 3, 4];
const PINNED_TEST: [usize; 4] = [9, 1, 0, 2];
const PINNED_FINGERPRINT: &str = "79a02e8837c3855649b564ae6eb440cd9787700985017512946a3aa6e2f97415";

#[test]
fn impossible_splits_say_why() {
    let data = numbered(10, 2);
    for fraction in [0.0, 1.0, -0.5, 1.5, f64::NAN, f64::INFINITY] {
        let e = data.split(fraction, 0).unwrap_err();
        assert!(e.code() == Code::Argument && e.title().contains("between 0 and 1"), "{e}");
    }
    for fraction in [0.01, 0.99] {
        let e = data.split(fraction, 0).unwrap_err();
        assert!(e.code() == Code::Argument && e.title().contains("empty"), "{e}");
    }
    assert_eq!(data.take(0).split(0.5, 0).unwrap_err().code(), Code::Argument);
    assert_eq!(data.take(1).split(0.5, 0).unwrap_err().code(), Code::Argument);
    assert!(data.take(2).split(0.5, 0).is_ok());
    let e = data.split3(0.5, 0.5, 0).unwrap_err();
    assert!(e.title().contains("nothing to train on"), "{e}");
    assert_eq!(data.split3(0.9, 0.9, 0).unwrap_err().code(), Code::Argument);
    assert_eq!(data.split3(0.2, 0.0, 0).unwrap_err().code(), Code::Argument);
}

#[test]
fn a_split_of_sorted_data_mixes_the_classes() {
    let y: Vec<i64> = (0..100).map(|i| i / 50).collect();
    let x = Array::zeros([100, 1], gradus_core::DType::F32).unwrap();
    let data = Dataset::from_arrays(x, Array::new([100], &y).unwrap()).unwrap();
    let (train, test) = data.split(0.8, 0).unwrap();
    assert_eq!((train.class_counts(), test.class_counts()), (vec![40, 40], vec![10, 10]));
    let first = train.take(20).class_counts();
    assert!(first.iter().all(|&c| c > 2), "{first:?}");
}

#[test]
fn fingerprints_tell_data_apart_and_nothing_else() {
    let data = digits().unwrap();
    let print = data.fingerprint();
    assert_eq!(print.len(), 64);
    assert_eq!(print, data.clone().with_name("other").fingerprint());
    assert_eq!(print, data.subset(&(0..1797).collect::<Vec<_>>()).unwrap().fingerprint());
    let others = [
        data.take(1796),
        data.shuffled(0),
        data.shuffled(1),
        data.clone().with_scale(1.0).unwrap(),
        data.reshape_samples([8, 8]).unwrap(),
        data.clone().with_classes(11).unwrap(),
    ];
    let mut seen: Vec<String> = others.iter().map(Dataset::fingerprint).collect();
    seen.push(print);
    seen.push(xor().unwrap().fingerprint());
    seen.push(gradus_data::or_gate().unwrap().fingerprint());
    let count = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), count);
}

#[test]
fn generated_data_is_what_it_says() {
    let (x, y) = noisy_line(4000, 0.25, 1).unwrap().arrays().unwrap();
    let residuals: Vec<f64> =
        x.to_f64().iter().zip(y.to_f64()).map(|(x, y)| y - (2.0 * x + 1.0)).collect();
    let n = residuals.len() as f64;
    let mean = residuals.iter().sum::<f64>() / n;
    let deviation = (residuals.iter().map(|r| r * r).sum::<f64>() / n).sqrt();
    assert!(mean.abs() < 0.02 && (deviation - 0.25).abs() < 0.01, "{mean} {deviation}");

    for data in [
        gradus_data::two_blobs(101, 0.1, 2).unwrap(),
        moons(101, 0.05, 2).unwrap(),
        gradus_data::spirals(101, 0.0, 2).unwrap(),
    ] {
        assert_eq!((data.class_counts(), data.classes()), (vec![51, 50], Some(2)));
        let (x, _) = data.arrays().unwrap();
        assert_eq!(x.dims(), [101, 2]);
        assert!(x.to_f64().iter().all(|v| v.abs() < 2.5));
    }
    assert_eq!(moons(1, 0.0, 0).unwrap().classes(), Some(2));
    assert_eq!(moons(usize::MAX, 0.0, 0).unwrap_err().code(), Code::Memory);
    for e in [noisy_line(0, 0.1, 0), moons(3, -1.0, 0), moons(3, f64::NAN, 0)] {
        assert_eq!(e.unwrap_err().code(), Code::Argument);
    }
    assert_eq!(moons(9, 0.1, 5).unwrap().fingerprint(), moons(9, 0.1, 5).unwrap().fingerprint());
    assert_ne!(moons(9, 0.1, 5).unwrap().fingerprint(), moons(9, 0.1, 6).unwrap().fingerprint());
}

proptest! {
    #[test]
    fn a_split_is_a_partition_in_proportion(
        labels in prop::collection::vec(0i64..6, 2..300),
        fraction in 0.05f64..0.95,
        seed: u64,
    ) {
        let n = labels.len();
        let x = Array::zeros([n, 1], gradus_core::DType::F32).unwrap();
        let data = Dataset::from_arrays(x, Array::new([n], &labels).unwrap()).unwrap();
        let Ok((a, b)) = data.split(fraction, seed) else {
            let part = (fraction * n as f64).round() as usize;
            prop_assert!(part == 0 || part == n);
            return Ok(());
        };
        prop_assert_eq!(a.len(), (fraction * n as f64).round() as usize);
        let mut all: Vec<usize> = a.indices().chain(b.indices()).collect();
        all.sort_unstable();
        prop_assert_eq!(all, (0..n).collect::<Vec<_>>());
        let share = a.len() as f64 / n as f64;
        for (part, whole) in a.class_counts().iter().zip(data.class_counts()) {
            prop_assert!((*part as f64 - share * whole as f64).abs() < 1.0);
        }
        let (again, _) = data.split(fraction, seed).unwrap();
        prop_assert_eq!(indices(&a), indices(&again));
    }

    #[test]
    fn three_parts_are_a_partition_too(
        n in 10usize..200, valid in 0.1f64..0.4, test in 0.1f64..0.4, seed: u64,
    ) {
        let data = numbered(n, 3).shuffled(seed);
        let (a, b, c) = data.split3(valid, test, seed).unwrap();
        let mut all: Vec<usize> = a.indices().chain(b.indices()).chain(c.indices()).collect();
        all.sort_unstable();
        prop_assert_eq!(all, (0..n).collect::<Vec<_>>());
        prop_assert_eq!(b.len(), (valid * n as f64).round() as usize);
        prop_assert_eq!(c.len(), (test * n as f64).round() as usize);
        let total = [&a, &b, &c].map(Dataset::class_counts);
        for class in 0..3 {
            let parts: usize = total.iter().map(|counts| counts[class]).sum();
            prop_assert_eq!(parts, data.class_counts()[class]);
        }
    }

    #[test]
    fn views_of_views_show_the_right_rows(
        n in 1usize..50, seed: u64, skip in 0usize..60, take in 0usize..60,
    ) {
        let data = numbered(n, 2);
        let view = data.shuffled(seed).skip(skip).take(take);
        let want: Vec<usize> = permutation(n, seed).into_iter().skip(skip).take(take).collect();
        prop_assert_eq!(indices(&view), want.clone());
        let back = view.shuffled(seed);
        let order = permutation(want.len(), seed);
        prop_assert_eq!(indices(&back), order.iter().map(|&p| want[p]).collect::<Vec<_>>());
        for (i, &row) in want.iter().enumerate() {
            let (x, _) = view.sample(i).unwrap();
            prop_assert_eq!(x.as_slice::<f32>().unwrap()[0], row as f32);
        }
    }

    #[test]
    fn any_size_of_batch_covers_everything_once(n in 0usize..80, size in 1usize..90) {
        let data = numbered(80, 4).take(n);
        let rows: Vec<usize> =
            data.array_batches(size).flat_map(|b| b.unwrap().indices().collect::<Vec<_>>()).collect();
        prop_assert_eq!(rows, (0..n).collect::<Vec<_>>());
    }
}

#[test]
fn a_standardizer_knows_only_what_it_was_fitted_on() {
    let x = Array::new([4, 2], &[1.0f32, 5.0, 3.0, 5.0, 100.0, 7.0, -100.0, 9.0]).unwrap();
    let y = Array::new([4], &[0i64, 1, 1, 0]).unwrap();
    let data =
        Dataset::from_arrays(x, y).unwrap().with_name("d").with_class_names(["a", "b"]).unwrap();
    let scale = gradus_data::Standardizer::fit(&data.take(2)).unwrap();
    assert_eq!((scale.means(), scale.stds()), (&[2.0, 5.0][..], &[1.0, 0.0][..]));
    let all = scale.apply(&data).unwrap();
    assert_eq!(
        all.arrays().unwrap().0.as_slice::<f32>().unwrap(),
        [-1.0, 0.0, 1.0, 0.0, 98.0, 2.0, -102.0, 4.0]
    );
    assert_eq!((all.name(), all.class_names()), ("d", data.class_names()));
    assert!(gradus_data::Standardizer::fit(&data.take(0)).is_err());
    assert!(scale.apply(&gradus_data::digits().unwrap()).is_err());
}
