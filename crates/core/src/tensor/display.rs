//! Printing: `Debug` shows type, shape and state without computing anything; `Display` computes
//! and prints the numbers.

use std::fmt;

use super::Tensor;
use crate::array::Array;
use crate::graph::dtype::DType;
use crate::graph::recorder;
use crate::ops::Op;

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (meta, state, place) = recorder::with(|r| {
            let node = r.node(self.slot());
            let state = match (&node.op, &node.value) {
                (Op::Failed, _) => "failed".to_string(),
                (_, Some(_)) => "computed".to_string(),
                (op, None) => format!("recorded `{}`", op.name()),
            };
            let meta = crate::ops::Meta { shape: node.shape, dtype: node.dtype };
            (meta, state, node.place)
        });
        let at = crate::error::place(place);
        write!(f, "Tensor({} {:?}, {state} at {at})", meta.dtype, meta.shape)
    }
}

impl fmt::Display for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_array() {
            Ok(array) => fmt::Display::fmt(&array, f),
            Err(error) => fmt::Display::fmt(&error, f),
        }
    }
}

/// At most this many entries are printed at each end of an axis.
const EDGE: usize = 3;

impl fmt::Display for Array {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values = self.to_f64();
        let text = |v: f64| match self.dtype() {
            DType::Bool => if v != 0.0 { "true" } else { "false" }.to_string(),
            DType::I64 | DType::I32 | DType::U8 => format!("{v}"),
            _ if v == 0.0 || (1e-4..1e6).contains(&v.abs()) => format!("{v:.4}"),
            _ if v.is_finite() => format!("{v:.4e}"),
            _ => format!("{v}"),
        };
        write_axis(f, &text, &values, self.dims(), 0)?;
        if self.dtype() != DType::F32 {
            write!(f, " {}", self.dtype())?;
        }
        Ok(())
    }
}

fn write_axis(
    f: &mut fmt::Formatter<'_>,
    text: &dyn Fn(f64) -> String,
    values: &[f64],
    dims: &[usize],
    depth: usize,
) -> fmt::Result {
    let Some((&size, rest)) = dims.split_first() else {
        return f.write_str(&values.first().map(|&v| text(v)).unwrap_or_default());
    };
    let step = rest.iter().product::<usize>();
    f.write_str("[")?;
    for i in 0..size {
        if size > 2 * EDGE + 2 && (EDGE..size - EDGE).contains(&i) {
            if i == EDGE {
                f.write_str(", ...")?;
            }
            continue;
        }
        if i > 0 {
            match rest.is_empty() {
                true => f.write_str(", ")?,
                false => write!(f, ",\n{:1$}", "", depth + 1)?,
            }
        }
        write_axis(f, text, values.get(i * step..).unwrap_or(&[]), rest, depth + 1)?;
    }
    f.write_str("]")
}
