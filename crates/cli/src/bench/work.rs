//! The workloads: models, data and steps as in the peers' scripts.

use std::path::Path;

use gradus::data::{Batches, Dataset};
use gradus::nn::models::CharRnn;
use gradus::prelude::*;
use gradus::{Error, Result, Rng};

use super::nets::{self, Gpt, ResNet20};

/// What a workload goes through, kept in memory.
pub(super) enum Data {
    Samples {
        set: Dataset,
        /// Whether the images are not those that the workload is named after.
        made_up: bool,
    },
    Text(Text),
}

impl Data {
    pub(super) fn load(name: &str, folder: Option<&Path>) -> Result<Data> {
        let real = |set| Data::Samples { set, made_up: false };
        let base = name
            .trim_start_matches("infer_")
            .trim_end_matches("_loop")
            .trim_end_matches("_captured");
        let data = match base {
            "mlp_tabular" => return tabular().map(real),
            "xor" => return gradus::data::xor().map(real),
            "resnet20" => return colours().map(real),
            "lstm_char" => return Ok(Data::Text(Text::counter(2048, 65, 96))),
            "gpt_mini" => {
                let length = Gpt::TIME + 1;
                return Ok(Data::Text(Text::counter(2048, length, Gpt::VOCABULARY as i64)));
            }
            _ => match folder {
                Some(folder) => {
                    let images = gradus::data::mnist_folder(folder)?.train()?.flatten();
                    check_images(&images, folder)?;
                    Data::Samples { set: images, made_up: false }
                }
                None => Data::Samples { set: images()?, made_up: true },
            },
        };
        match data {
            Data::Samples { set, made_up } if base == "cnn_mnist" => {
                Ok(Data::Samples { set: set.reshape_samples([1, 28, 28])?, made_up })
            }
            data => Ok(data),
        }
    }

    pub(super) fn made_up(&self) -> bool {
        matches!(self, Data::Samples { made_up: true, .. })
    }

    /// The first sample as a batch of one.
    pub(super) fn first(&self) -> Result<Tensor> {
        match self {
            Data::Samples { set, .. } => set.take(1).arrays().map(|(x, _)| Tensor::from(x)),
            Data::Text(text) => text.rows(0, 1),
        }
    }
}

/// Rows of tokens, one after the other.
pub(super) struct Text {
    ids: Vec<i64>,
    length: usize,
    /// The row that comes next.
    place: usize,
}

impl Text {
    /// A counter that stumbles: it can be learned, so the loss has to fall.
    pub(super) fn counter(rows: usize, length: usize, vocabulary: i64) -> Text {
        let mut draw = mixed();
        let id = |i: usize| (i as i64 * 7 + (draw() % 3) as i64) % vocabulary;
        Text { ids: (0..rows * length).map(id).collect(), length, place: 0 }
    }

    fn rows(&self, from: usize, count: usize) -> Result<Tensor> {
        let (from, end) = (from * self.length, (from + count) * self.length);
        let ids = self.ids.get(from..end).unwrap_or_default();
        Array::new([count, self.length], ids).map(Tensor::from)
    }

