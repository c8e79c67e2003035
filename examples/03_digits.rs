//! A classifier of hand-written digits, loop and all. Run with
//! `cargo run --release -p gradus --example 03_digits`.
#![allow(clippy::print_stdout, reason = "an example shows its results")]

use gradus::prelude::*;

fn main() -> gradus::Result<()> {
    let (train, test) = gradus::data::digits()?.split(0.8, 17)?;
    let model = seq![Linear::new(64, 128), Relu, Linear::new(128, 10)];
    let mut opt = Adam::new(&model, 1e-3);
    for epoch in 0..20 {
        for (x, y) in train.shuffled(epoch).batches(64) {
            let loss = model.forward(&x).cross_entropy(&y);
            opt.step(&loss)?; // backward and update: one plan
        }
        println!("epoch {epoch}: {:.1} % correct", 100.0 * accuracy(&model, &test)?);
    }
    model.save(std::env::temp_dir().join("digits.safetensors"))
}
