//! Arrays of a file of golden values, and the arguments that name them.

use crate::compare::list;
use crate::harness::{Arg, Call, Outcome, Report};
use gradus::{Array, DType, Rng, Shape, Tensor};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Where the data of a tensor are, its type and sizes.
type Entry = (Range<usize>, Dtype, Vec<usize>);

/// A file of tensors.
#[derive(Clone, Default)]
pub(crate) struct Bundle {
    bytes: Rc<Vec<u8>>,
    tensors: Rc<HashMap<String, Entry>>,
}

impl Bundle {
    /// Reads a file.
    pub(crate) fn read(path: &Path) -> Result<Bundle, String> {
        let tell = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
        let bytes = std::fs::read(path).map_err(|e| tell(&e))?;
        let file = SafeTensors::deserialize(&bytes).map_err(|e| tell(&e))?;
        let start = bytes.as_ptr() as usize;
        let place = |(name, view): (String, TensorView<'_>)| {
            let at = view.data().as_ptr() as usize - start;
            (name, (at..at + view.data().len(), view.dtype(), view.shape().to_vec()))
        };
        let tensors = Rc::new(file.tensors().into_iter().map(place).collect());
        Ok(Bundle { bytes: Rc::new(bytes), tensors })
    }

    /// A tensor; one that was cut along its first axis is put together.
    pub(crate) fn array(&self, name: &str) -> Result<Array, String> {
        if let Some((range, dtype, sizes)) = self.tensors.get(name) {
            return array(&self.bytes[range.clone()], *dtype, sizes);
        }
        let mut data = Vec::new();
        let mut first: Option<(Dtype, Vec<usize>)> = None;
        for i in 0.. {
            let Some((range, dtype, sizes)) = self.tensors.get(&format!("{name}.{i}")) else {
                break;
            };
            data.extend_from_slice(&self.bytes[range.clone()]);
            match &mut first {
                None => first = Some((*dtype, sizes.clone())),
                Some((_, all)) if all.is_empty() || sizes.is_empty() => break,
                Some((_, all)) => all[0] += sizes[0],
            }
        }
        let (dtype, sizes) = first.ok_or_else(|| format!("no tensor `{name}`"))?;
        array(&data, dtype, &sizes)
    }

    /// Names of all tensors.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }
}

/// Tensors from the bytes of a file.
fn array(data: &[u8], dtype: Dtype, sizes: &[usize]) -> Result<Array, String> {
    let shape = Shape::new(sizes);
    let array = match dtype {
        Dtype::F32 => Array::new(shape, &chunks::<4, f32>(data, f32::from_le_bytes)),
        Dtype::F64 => Array::new(shape, &chunks::<8, f64>(data, f64::from_le_bytes)),
        Dtype::I64 => Array::new(shape, &chunks::<8, i64>(data, i64::from_le_bytes)),
        Dtype::I32 => Array::new(shape, &chunks::<4, i32>(data, i32::from_le_bytes)),
        Dtype::U8 => Array::new(shape, data),
        Dtype::BOOL => Array::new(shape, &data.iter().map(|&b| b != 0).collect::<Vec<_>>()),
        other => return Err(format!("elements of type {other:?}")),
    };
    array.map_err(|e| e.to_string())
}

/// The files of a folder, each read once.
pub(crate) struct Files {
    folder: PathBuf,
    read: RefCell<HashMap<String, Result<Bundle, String>>>,
}

impl Files {
    pub(crate) fn new(folder: &Path) -> Files {
        Files { folder: folder.to_path_buf(), read: RefCell::default() }
    }

    /// The file that a JSON value names; an empty one if it names none.
    pub(crate) fn get(&self, name: &Value) -> Result<Bundle, String> {
        let Some(name) = name.as_str() else { return Ok(Bundle::default()) };
        let mut read = self.read.borrow_mut();
        let read = read.entry(name.to_string());
        read.or_insert_with(|| Bundle::read(&self.folder.join(name))).clone()
    }
}

/// Tensors of one case, made once, so that the same name is the same tensor.
pub(crate) struct Store {
    file: Bundle,
    made: RefCell<HashMap<String, Tensor>>,
}

impl Store {
    pub(crate) fn new(file: &Bundle) -> Store {
        Store { file: file.clone(), made: RefCell::default() }
    }

    pub(crate) fn array(&self, name: &str) -> Result<Array, String> {
        self.file.array(name)
    }

    pub(crate) fn tensor(&self, name: &str) -> Result<Tensor, String> {
        if let Some(t) = self.made.borrow().get(name) {
            return Ok(t.clone());
        }
        let t = leaf(&self.array(name)?);
        self.made.borrow_mut().insert(name.to_string(), t.clone());
        Ok(t)
    }

    /// The tensor, or the plain value, that an output is compared with.
    pub(crate) fn expected(&self, v: &Value) -> Result<Array, String> {
        let made = match v {
            Value::Object(map) => match map.get("tensor").and_then(Value::as_str) {
                Some(name) => return self.array(name),
                None => return Err(format!("an output {v}")),
            },
            Value::Bool(b) => Array::new([], &[*b]),
            Value::Number(n) => match n.as_i64() {
                Some(i) if n.is_i64() => Array::new([], &[i]),
                _ => Array::new([], &[n.as_f64().unwrap_or(f64::NAN)]),
            },
            _ => return Err(format!("an output {v}")),
        };
        made.map_err(|e| e.to_string())
    }

