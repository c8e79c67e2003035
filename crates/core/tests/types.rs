//! Every operation on every element type: it agrees with the reference executor, or says in a
//! sentence why it is not defined.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)] // tests may

use gradus_core::ops::registry::rows;
use gradus_core::{Array, Code, DType, Param, Tensor, bf16, check_mode, f16};

/// Runs all samples with the inputs of one type turned into another. Check mode compares what
/// comes out with the reference executor. Returns how many were defined.
fn sweep(from: DType, to: DType) -> usize {
    let (mut defined, mut failures) = (0, Vec::new());
    for row in rows() {
        for sample in (row.samples)() {
            // A search needs sorted rows, which casts to bool do not leave.
            let search = matches!(row.name, "searchsorted" | "bucketize");
            if sample.inputs.iter().all(|a| a.dtype() != from) || search && to == DType::Bool {
                continue;
            }
            let turn = |a: &Array| if a.dtype() == from { a.cast(to).unwrap() } else { a.clone() };
            let inputs: Vec<Tensor> = sample.inputs.iter().map(|a| turn(a).into()).collect();
            match (sample.run)(&inputs).to_array() {
                Ok(_) => defined += 1,
                // Values that were cast may be no index any more, or a divisor of 0.
                Err(e) if matches!(e.code(), Code::Index | Code::Argument) => {}
                // With real numbers for class ids the targets are something else.
                Err(e) if from != DType::F32 && e.code() == Code::Shape => {}
                Err(e) if e.code() == Code::DType && e.title().len() < 100 => {}
                Err(e) => failures.push(format!("{} ({}): {e}", row.name, sample.label)),
            }
            let _ = gradus_core::sync();
        }
    }
    println!("{from} as {to}: {defined} samples are defined");
    assert!(failures.is_empty(), "{from} as {to}: {}\n{}", failures.len(), failures.join("\n"));
    defined
}

#[test]
fn every_operation_on_every_type_agrees_with_the_reference_or_says_why_not() {
    check_mode(true);
    let mut counts = Vec::new();
    for from in [DType::F32, DType::I64, DType::Bool] {
        for to in DType::ALL {
            counts.push(((from, to), sweep(from, to)));
        }
    }
    check_mode(false);
    let count = |from, to| counts.iter().find(|(k, _)| *k == (from, to)).unwrap().1;
    // f64 does all that f32 does; integers compute, and storage types are at least moved.
    assert_eq!(count(DType::F32, DType::F64), count(DType::F32, DType::F32));
    assert!(count(DType::F32, DType::I32) > 300 && count(DType::F32, DType::U8) > 300);
    assert!(count(DType::F32, DType::BF16) > 80);
}

#[test]
fn casts_round_saturate_and_keep_nothing_of_nan_in_integers() {
    let x = [-1e30, -1.5, -0.0, 0.5, 2.5, 255.5, 300.0, 70000.0, 1e30, f64::NAN, f64::INFINITY];
    let cast = |to| Tensor::exact([x.len()], &x).cast(to).to_array().unwrap();
    assert_eq!(
        cast(DType::I32).to_vec::<i32>().unwrap(),
        [i32::MIN, -1, 0, 0, 2, 255, 300, 70000, i32::MAX, 0, i32::MAX]
    );
    let u8s = cast(DType::U8).to_vec::<u8>().unwrap();
    assert_eq!(u8s, [0, 0, 0, 0, 2, 255, 255, 255, 255, 0, 255]);
    let bools = cast(DType::Bool).to_vec::<bool>().unwrap();
    assert_eq!(bools.iter().filter(|&&b| !b).count(), 1);
    let f16s = cast(DType::F16).to_f64();
    assert_eq!(f16s[5], 255.5);
    assert!(f16s[7].is_infinite() && f16s[9].is_nan() && f16s[2].is_sign_negative());
    // Ties go to the even neighbour, and a wide number is rounded once.
    let tie = Tensor::exact([2], &[1.0 + 2f64.powi(-8), 1.0 + 2f64.powi(-8) + 2f64.powi(-40)]);
    assert_eq!(tie.cast(DType::BF16).to_array().unwrap().to_f64(), [1.0, 1.0 + 2f64.powi(-7)]);
    let narrow = Tensor::from([-5i64, 300, i64::MAX]);
    assert_eq!(narrow.cast(DType::U8).to_vec::<u8>().unwrap(), [0, 255, 255]);
    assert_eq!(narrow.cast(DType::I32).to_vec::<i32>().unwrap(), [-5, 300, i32::MAX]);
}

