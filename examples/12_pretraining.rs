//! Learning without labels first: an autoencoder is trained to clean noisy digits, then its encoder
//! is fine-tuned with a few labels. Run with
//! `cargo run --release -p gradus --example 12_pretraining [FOLDER-OF-MNIST]`.
//!
//! Without a folder it uses the digits of 8x8 pixels that are built in. The same classifier is
//! trained from scratch on the same labels, over several seeds, so that one sees what the
//! pre-training is worth.
#![allow(clippy::print_stdout, reason = "an example shows its results")]

use gradus::data::Dataset;
use gradus::prelude::*;

/// How many labels there are.
const FEW: usize = 60;

/// Pixels to a short code.
fn encoder(pixels: usize, code: usize) -> Sequential {
    seq![Linear::new(pixels, 4 * code), Relu, Linear::new(4 * code, code), Relu]
}

/// The code to pixels again.
fn decoder(pixels: usize, code: usize) -> Sequential {
    seq![Linear::new(code, 4 * code), Relu, Linear::new(4 * code, pixels), Sigmoid]
}

/// Trains an encoder to keep what a decoder needs to restore the picture from a noisy copy of it
/// (a denoising autoencoder; Vincent et al., 2008). No label is used.
fn pretrain(images: &Dataset, encoder: &Sequential, decoder: &Sequential) -> gradus::Result<()> {
    let both: [&dyn Layer; 2] = [encoder, decoder];
    let model = Both(both);
    let mut opt = Adam::new(&model, 2e-3);
    let epochs = if images.len() > 10_000 { 5 } else { 60 };
    for epoch in 0..epochs {
        let (mut sum, mut batches) = (0.0, 0);
        for (x, _) in images.shuffled(epoch).batches(128) {
            let noisy = x.dropout(0.5) * 0.5; // a third of the pixels are black
            let restored = decoder.forward(&encoder.forward(&noisy));
            sum += opt.step(&restored.mse_loss(&x))?.loss;
            batches += 1;
        }
        if (epoch + 1) % (epochs / 5) == 0 {
            println!("  epoch {:2}: mean squared error {:.4}", epoch + 1, sum / f64::from(batches));
        }
    }
    Ok(())
}

/// Two modules as one, for the optimizer.
struct Both<'m>([&'m dyn Layer; 2]);

impl Module for Both<'_> {
    fn walk(&self, visitor: &mut dyn Visitor) {
        visitor.child("encoder", &self.0[0]);
        visitor.child("decoder", &self.0[1]);
    }
}

/// Trains a classifier on top of the encoder, first alone and then both together; the share of right
/// answers after.
fn fine_tune(
    encoder: Sequential,
    pretrained: bool,
    few: &Dataset,
    test: &Dataset,
) -> gradus::Result<f64> {
    let code = encoder.predict(&Tensor::zeros([1, few.sample_shape().numel()])).dims::<2>()?[1];
    let model = seq![encoder, Linear::new(code, 10)];
    let mut opt = AdamW::new(&model, 1e-3).weight_decay(0.01);
    let encoder = model.get(0).map(ModuleExt::parameters).unwrap_or_default();
    for epoch in 0..90 {
        // While the classifier is still random, its gradients would only disturb the encoder.
        encoder.iter().for_each(|param| param.freeze(pretrained && epoch < 30));
        for (x, y) in few.shuffled(epoch).batches(32) {
            opt.step(&model.forward(&x).cross_entropy(&y))?;
        }
    }
    accuracy(&model, test)
}

fn main() -> gradus::Result<()> {
    let (train, test) = match std::env::args().nth(1) {
        Some(folder) => match gradus::data::mnist_folder(folder)?.load()? {
            (train, Some(test)) => (train.flatten(), test.flatten()),
            (train, None) => train.flatten().split(0.8, 17)?,
        },
        None => gradus::data::digits()?.split(0.8, 17)?,
    };
    let (pixels, code) = (train.sample_shape().numel(), 64);
    println!("{} pictures without labels, {} with; {} to test", train.len(), FEW, test.len());

    let (mut scratch, mut tuned) = (Vec::new(), Vec::new());
    for seed in 0..10 {
        gradus::seed(seed);
        let few = train.shuffled(100 + seed).take(FEW);
        println!("seed {seed}: pre-training");
        let (encoder, decoder) = (encoder(pixels, code), decoder(pixels, code));
        pretrain(&train, &encoder, &decoder)?;
        tuned.push(fine_tune(encoder, true, &few, &test)?);
        scratch.push(fine_tune(self::encoder(pixels, code), false, &few, &test)?);
    }
    let percent = |v: &[f64]| 100.0 * v.iter().sum::<f64>() / v.len() as f64;
    println!("from scratch:      {:.1} % correct", percent(&scratch));
    println!("after pre-training: {:.1} % correct", percent(&tuned));
    Ok(())
}
