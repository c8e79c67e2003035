//! The workloads: models, data and steps as in the peers' scripts.

use std::path::Path;

use gradus::data::{Batches, Dataset};
use gradus::prelude::*;
use gradus::{Error, Result, Rng};

/// The set that a workload goes through, kept in memory.
pub(super) struct Data {
    pub(super) set: Dataset,
    pub(super) made_up: bool,
}

impl Data {
    pub(super) fn load(name: &str, folder: Option<&Path>) -> Result<Data> {
        let real = |set| Data { set, made_up: false };
        match name {
            "mlp_tabular" => tabular().map(real),
            "xor" => gradus::data::xor().map(real),
            _ => match folder {
                Some(folder) => {
                    let images = gradus::data::mnist_folder(folder)?.train()?.flatten();
                    check_images(&images, folder)?;
                    Ok(real(images))
                }
                None => Ok(Data { set: images()?, made_up: true }),
            },
        }
    }

    /// The first sample as a batch of one.
    pub(super) fn first(&self) -> Result<Tensor> {
        self.set.take(1).arrays().map(|(x, _)| Tensor::from(x))
    }
}

fn check_images(images: &Dataset, folder: &Path) -> Result<()> {
    let (shape, classes) = (images.sample_shape(), images.classes());
    if shape.numel() != 784 || classes.is_none_or(|c| c > 10) {
        let title = format!("the workloads need MNIST's images, not those in {}", folder.display());
        return Err(Error::new(Code::Data, title)
            .line("needed", "28 x 28 pixels, at most 10 classes")
            .line("found", format!("{} numbers, {} classes", shape, classes.unwrap_or(0))));
    }
    Ok(())
}

/// 20 normal features; the class says on which side of a random plane they lie.
fn tabular() -> Result<Dataset> {
    let rng = Rng::new(0);
    let (n, d) = (16384, 20);
    let x = rng.normal([n, d], 0.0, 1.0)?;
    let w = rng.normal([d], 0.0, 1.0)?;
    let (rows, w) = (x.to_vec::<f32>()?, w.to_vec::<f32>()?);
    let side = |row: &[f32]| row.iter().zip(&w).map(|(a, b)| a * b).sum::<f32>() > 0.0;
    let y: Vec<f32> = rows.chunks(d).map(|row| f32::from(u8::from(side(row)))).collect();
    Dataset::from_arrays(x, Array::new([n, 1], &y)?)
}

/// Images of MNIST's number and size: a picture a class, with noise on it, so the loss can fall.
fn images() -> Result<Dataset> {
    const N: usize = 60_000;
    const SIZE: usize = 784;
    let mut state = 0u64;
    // SplitMix64 (Steele and others, 2014): speed is all that matters here.
    let mut draw = move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    // A fifth of the pixels is ink, as in MNIST.
    let pictures: Vec<u8> = (0..10 * SIZE).map(|_| if draw() % 5 == 0 { 160 } else { 0 }).collect();
    let mut pixels = Vec::with_capacity(N * SIZE);
    let mut labels = Vec::with_capacity(N);
    for _ in 0..N {
        let class = (draw() % 10) as usize;
        labels.push(class as i64);
        let picture = pictures.iter().skip(class * SIZE).take(SIZE);
        let mut noise = [0u8; SIZE];
        for chunk in noise.chunks_mut(8) {
            chunk.copy_from_slice(&draw().to_le_bytes());
        }
        pixels.extend(picture.zip(noise).map(|(&p, n)| p.saturating_add(n / 4)));
    }
    let labels = Array::new([N], &labels)?;
    Dataset::from_pixels([SIZE], pixels, labels)?.with_name("made-up images").with_classes(10)
}

/// The model of a workload, with PyTorch's initial scale.
pub(super) fn model(name: &str) -> Result<Sequential> {
    Ok(match name {
        "mlp_mnist" | "infer_mlp_mnist" => {
            seq![Linear::new(784, 512), Relu, Linear::new(512, 256), Relu, Linear::new(256, 10)]
        }
        "mlp_tabular" => {
            seq![Linear::new(20, 64), Relu, Linear::new(64, 32), Relu, Linear::new(32, 1)]
        }
        "xor" => seq![Linear::new(2, 8), Tanh, Linear::new(8, 1)],
        "autoencoder" => seq![
            Linear::new(784, 128),
            Relu,
            Linear::new(128, 32),
            Relu,
            Linear::new(32, 128),
            Relu,
            Linear::new(128, 784),
            Sigmoid
        ],
        _ => return Err(Error::internal(format!("bench: no model for {name}"))),
    })
}

/// One prediction, computed.
pub(super) fn predict(model: &Sequential, x: &Tensor) -> Result<()> {
    model.predict(x).to_array().map(drop)
}

/// A training that goes round the set in contiguous batches.
pub(super) struct Training {
    name: String,
    set: Dataset,
    batches: Batches<(Tensor, Tensor)>,
    batch_size: usize,
    model: Sequential,
    optimizer: Box<dyn Optimizer>,
}

impl Training {
    pub(super) fn new(name: &str, set: Dataset) -> Result<Training> {
        let batch_size = match name {
            "mlp_mnist" => 128,
            "mlp_tabular" => 32,
            "xor" => 4,
            _ => 256,
        };
        let model = model(name)?;
        let optimizer: Box<dyn Optimizer> = match name {
            "xor" => Box::new(Sgd::new(&model, 0.5)),
            _ => Box::new(Adam::new(&model, 1e-3)),
        };
        let batches = set.batches(batch_size).drop_last(true);
        Ok(Training { name: name.to_string(), set, batches, batch_size, model, optimizer })
    }

    pub(super) fn batch_size(&self) -> usize {
        self.batch_size
    }

    /// The next batch, forward, loss, backward, update; the loss.
    pub(super) fn step(&mut self) -> Result<f64> {
        let (x, y) = match self.batches.next() {
            Some(batch) => batch,
            None => {
                self.batches = self.set.batches(self.batch_size).drop_last(true);
                self.batches.next().ok_or_else(|| {
                    Error::new(Code::Data, "there are fewer samples than one batch")
                })?
            }
        };
        let output = self.model.forward(&x);
        let loss = match self.name.as_str() {
            "mlp_mnist" => output.cross_entropy(&y),
            "autoencoder" => output.mse_loss(&x),
            _ => output.binary_cross_entropy_with_logits(&y),
        };
        self.optimizer.step(&loss).map(|report| report.loss)
    }
}