#[test]
fn all_conversions_are_the_array_s_own() {
    let x: Vec<f64> = (-40..40).map(|i| f64::from(i) * 7.3).collect();
    let x = Array::new([x.len()], &x).unwrap();
    check_mode(true);
    for from in DType::ALL {
        let start = x.cast(from).unwrap();
        for to in DType::ALL {
            let recorded = Tensor::from(&start).cast(to).to_array().unwrap();
            assert!(recorded.same_bits(&start.cast(to).unwrap()), "{from} to {to}");
        }
    }
    check_mode(false);
}

#[test]
fn types_meet_as_in_pytorch() {
    use DType::{BF16, Bool, F16, F32, F64, I32, I64, U8};
    let one = |d: DType| Tensor::from([1]).cast(d);
    let meets = [
        (Bool, U8, U8),
        (U8, I32, I32),
        (I32, I64, I64),
        (I64, F32, F32),
        (I64, BF16, BF16),
        (BF16, F16, F32),
        (F16, F32, F32),
        (F32, F64, F64),
        (U8, F64, F64),
    ];
    for (a, b, to) in meets {
        assert_eq!((a.promote(b), b.promote(a)), (to, to), "{a} with {b}");
        if !to.is_storage() {
            assert_eq!((one(a) + one(b)).dtype().unwrap(), to, "{a} + {b}");
        }
    }
    // Numbers are weak; division is true division; sums of small types are wide.
    assert_eq!((one(I32) + 1).dtype().unwrap(), I32);
    assert_eq!((one(I64) + 1.5).dtype().unwrap(), F32);
    assert_eq!((one(U8) * 0.5).dtype().unwrap(), F32);
    assert_eq!((one(F64) * 0.5).dtype().unwrap(), F64);
    assert_eq!((one(Bool) + 1).dtype().unwrap(), I64);
    for d in [U8, I32, I64, Bool] {
        assert_eq!((one(d) / one(d)).dtype().unwrap(), F32, "{d}");
        assert_eq!(one(d).sum().dtype().unwrap(), I64, "{d}");
        assert_eq!(one(d).mean().check().unwrap_err().code(), Code::DType, "{d}");
    }
    assert_eq!((Tensor::from([7]) / Tensor::from([2])).item().unwrap(), 3.5);
    assert_eq!((Tensor::from([255u8]) + 1).item().unwrap(), 0.0);
    let error = (one(U8) + 300).check().unwrap_err();
    assert!(error.title().contains("300 does not fit in u8"), "{error}");
    let error = (one(I32) % Tensor::from([0]).cast(I32)).item().unwrap_err();
    assert!(error.title().contains("remainder: integer division by zero"), "{error}");
    assert_eq!(
        Tensor::from([[1, 2], [3, 4]]).matmul(Tensor::from([1, 1])).to_vec::<i64>().unwrap(),
        [3i64, 7]
    );
}

#[test]
fn storage_types_say_what_to_do_instead() {
    for d in [DType::BF16, DType::F16] {
        let x = Tensor::from([1.0, 2.0]).cast(d);
        for y in
            [&x + &x, &x * 2.0, x.exp(), x.sum(), x.max(), x.lt(&x), x.reshape([1, 2]).softmax(-1)]
        {
            let error = y.check().unwrap_err();
            assert_eq!(error.code(), Code::DType);
            assert!(error.to_string().contains("cast(DType::F32)"), "{error}");
        }
        let y = Tensor::concat(&[&x.flip(0), &x], 0).index_select(0, &Tensor::from([3, 0, 1]));
        assert_eq!(y.cast(DType::F32).to_vec::<f32>().unwrap(), [2.0, 2.0, 1.0]);
    }
    assert_eq!(Tensor::from([f16::ONE]).dtype().unwrap(), DType::F16);
    assert_eq!(Tensor::from([bf16::ONE]).to_vec::<bf16>().unwrap(), [bf16::ONE]);
}

#[test]
fn gradients_pass_through_storage_types() {
    let x = Tensor::from([1.0, 2.0, 3.0]).with_grad();
    let half = x.cast(DType::BF16);
    let y = (half.cast(DType::F32) * half.flip(0).cast(DType::F32)).sum();
    assert_eq!(y.grad(&x).unwrap().to_vec::<f32>().unwrap(), [6.0, 4.0, 2.0]);
}

#[test]
fn an_f64_tensor_that_meets_a_parameter_is_an_error_with_its_name() {
    let w = Param::new(Array::new([2], &[1.0f32, 2.0]).unwrap());
    w.set_path("l1.weight");
    let wide = Tensor::exact([2], &[1.0f64, 2.0]);
    let error = (w.tensor() * 2.0 + &wide).check().unwrap_err();
    assert_eq!(error.code(), Code::DType);
    assert!(error.title().contains("the f32 parameter `l1.weight`"), "{error}");
}
