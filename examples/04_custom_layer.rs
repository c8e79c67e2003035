//! A layer of one's own. Run with `cargo run --release -p gradus --example 04_custom_layer`.
//!
//! A module is a plain struct. `#[derive(Module)]` lets optimizers, files and messages see what is
//! in it, by the names of its fields; `Layer` says what it computes. That is all: no registration,
//! no base class, and nothing here that the library's own layers do not do the same way.
#![allow(clippy::print_stdout, reason = "an example shows its results")]

use gradus::prelude::*;

/// A linear map whose outputs are switched on and off by a second one (Dauphin and others, 2017).
#[derive(Module)]
struct Gated {
    value: Linear,
    gate: Linear,
    scale: Param, // a parameter of our own: it trains because the struct holds it
}

impl Gated {
    fn new(inputs: usize, outputs: usize) -> gradus::Result<Gated> {
        Ok(Gated {
            value: Linear::new(inputs, outputs),
            gate: Linear::new(inputs, outputs),
            scale: Param::new(gradus::nn::init::ones([outputs])?),
        })
    }
}

impl Layer for Gated {
    fn forward(&self, x: &Tensor) -> Tensor {
        self.value.forward(x) * self.gate.forward(x).sigmoid() * &self.scale
    }
}

/// Modules hold modules.
#[derive(Module)]
struct Classifier {
    hidden: Gated,
    output: Linear,
}

impl Layer for Classifier {
    fn forward(&self, x: &Tensor) -> Tensor {
        self.output.forward(&self.hidden.forward(x))
    }
}

fn main() -> gradus::Result<()> {
    gradus::seed(17);
    // Two spirals wound into each other: no straight line separates them.
    let data = gradus::data::spirals(400, 0.02, 17)?;
    let model = Classifier { hidden: Gated::new(2, 64)?, output: Linear::new(64, 2) };
    println!("{} numbers to train:", model.num_parameters());
    for (name, param) in model.named_parameters() {
        println!("  {name:20} {}", param.shape());
    }

    let mut opt = Adam::new(&model, 0.02);
    for epoch in 0..200 {
        for (x, y) in data.shuffled(epoch).batches(50) {
            opt.step(&model.forward(&x).cross_entropy(&y))?;
        }
        if epoch % 50 == 49 {
            println!("epoch {epoch}: {:.1} % correct", 100.0 * accuracy(&model, &data)?);
        }
    }

    // What was learnt lies under the names of the fields, in a file that PyTorch reads too.
    let file = std::env::temp_dir().join("gated.safetensors");
    model.save(&file)?;
    let copy = Classifier { hidden: Gated::new(2, 64)?, output: Linear::new(64, 2) };
    copy.load(&file)?;
    println!("a copy from the file: {:.1} % correct\n", 100.0 * accuracy(&copy, &data)?);

    // A batch of the wrong width: the message names the layer by its path in the model, the
    // parameter, and this line.
    if let Err(error) = model.forward(&Tensor::zeros([8, 3])).check() {
        println!("{error}");
    }
    Ok(())
}
