//! One hash that says whether two models have the same weights, bit for bit.

use gradus_core::{Array, DType, Result, bf16, f16};
use gradus_nn::{Module, ModuleExt, StateDict};
use sha2::{Digest, Sha256};

/// The SHA-256, in hexadecimal, of a model's parameters and buffers.
///
/// It covers names, element types, shapes and bits (as little-endian bytes), in the order of the
/// names; so the same weights have the same hash whether they are in memory or in a file of any
/// layout, on any machine.
///
/// ```
/// use gradus_nn::{Linear, ModuleExt};
/// use gradus_train::model_sha256;
/// let (a, b) = (Linear::new(4, 2), Linear::new(4, 2));
/// assert_ne!(model_sha256(&a)?, model_sha256(&b)?);
/// b.load_state_dict(&a.state_dict()?)?;
/// assert_eq!(model_sha256(&a)?, model_sha256(&b)?);
/// # Ok::<(), gradus_core::Error>(())
/// ```
///
/// # Errors
/// The error of a layer whose constructor failed.
pub fn model_sha256<M: Module + ?Sized>(model: &M) -> Result<String> {
    state_sha256(&model.state_dict()?)
}

/// The hash of a state, equal to [`model_sha256`] of a model that has it.
///
/// # Errors
/// None today; an element type that cannot be read would be one.
pub fn state_sha256(state: &StateDict) -> Result<String> {
    let mut entries: Vec<(&str, &Array)> = state.iter().collect();
    entries.sort_unstable_by_key(|(name, _)| *name);
    let mut hash = Sha256::new();
    for (name, array) in entries {
        // Lengths first, so that no two states give the same bytes.
        hash.update((name.len() as u64).to_le_bytes());
        hash.update(name.as_bytes());
        let dtype = array.dtype().to_string();
        hash.update((dtype.len() as u64).to_le_bytes());
        hash.update(dtype.as_bytes());
        hash.update((array.dims().len() as u64).to_le_bytes());
        for &dim in array.dims() {
            hash.update((dim as u64).to_le_bytes());
        }
        match array.dtype() {
            DType::F32 => update(&mut hash, array.as_slice::<f32>()?, f32::to_le_bytes),
            DType::F64 => update(&mut hash, array.as_slice::<f64>()?, f64::to_le_bytes),
            DType::I64 => update(&mut hash, array.as_slice::<i64>()?, i64::to_le_bytes),
            DType::I32 => update(&mut hash, array.as_slice::<i32>()?, i32::to_le_bytes),
            DType::U8 => update(&mut hash, array.as_slice::<u8>()?, |v| [v]),
            DType::BF16 => update(&mut hash, array.as_slice::<bf16>()?, bf16::to_le_bytes),
            DType::F16 => update(&mut hash, array.as_slice::<f16>()?, f16::to_le_bytes),
            DType::Bool => update(&mut hash, &array.to_vec::<bool>()?, |v| [u8::from(v)]),
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

fn update<T: Copy, const N: usize>(hash: &mut Sha256, values: &[T], bytes: fn(T) -> [u8; N]) {
    let mut block = Vec::with_capacity(values.len().min(8192) * N);
    for values in values.chunks(8192) {
        block.clear();
        block.extend(values.iter().flat_map(|&v| bytes(v)));
        hash.update(&block);
    }
}
