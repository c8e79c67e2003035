//! A training step of a language model of characters: an embedding of 65, an LSTM of 2 layers with
//! 256 units, an affine layer; 64 samples of 128 steps; Adam, on one thread. Beside it, what the
//! products of the step alone take, as the ratio that can be compared between machines. Run with
//! `cargo bench -p gradus-nn --bench recurrent`; the same in PyTorch is in the comment below.
//!
//! ```python
//! import torch, time
//! torch.set_num_threads(1)
//! e, l, f = torch.nn.Embedding(65, 65), torch.nn.LSTM(65, 256, 2), torch.nn.Linear(256, 65)
//! opt = torch.optim.Adam([*e.parameters(), *l.parameters(), *f.parameters()], 1e-3)
//! x, y = torch.randint(65, (128, 64)), torch.randint(65, (128 * 64,))
//! for _ in range(5):
//!     start = time.time()
//!     opt.zero_grad()
//!     loss = torch.nn.functional.cross_entropy(f(l(e(x))[0]).flatten(0, 1), y)
//!     loss.backward()
//!     opt.step()
//!     print(1e3 * (time.time() - start), "ms")
//! ```
#![allow(clippy::print_stdout, clippy::unwrap_used)] // a program

use std::time::Instant;

use gradus_core::{Tensor, set_threads};
use gradus_nn::{Adam, Embedding, Linear, Lstm, Module, Optimizer};

#[derive(Module)]
struct Model {
    embedding: Embedding,
    lstm: Lstm,
    head: Linear,
}

/// The fastest of some runs, in ms.
fn fastest(mut f: impl FnMut()) -> f64 {
    let mut once = || {
        let start = Instant::now();
        f();
        start.elapsed().as_secs_f64() * 1e3
    };
    (0..5).map(|_| once()).fold(f64::INFINITY, f64::min)
}

fn main() {
    set_threads(1);
    let model = Model {
        embedding: Embedding::new(65, 65),
        lstm: Lstm::new(65, 256).num_layers(2),
        head: Linear::new(256, 65),
    };
    let mut opt = Adam::new(&model, 1e-3);
    let x = Tensor::randint([128, 64], 0, 65).to_array().unwrap();
    let y = Tensor::randint([128 * 64], 0, 65).to_array().unwrap();
    let mut step = || {
        let (states, _) = model.lstm.forward(&model.embedding.forward(&Tensor::from(&x)));
        let logits = model.head.forward(&states).flatten_dims(0, 1);
        opt.step(&logits.cross_entropy(&Tensor::from(&y))).unwrap();
    };
    let start = Instant::now();
    step();
    println!("first step, with its plan {:8.1} ms", start.elapsed().as_secs_f64() * 1e3);
    let steady = fastest(step);
    // Forward, and twice as much backward.
    let (a, b) = (Tensor::rand([8192, 256]), Tensor::rand([256, 1024]));
    let (a, b) = (a.to_array().unwrap(), b.to_array().unwrap());
    let one = fastest(|| {
        Tensor::from(&a).matmul(Tensor::from(&b)).to_array().unwrap();
    });
    let products = one * 3.0 * (3.0 + 65.0 / 256.0);
    println!("a step                    {steady:8.1} ms");
    println!("its products alone        {products:8.1} ms, a ratio of {:.2}", steady / products);
}
