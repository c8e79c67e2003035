//! Saved states: what is written is what PyTorch reads, and damaged files are errors.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;

use gradus_core::{Array, Buffer, Code, DType, Param, Tensor};
use gradus_nn::{Adam, Layer, Linear, Module, ModuleExt, Optimizer, Relu, StateDict, Tanh, seq};
use proptest::prelude::*;

fn array(n: usize) -> Array {
    Array::zeros([n], DType::F32).unwrap()
}

fn code(result: gradus_core::Result<StateDict>) -> Code {
    result.unwrap_err().code()
}

/// A file with this header and so many zero bytes of data.
fn file(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

#[test]
fn a_model_saved_and_loaded_predicts_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let build = || seq![Linear::new(4, 8), Tanh, Linear::new(8, 2)];
    let (a, b) = (build(), build());
    a.save(&path).unwrap();
    let x = Tensor::from([[1.0, -2.0, 3.0, 0.5]]);
    let bits = |model: &dyn Layer| model.predict(&x).to_array().unwrap();
    assert!(!bits(&a).same_bits(&bits(&b)));
    b.load(&path).unwrap();
    assert!(bits(&a).same_bits(&bits(&b)));
    // Over an existing file; nothing else is left in the folder.
    b.save(&path).unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn the_bytes_follow_the_format_and_are_always_the_same() {
    #[derive(Module)]
    struct Model {
        scale: Param,
        count: Buffer,
        mask: Buffer,
        wide: Buffer,
    }
    let model = Model {
        scale: Param::new(Array::new([2, 1], &[1.5f32, -0.0]).unwrap()),
        count: Buffer::new(Array::new((), &[7i64]).unwrap()),
        mask: Buffer::new(Array::new([3], &[true, false, true]).unwrap()),
        wide: Buffer::new(Array::new([1], &[0.1f64]).unwrap()),
    };
    let state = model.state_dict().unwrap();
    let bytes = state.to_bytes();
    assert_eq!(bytes, model.state_dict().unwrap().to_bytes());
    let n = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    assert_eq!(n % 8, 0);
    let header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + n]).unwrap();
    assert_eq!(header["__metadata__"]["format"], "pt");
    assert_eq!(header["__metadata__"]["gradus"], "1");
    // Wide elements first, so that all are aligned.
    assert_eq!(header["count"]["data_offsets"], serde_json::json!([0, 8]));
    assert_eq!(header["wide"]["data_offsets"], serde_json::json!([8, 16]));
    assert_eq!(header["scale"]["data_offsets"], serde_json::json!([16, 24]));
    assert_eq!(header["mask"]["data_offsets"], serde_json::json!([24, 27]));
    assert_eq!(header["scale"]["shape"], serde_json::json!([2, 1]));
    assert_eq!(header["count"]["shape"], serde_json::json!([]));
    assert_eq!(header["mask"]["dtype"], "BOOL");
    assert_eq!(bytes.len(), 8 + n + 27);
    let back = StateDict::from_bytes(&bytes).unwrap();
    assert_eq!(back.len(), 4);
    for (name, value) in state.iter() {
        assert!(back.get(name).unwrap().same_bits(value), "{name}");
    }
    assert!(back.metadata().is_empty());
}