    /// The next rows, round and round.
    fn next(&mut self, count: usize) -> Result<Tensor> {
        if (self.place + count) * self.length > self.ids.len() {
            self.place = 0;
        }
        self.place += count;
        self.rows(self.place - count, count)
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

/// Normal numbers in the shape of CIFAR-10's images, with classes drawn at random.
fn colours() -> Result<Dataset> {
    const N: usize = 2048;
    let mut draw = mixed();
    let classes: Vec<i64> = (0..N).map(|_| (draw() % 10) as i64).collect();
    let x = Rng::new(0).normal([N, 3, 32, 32], 0.0, 1.0)?;
    Dataset::from_arrays(x, Array::new([N], &classes)?)?.with_classes(10)
}

/// SplitMix64 (Steele and others, 2014): speed is all that matters here.
pub(super) fn mixed() -> impl FnMut() -> u64 {
    let mut state = 0u64;
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// Images of MNIST's number and size: a picture a class, with noise on it, so the loss can fall.
fn images() -> Result<Dataset> {
    const N: usize = 60_000;
    const SIZE: usize = 784;
    let mut draw = mixed();
    // A fifth of the pixels is ink, as in MNIST.
    let pictures: Vec<u8> =
        (0..10 * SIZE).map(|_| if draw().is_multiple_of(5) { 160 } else { 0 }).collect();
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

/// The nets of layers one after the other, with PyTorch's initial values.
pub(super) fn layers(name: &str) -> Result<Sequential> {
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
        "cnn_mnist" | "infer_cnn_mnist" => nets::cnn(),
        _ => return Err(Error::internal(format!("bench: no model for {name}"))),
    })
}

/// What makes one prediction of a sample and reads it: recorded each time, or with `_captured` in the name
/// once and then replayed, as JAX's jitted functions and ONNX Runtime's sessions.
pub(super) fn prediction(name: &str, x: Tensor) -> Result<Box<dyn FnMut() -> Result<()>>> {
    let model = layers(name.trim_end_matches("_captured"))?;
    if !name.ends_with("_captured") {
        return Ok(Box::new(move || model.predict(&x).to_array().map(drop)));
    }
    let mut replayed = gradus::capture(move |inputs: &[Tensor]| {
        let [x] = inputs else { return Err(Error::internal("bench: not one input")) };
        Ok(model.predict(x))
    });
    Ok(Box::new(move || replayed.run(&[&x])?.to_array().map(drop)))
}

/// A set that is gone through in contiguous batches, round and round.
pub(super) struct Samples {
    set: Dataset,
    batches: Batches<(Tensor, Tensor)>,
    batch_size: usize,
}

impl Samples {
    pub(super) fn new(set: Dataset, batch_size: usize) -> Samples {
        Samples { batches: set.batches(batch_size).drop_last(true), set, batch_size }
    }

    fn next(&mut self) -> Result<(Tensor, Tensor)> {
        if let Some(batch) = self.batches.next() {
            return Ok(batch);
        }
        self.batches = self.set.batches(self.batch_size).drop_last(true);
        let few = || Error::new(Code::Data, "there are fewer samples than one batch");
        self.batches.next().ok_or_else(few)
    }
}

/// The next batch, forward, loss, backward, update; the loss.
type Step = Box<dyn FnMut() -> Result<f64>>;

/// Steps that a call of a captured loop makes, as JAX's `lax.scan` of `jax_bench.py --scan 100`.
const IN_A_CALL: usize = 100;

/// A training that is ready to go.
pub(super) struct Training {
    pub(super) batch_size: usize,
    /// How many steps a call of `step` makes.
    pub(super) steps: usize,
    pub(super) parameters: usize,
    pub(super) step: Step,
}

impl Training {
    pub(super) fn new(name: &str, data: Data) -> Result<Training> {
        match data {
            Data::Samples { set, .. } => Training::of_samples(name, set),
            Data::Text(text) if name == "lstm_char" => {
                let model = CharRnn::new(96, 64, 256);
                let optimizer = Adam::new(&model, 1e-3);
                Ok(Training::of_text(model, optimizer, text, 32))
            }
            Data::Text(text) => {
                let model = Gpt::mini();
                let optimizer = AdamW::new(&model, 3e-4).weight_decay(0.01);
                Ok(Training::of_text(model, optimizer, text, 8))
            }
        }
    }

    fn of_samples(name: &str, set: Dataset) -> Result<Training> {
        if name == "resnet20" {
            let model = ResNet20::new();
            let optimizer = Sgd::new(&model, 0.1).momentum(0.9).weight_decay(5e-4);
            return Ok(Training::with(model, optimizer, Samples::new(set, 64), classes));
        }
        let (name, captured) = match name.strip_suffix("_loop") {
            Some(name) => (name, true),
            None => (name, false),
        };
        let model = layers(name)?;
        if captured {
            return match name {
                "xor" => {
                    let sgd = Sgd::new(&model, 0.5);
                    Training::captured(model, sgd, &set, 4)
                }
                _ => {
                    let adam = Adam::new(&model, 1e-3);
                    Training::captured(model, adam, &set, 32)
                }
            };
        }
        let adam = Adam::new(&model, 1e-3);
        let feed = |size| Samples::new(set, size);
        Ok(match name {
            "xor" => {
                let sgd = Sgd::new(&model, 0.5);
                Training::with(model, sgd, feed(4), two)
            }
            "mlp_tabular" => Training::with(model, adam, feed(32), two),
            "cnn_mnist" => Training::with(model, adam, feed(64), classes),
            "autoencoder" => Training::with(model, adam, feed(256), |out, x, _| out.mse_loss(x)),
            _ => Training::with(model, adam, feed(128), classes),
        })
    }

    /// The loss is one of outputs, samples, targets.
    pub(super) fn with(
        model: impl Layer + 'static,
        mut optimizer: impl Optimizer + 'static,
        mut feed: Samples,
        loss: fn(&Tensor, &Tensor, &Tensor) -> Tensor,
    ) -> Training {
        let (batch_size, parameters) = (feed.batch_size, model.num_parameters());
        let step = move || {
            let (x, y) = feed.next()?;
            let loss = loss(&model.forward(&x), &x, &y);
            optimizer.step(&loss).map(|report| report.loss)
        };
        Training { batch_size, steps: 1, parameters, step: Box::new(step) }
    }

    /// Many steps in a call, recorded once and replayed on the batches where they lie.
    fn captured(
        model: impl Layer + 'static,
        mut optimizer: impl Optimizer + 'static,
        set: &Dataset,
        batch_size: usize,
    ) -> Result<Training> {
        let parameters = model.num_parameters();
        let (x, y) = set.arrays()?;
        let (x, y) = (Tensor::from(x), Tensor::from(y));
        let mut replayed = gradus::capture(move |batch: &[Tensor]| {
            let [x, y] = batch else { return Err(Error::internal("bench: not two inputs")) };
            let loss = model.forward(x).binary_cross_entropy_with_logits(y);
            optimizer.step(&loss)?;
            Ok(loss)
        });
        let (batches, mut place) = ((set.len() / batch_size).max(1), 0);
        let mut starts = Vec::new();
        let step = move || {
            starts.clear();
            starts.extend((0..IN_A_CALL).map(|i| (place + i) % batches * batch_size));
            place = (place + IN_A_CALL) % batches;
            let losses = replayed.run_rows(&[&x, &y], batch_size, &starts)?;
            losses.select(0, -1).item()
        };
        Ok(Training { batch_size, steps: IN_A_CALL, parameters, step: Box::new(step) })
    }

    /// A language model learns what comes after each token.
    pub(super) fn of_text(
        model: impl Layer + 'static,
        mut optimizer: impl Optimizer + 'static,
        mut text: Text,
        batch_size: usize,
    ) -> Training {
        let parameters = model.num_parameters();
        let step = move || {
            let ids = text.next(batch_size)?;
            let logits = model.forward(&ids.slice(1, 0, -1, 1));
            let next = ids.slice(1, 1, isize::MAX, 1);
            let loss = logits.flatten_dims(0, 1).cross_entropy(&next.flatten(0));
            optimizer.step(&loss).map(|report| report.loss)
        };
        Training { batch_size, steps: 1, parameters, step: Box::new(step) }
    }
}

pub(super) fn classes(out: &Tensor, _: &Tensor, y: &Tensor) -> Tensor {
    out.cross_entropy(y)
}

fn two(out: &Tensor, _: &Tensor, y: &Tensor) -> Tensor {
    out.binary_cross_entropy_with_logits(y)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first failure")]

    use super::*;

    /// Parameters and the loss before the first update are PyTorch 2.13's: the range of five seeds of
    /// `benches/peers/torch_bench.py`, a little widened.
    #[test]
    fn models_are_those_of_the_peers() {
        for (name, parameters, loss) in [
            ("mlp_mnist", 535_818, 2.27..2.34),
            ("mlp_tabular", 3_457, 0.65..0.73),
            ("xor", 33, 0.65..0.9),
            ("cnn_mnist", 1_199_882, 2.27..2.34),
            ("resnet20", 272_474, 2.3..2.8),
            ("lstm_char", 360_544, 4.55..4.59),
            ("gpt_mini", 3_323_392, 5.65..5.8),
            ("autoencoder", 209_968, 0.1..0.3),
        ] {
            gradus::seed(1);
            let mut training = Training::new(name, Data::load(name, None).unwrap()).unwrap();
            assert_eq!(training.parameters, parameters, "{name}");
            let first = (training.step)().unwrap();
            assert!(loss.contains(&first), "{name}: {first}");
        }
    }
}