    pub(crate) fn arg(&self, v: &Value) -> Result<Arg, String> {
        Ok(match v {
            Value::Null => Arg::None,
            Value::Bool(b) => Arg::Truth(*b),
            Value::String(s) => Arg::Text(s.clone()),
            Value::Number(n) => match n.as_i64() {
                Some(i) if n.is_i64() => Arg::Integer(i),
                _ => Arg::Real(n.as_f64().ok_or("a number")?),
            },
            Value::Array(list) => {
                Arg::List(list.iter().map(|v| self.arg(v)).collect::<Result<_, _>>()?)
            }
            Value::Object(map) => {
                let (key, inner) = map.iter().next().ok_or("an empty object")?;
                match (key.as_str(), inner) {
                    ("tensor", Value::String(name)) => Arg::Tensor(self.tensor(name)?),
                    ("tensor", inline) => Arg::Tensor(inline_tensor(inline)?),
                    ("float", Value::String(s)) => Arg::Real(s.parse().map_err(|_| "a float")?),
                    ("slice", Value::Array(parts)) => {
                        Arg::Slice(parts.iter().map(|v| self.arg(v)).collect::<Result<_, _>>()?)
                    }
                    ("ellipsis", _) => Arg::Ellipsis,
                    ("scalar_type", Value::String(s)) => Arg::Dtype(s.clone()),
                    _ => return Err(format!("an argument of kind `{key}`")),
                }
            }
        })
    }

    pub(crate) fn call(&self, v: &Value) -> Result<Call, String> {
        let args: Result<_, _> = list(&v["args"]).iter().map(|v| self.arg(v)).collect();
        let kwargs = v["kwargs"].as_object().into_iter().flatten();
        let kwargs: Result<_, String> =
            kwargs.map(|(k, v)| Ok((k.clone(), self.arg(v)?))).collect();
        Ok(Call::new(self.arg(&v["input"])?, args?, kwargs?))
    }
}

fn chunks<const N: usize, T>(data: &[u8], f: fn([u8; N]) -> T) -> Vec<T> {
    data.as_chunks::<N>().0.iter().map(|b| f(*b)).collect()
}

/// A leaf; with gradients if it can have them.
fn leaf(array: &Array) -> Tensor {
    let t = Tensor::from_array(array);
    if array.dtype().is_float() { t.with_grad() } else { t }
}

/// An index file; a failure if it cannot be read.
pub(crate) fn index(folder: &Path, name: &str, report: &mut Report) -> Option<Value> {
    let path = folder.join(name);
    let read = std::fs::read(&path).map_err(|e| e.to_string());
    let parsed = read.and_then(|b| serde_json::from_slice(&b).map_err(|e| e.to_string()));
    match parsed {
        Ok(value) => Some(value),
        Err(why) => {
            report.add(&path.display().to_string(), "reading", Outcome::Failed(why));
            None
        }
    }
}

/// A tensor that is written into the index.
fn inline_tensor(v: &Value) -> Result<Tensor, String> {
    let sizes = v["shape"].as_array().ok_or("no shape")?;
    let sizes: Option<Vec<usize>> = sizes.iter().map(|d| d.as_u64().map(|d| d as usize)).collect();
    let shape = Shape::new(&sizes.ok_or("sizes that are no numbers")?);
    let values = v["values"].as_array();
    let number = |v: &Value| match v["float"].as_str() {
        Some(s) => s.parse().unwrap_or(f64::NAN),
        None => v.as_f64().unwrap_or(f64::NAN),
    };
    let made = match (v["dtype"].as_str(), values) {
        (Some("float32"), None) => Rng::new(1).uniform(shape, -1.0, 1.0),
        (Some("int32"), None) => {
            let any = Rng::new(1).uniform(shape, -9.0, 9.0).map_err(|e| e.to_string())?;
            any.cast(DType::I32)
        }
        (Some("float32"), Some(v)) => {
            Array::new(shape, &v.iter().map(|v| number(v) as f32).collect::<Vec<_>>())
        }
        (Some("float64"), Some(v)) => Array::new(shape, &v.iter().map(number).collect::<Vec<_>>()),
        (Some("int64"), Some(v)) => {
            let whole: Option<Vec<i64>> = v.iter().map(Value::as_i64).collect();
            Array::new(shape, &whole.ok_or("an int64 that is none")?)
        }
        (Some("int32"), Some(v)) => {
            let whole = v.iter().map(|v| i32::try_from(v.as_i64()?).ok()).collect();
            let whole: Option<Vec<i32>> = whole;
            Array::new(shape, &whole.ok_or("an int32 that is none")?)
        }
        (Some("uint8"), Some(v)) => {
            let whole = v.iter().map(|v| u8::try_from(v.as_i64()?).ok()).collect();
            let whole: Option<Vec<u8>> = whole;
            Array::new(shape, &whole.ok_or("a uint8 that is none")?)
        }
        (Some("bool"), Some(v)) => {
            let truths: Option<Vec<bool>> = v.iter().map(Value::as_bool).collect();
            Array::new(shape, &truths.ok_or("a bool that is none")?)
        }
        (dtype, _) => return Err(format!("elements of type {}", dtype.unwrap_or("?"))),
    };
    Ok(match made {
        Ok(array) => Tensor::from(array),
        Err(error) => Tensor::failed(error),
    })
}