#[test]
fn other_number_types_are_converted() {
    let header = |dtype: &str, bytes: usize| {
        format!(r#"{{"a":{{"dtype":"{dtype}","shape":[2],"data_offsets":[0,{bytes}]}}}}"#)
    };
    let read = |dtype: &str, data: &[u8]| {
        let mut bytes = file(&header(dtype, data.len()), 0);
        bytes.extend_from_slice(data);
        let state = StateDict::from_bytes(&bytes).unwrap();
        let array = state.get("a").unwrap();
        (array.dtype(), array.to_f64())
    };
    assert_eq!(read("F16", &[0, 0x3c, 0, 0xc0]), (DType::F16, vec![1.0, -2.0]));
    assert_eq!(read("BF16", &[0x80, 0x3f, 0, 0xc0]), (DType::BF16, vec![1.0, -2.0]));
    assert_eq!(read("U8", &[3, 255]), (DType::U8, vec![3.0, 255.0]));
    assert_eq!(read("I8", &[3, 255]), (DType::I64, vec![3.0, -1.0]));
    assert_eq!(read("I32", &[1, 0, 0, 0, 255, 255, 255, 255]), (DType::I32, vec![1.0, -1.0]));
    assert_eq!(read("BOOL", &[0, 7]), (DType::Bool, vec![0.0, 1.0]));
    let error = StateDict::from_bytes(&file(&header("F8_E4M3", 2), 2)).unwrap_err();
    assert!(error.code() == Code::Format && error.title().contains("tensor `a`"), "{error}");
}

#[test]
fn damaged_files_are_format_errors_that_say_what_is_wrong() {
    let state: StateDict = [("a", array(3)), ("b", array(5))].into_iter().collect();
    let good = state.to_bytes();
    for n in 0..good.len() {
        assert_eq!(code(StateDict::from_bytes(&good[..n])), Code::Format, "cut at {n}");
    }
    let mut longer = good.clone();
    longer.push(0);
    assert_eq!(code(StateDict::from_bytes(&longer)), Code::Format);
    let says = |bytes: &[u8], text: &str| {
        let error = StateDict::from_bytes(bytes).unwrap_err();
        assert!(error.code() == Code::Format && error.to_string().contains(text), "{error}");
    };
    says(&good[..good.len() - 4], "cut short");
    let mut huge = good.clone();
    huge[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    says(&huge, "its header should have 18446744073709551615 bytes");
    huge[..8].copy_from_slice(&99_999_999u64.to_le_bytes());
    says(&huge, "its header should have 99999999 bytes");
    says(b"hello, this is a text file", "not a safetensors file");
    says(b"PK\x03\x04 and so on, a zip archive", "pickle");
    says(b"", "too few");
    let entry = |shape: &str, end: &str| {
        file(&format!(r#"{{"a":{{"dtype":"F32","shape":{shape},"data_offsets":[0,{end}]}}}}"#), 4)
    };
    assert!(StateDict::from_bytes(&entry("[1]", "4")).is_ok());
    for (shape, end) in [
        ("[2]", "4"),
        ("[1]", "18446744073709551615"),
        ("[4294967296,4294967296,4294967296]", "4"),
        ("[-1]", "4"),
        ("[1]", "\"4\""),
        ("[1,1,1,1,1,1,1,1,1]", "4"),
    ] {
        assert_eq!(code(StateDict::from_bytes(&entry(shape, end))), Code::Format, "{shape} {end}");
    }
    let deep = file(&"[".repeat(100_000), 0);
    assert_eq!(code(StateDict::from_bytes(&deep)), Code::Format);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..Default::default() })]

    #[test]
    fn no_bytes_make_the_reader_panic(
        changes in prop::collection::vec((0usize..400, any::<u8>()), 1..6),
        cut in 0usize..400,
    ) {
        let state: StateDict = [("a", array(3)), ("b.c", array(5))].into_iter().collect();
        let mut bytes = state.to_bytes();
        let length = bytes.len();
        for (at, byte) in changes {
            bytes[at % length] = byte;
        }
        bytes.truncate(length - cut % (length / 4));
        let _ = StateDict::from_bytes(&bytes);
    }

    #[test]
    fn any_name_and_metadata_survive(name in ".{0,12}", key in ".{1,12}", value in ".{0,12}") {
        let mut state = StateDict::new();
        state.insert(name.clone(), array(2));
        state.set_metadata(key.clone(), value.clone());
        prop_assume!(name != "__metadata__");
        prop_assume!(!["format", "gradus", "gradus_version"].contains(&key.as_str()));
        let back = StateDict::from_bytes(&state.to_bytes()).unwrap();
        prop_assert!(back.get(&name).is_some());
        prop_assert_eq!(back.metadata().get(&key), Some(&value));
    }
}

#[test]
fn paths_that_cannot_be_read_or_written_are_io_errors_and_leave_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let model = Linear::new(2, 2);
    let error = model.load(folder.path().join("none.safetensors")).unwrap_err();
    assert!(error.code() == Code::Io && error.title().contains("none.safetensors"), "{error}");
    assert_eq!(model.load(folder.path()).unwrap_err().code(), Code::Io);
    for path in [folder.path().join("no/such/folder.safetensors"), folder.path().to_path_buf()] {
        let error = model.save(&path).unwrap_err();
        assert_eq!(error.code(), Code::Io, "{error}");
        assert!(error.advice().is_some(), "{error}");
    }
    assert_eq!(model.save(Path::new("..")).unwrap_err().code(), Code::Io);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_state_that_does_not_fit_lists_all_differences_and_changes_nothing() {
    let model = seq![Linear::new(4, 3), Relu, Linear::new(3, 2)];
    let before = model.state_dict().unwrap();
    let mut state = before.clone();
    let weight = state.remove("0.weight").unwrap();
    state.insert("l0.weight", weight);
    state.insert("2.weight", Array::zeros([2, 9], DType::F32).unwrap());
    state.insert("2.bias", Array::zeros([2], DType::I64).unwrap());
    let error = model.load_state_dict(&state).unwrap_err();
    assert_eq!(error.code(), Code::State);
    let text = error.to_string();
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "does not fit the model: 1 missing, 1 unexpected, 2 of another shape or type",
        "missing 0.weight [3, 4] the state has `l0.weight`",
        "unexpected l0.weight [3, 4]",
        "differs 2.weight [2, 3] the state has [2, 9]",
        "differs 2.bias [2] the state has i64 [2]",
    ] {
        assert!(words.contains(part), "{part}\n{text}");
    }
    for (name, value) in model.state_dict().unwrap().iter() {
        assert!(value.same_bits(before.get(name).unwrap()), "{name}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.safetensors");
    state.save(&path).unwrap();
    let error = model.load(&path).unwrap_err();
    assert_eq!(error.get("file"), Some(path.display().to_string()));
}

#[test]
fn a_long_list_of_differences_is_cut() {
    let state: StateDict = (0..50).map(|i| (format!("x{i}"), array(1))).collect();
    let text = Linear::new(2, 2).load_state_dict(&state).unwrap_err().to_string();
    assert!(text.contains("and 42 more") && text.lines().count() < 20, "{text}");
    let text = Linear::new(2, 2).load_state_dict(&StateDict::new()).unwrap_err().to_string();
    assert!(text.contains("2 missing") && text.contains("the state is empty"), "{text}");
}

#[test]
fn floats_of_another_width_are_converted_on_load() {
    let model = Linear::new(2, 1);
    let state: StateDict = [
        ("weight", Array::new([1, 2], &[0.5f64, 0.1]).unwrap()),
        ("bias", Array::new([1], &[2.0f64]).unwrap()),
    ]
    .into_iter()
    .collect();
    model.load_state_dict(&state).unwrap();
    assert_eq!(model.weight.get().unwrap().to_vec::<f32>().unwrap(), [0.5, 0.1]);
}

#[test]
fn tied_weights_are_written_once_and_either_name_loads() {
    #[derive(Module)]
    struct Tied {
        encoder: Linear,
        decoder: Linear,
    }
    let build = || {
        let encoder = Linear::new(2, 2).no_bias();
        Tied { decoder: encoder.share(), encoder }
    };
    let model = build();
    let state = StateDict::from_bytes(&model.state_dict().unwrap().to_bytes()).unwrap();
    assert_eq!(state.names().collect::<Vec<_>>(), ["encoder.weight"]);
    let alias = state.metadata().get("decoder.weight").map(String::as_str);
    assert_eq!(alias, Some("encoder.weight"));
    // A file of a program that kept both names, and one that kept only the second.
    let weight = state.get("encoder.weight").unwrap().clone();
    for names in [vec!["encoder.weight", "decoder.weight"], vec!["decoder.weight"]] {
        let state: StateDict = names.into_iter().map(|n| (n, weight.clone())).collect();
        let other = build();
        other.load_state_dict(&state).unwrap();
        assert!(other.encoder.weight.get().unwrap().same_bits(&weight));
    }
}

#[test]
fn a_snapshot_does_not_move_with_training() {
    let model = Linear::new(2, 1);
    let snapshot = model.snapshot().unwrap();
    let bits = snapshot.to_bytes();
    let mut opt = Adam::new(&model, 0.1);
    for _ in 0..3 {
        opt.step(&model.forward(&Tensor::ones([1, 2])).sum()).unwrap();
    }
    assert_eq!(snapshot.to_bytes(), bits);
    assert_ne!(model.snapshot().unwrap().to_bytes(), bits);
}

#[test]
fn a_state_dict_has_what_was_assigned_to_buffers() {
    #[derive(Module)]
    struct Counter {
        count: Buffer,
    }
    let model = Counter { count: Buffer::new(array(1)) };
    model.count.assign(&(model.count.tensor() + 1.0));
    let state = model.state_dict().unwrap();
    assert_eq!(state.get("count").unwrap().to_f64(), [1.0]);
}

#[test]
fn every_type_is_saved_and_comes_back() {
    let x = Array::new([5], &[0.0f64, 1.0, 2.5, 100.0, 255.0]).unwrap();
    let mut state = StateDict::new();
    for dtype in DType::ALL {
        state.insert(dtype.to_string(), x.cast(dtype).unwrap());
    }
    let back = StateDict::from_bytes(&state.to_bytes()).unwrap();
    for (name, array) in state.iter() {
        assert!(back.get(name).unwrap().same_bits(array), "{name}");
    }
}

#[test]
fn a_bf16_checkpoint_fits_f32_parameters_which_stay_f32() {
    let model = Linear::new(3, 2);
    let state = model.state_dict().unwrap();
    for dtype in [DType::BF16, DType::F16, DType::F64] {
        let other: StateDict =
            state.iter().map(|(name, a)| (name.to_string(), a.cast(dtype).unwrap())).collect();
        model.load_state_dict(&other).unwrap();
        for (name, array) in model.state_dict().unwrap().iter() {
            assert!(array.same_bits(&other.get(name).unwrap().cast(DType::F32).unwrap()));
        }
    }
}
