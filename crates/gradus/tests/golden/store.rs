//! Arrays of a file of golden values, and the arguments that name them.

use crate::harness::{Arg, Call, Outcome, Report};
use gradus::{Array, Rng, Shape, Tensor};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;

/// Tensors of one file, made once, so that the same name is the same tensor.
pub(crate) struct Store<'a> {
    file: Option<SafeTensors<'a>>,
    made: RefCell<HashMap<String, Tensor>>,
}

impl<'a> Store<'a> {
    /// Tensors of a file's bytes; of nothing, if they are none.
    pub(crate) fn new(bytes: &'a [u8]) -> Result<Store<'a>, String> {
        let file = match bytes {
            [] => None,
            some => Some(SafeTensors::deserialize(some).map_err(|e| e.to_string())?),
        };
        Ok(Store { file, made: RefCell::default() })
    }

    pub(crate) fn array(&self, name: &str) -> Result<Array, String> {
        let file = self.file.as_ref().ok_or("no file")?;
        let view = file.tensor(name).map_err(|e| format!("{name}: {e}"))?;
        let (shape, data) = (Shape::new(view.shape()), view.data());
        let array = match view.dtype() {
            Dtype::F32 => Array::new(shape, &chunks::<4, f32>(data, f32::from_le_bytes)),
            Dtype::I64 => Array::new(shape, &chunks::<8, i64>(data, i64::from_le_bytes)),
            Dtype::BOOL => Array::new(shape, &data.iter().map(|&b| b != 0).collect::<Vec<_>>()),
            other => return Err(format!("elements of type {other:?}")),
        };
        array.map_err(|e| e.to_string())
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
                    ("scalar_type", Value::String(_)) => Arg::Dtype,
                    _ => return Err(format!("an argument of kind `{key}`")),
                }
            }
        })
    }

    pub(crate) fn call(&self, v: &Value) -> Result<Call, String> {
        let kwargs = v["kwargs"].as_object().ok_or("no kwargs")?;
        Ok(Call {
            input: self.arg(&v["input"])?,
            args: v["args"]
                .as_array()
                .ok_or("no args")?
                .iter()
                .map(|v| self.arg(v))
                .collect::<Result<_, _>>()?,
            kwargs: kwargs
                .iter()
                .map(|(k, v)| Ok((k.clone(), self.arg(v)?)))
                .collect::<Result<_, String>>()?,
            asked: RefCell::default(),
        })
    }
}

pub(crate) fn chunks<const N: usize, T>(data: &[u8], f: fn([u8; N]) -> T) -> Vec<T> {
    data.chunks_exact(N).map(|b| f(b.try_into().unwrap())).collect()
}

/// A leaf; with gradients if it can have them.
fn leaf(array: &Array) -> Tensor {
    let t = Tensor::from_array(array);
    if array.dtype().is_float() { t.with_grad() } else { t }
}

/// A folder's `index.json`; a failure if it cannot be read, nothing if the folder is absent.
pub(crate) fn index(folder: &Path, report: &mut Report) -> Option<Value> {
    let path = folder.join("index.json");
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
pub(crate) fn inline_tensor(v: &Value) -> Result<Tensor, String> {
    let sizes: Vec<usize> = v["shape"]
        .as_array()
        .ok_or("no shape")?
        .iter()
        .map(|d| d.as_u64().unwrap() as usize)
        .collect();
    let values = v["values"].as_array();
    let number = |v: &Value| v.as_f64().unwrap_or(f64::NAN);
    let shape = Shape::new(&sizes);
    let made = match (v["dtype"].as_str(), values) {
        (Some("float32"), None) => Rng::new(1).uniform(shape, -1.0, 1.0),
        (Some("float32"), Some(v)) => {
            Array::new(shape, &v.iter().map(|v| number(v) as f32).collect::<Vec<_>>())
        }
        (Some("float64"), Some(v)) => Array::new(shape, &v.iter().map(number).collect::<Vec<_>>()),
        (Some("int64"), Some(v)) => {
            Array::new(shape, &v.iter().map(|v| v.as_i64().unwrap()).collect::<Vec<_>>())
        }
        (Some("bool"), Some(v)) => {
            Array::new(shape, &v.iter().map(|v| v.as_bool().unwrap()).collect::<Vec<_>>())
        }
        (dtype, _) => return Err(format!("elements of type {}", dtype.unwrap_or("?"))),
    };
    Ok(match made {
        Ok(array) => Tensor::from(array),
        Err(error) => Tensor::failed(error),
    })
}
