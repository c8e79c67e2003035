//! Training without writing the loop. Run with
//! `cargo run --release -p gradus --example 05_trainer`.
//!
//! The `Trainer` makes batches, steps, measures after each epoch and calls back. It does nothing
//! that the loop of `03_digits` could not do; it only saves writing it, and gets the tedious parts
//! right: the best weights are kept, a failed step changes nothing, the same seed gives the same
//! bits.
#![allow(clippy::print_stdout, reason = "an example shows its results")]

use gradus::prelude::*;

/// A callback sees each event and may steer. This one lowers the rate when the loss stands still.
struct LowerOnPlateau {
    best: f64,
}

impl Callback for LowerOnPlateau {
    fn on_event(&mut self, event: &Event<'_>, state: &mut TrainState<'_>) -> gradus::Result<Flow> {
        if let Event::EpochEnd { epoch, metrics } = event {
            let loss = metrics.get("valid.loss").unwrap_or(f64::NAN);
            if loss > self.best {
                let rate = state.lr() / 2.0;
                state.set_lr(rate);
                println!("epoch {epoch}: no progress, the rate is now {rate:.2e}");
            }
            self.best = self.best.min(loss);
        }
        Ok(Flow::Continue)
    }
}

fn main() -> gradus::Result<()> {
    // Three parts: to train on, to choose by, and one that is looked at once, at the very end.
    let (train, valid, test) = gradus::data::digits()?.split3(0.1, 0.2, 17)?;
    gradus::seed(17);
    let model = seq![Linear::new(64, 128), Relu, Dropout::new(0.2), Linear::new(128, 10)];
    let folder = std::env::temp_dir().join("gradus_trainer");

    let mut report = Trainer::new(&model, AdamW::new(&model, 3e-3))
        .loss(cross_entropy)
        .metric(Accuracy::new())
        .batch_size(32)
        .seed(17) // the order of the samples, and dropout
        .callback(LowerOnPlateau { best: f64::INFINITY })
        .callback(EarlyStopping::on("valid.loss").patience(6).min_delta(1e-3).restore_best())
        .callback(Checkpoint::best("valid.loss", &folder))
        .fit(&train, &valid, Epochs(40))?;

    // The model now has the weights of the best epoch, so it is what the test is for.
    report.test(&model, &test)?;
    println!("\n{report}");

    // The same weights lie in the file, for another program.
    let again = seq![Linear::new(64, 128), Relu, Dropout::new(0.2), Linear::new(128, 10)];
    again.load(folder.join("model.safetensors"))?;
    println!("\nloaded from the file: {:.2} % correct", 100.0 * accuracy(&again, &test)?);
    Ok(())
}
