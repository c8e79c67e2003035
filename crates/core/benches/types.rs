//! The element types side by side: each operation on 1000 x 1000 elements, on one thread, in ms, and
//! as a ratio to f32 in the same run. Run with `cargo bench -p gradus-core --bench types`.
#![allow(clippy::print_stdout, clippy::unwrap_used)] // a program

use std::time::Instant;

use gradus_core::{DType, Tensor, set_threads};

type Call = fn(&Tensor) -> Tensor;

/// The fastest of a few runs, in ms.
fn time(x: &Tensor, call: Call) -> Option<f64> {
    call(x).check().ok()?;
    let once = || {
        let start = Instant::now();
        call(x).to_array().unwrap();
        start.elapsed().as_secs_f64() * 1e3
    };
    (0..7).map(|_| once()).reduce(f64::min)
}

fn main() {
    set_threads(1);
    let calls: [(&str, Call); 11] = [
        ("x + x", |x| x + x),
        ("x * x - x", |x| x * x - x),
        ("x < x.flip", |x| x.lt(x.flip(0))),
        ("exp", |x| x.exp()),
        ("log", |x| x.log()),
        ("tanh", |x| x.tanh()),
        ("sin", |x| x.sin()),
        ("sum", |x| x.sum()),
        ("max of rows", |x| x.max_dim(1)),
        ("transpose", |x| x.t().flip(0)),
        ("matmul", |x| x.matmul(x)),
    ];
    let types = [DType::F32, DType::F64, DType::I64, DType::I32, DType::U8];
    print!("{:12}", "");
    types.iter().for_each(|d| print!("{:>20}", d.to_string()));
    println!();
    for (name, call) in calls {
        print!("{name:12}");
        let mut base = None;
        for dtype in types {
            let x = (Tensor::rand([1000, 1000]) * 3.0 + 0.1).cast(dtype).to_array().unwrap();
            match time(&Tensor::from(&x), call) {
                Some(ms) => {
                    let ratio = ms / *base.get_or_insert(ms);
                    print!("{:>20}", format!("{ms:.2} ms ({ratio:.1})"));
                }
                None => print!("{:>20}", "-"),
            }
        }
        println!();
    }
}
