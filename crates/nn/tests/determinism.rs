//! Ten models train to the same bits, parameters and buffers, on any number of threads, with AVX2 and
//! AVX-512, whichever tensors are held, with every job cut into all of its pieces.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test stops at the first failure"
)]

use gradus_core::{
    Array, DType, Isa, Rng, Tensor, isa, reset_workers_that_ran, seed, set_split_all, set_threads,
    workers_that_ran,
};
use gradus_nn::models::{
    AutoEncoder, CharRnn, Gcn, Gpt, GptConfig, Mlp, ResNet, VariationalAutoEncoder,
    VisionTransformer, VisionTransformerConfig,
};
use gradus_nn::optim::RmsProp;
use gradus_nn::{
    Adam, AdamW, Conv2d, Dropout, Flatten, Gru, Linear, MaxPool2d, Module, ModuleExt, Optimizer,
    Relu, Sgd, seq,
};

/// Normal numbers that depend on nothing but the number.
fn normal(shape: &[usize], number: u64) -> Tensor {
    Tensor::from(Rng::new(number).normal(shape.to_vec(), 0.0, 1.0).unwrap())
}

fn classes(count: usize, kinds: i64) -> Tensor {
    let ids: Vec<i64> = (0..count as i64).map(|i| (i * 7 + i / 3) % kinds).collect();
    Tensor::from(ids)
}

fn text(rows: usize, length: usize, kinds: i64) -> Tensor {
    let ids: Vec<i64> = (0..(rows * length) as i64).map(|i| (i * i + i / 5) % kinds).collect();
    Tensor::from(Array::new([rows, length], &ids).unwrap())
}

/// What a step leaves behind: the loss, and what a user could hold on the way to it.
type Way = (Tensor, Vec<Tensor>);

/// Trains for three steps; a hash of parameters, buffers and losses.
fn trained(
    model: &dyn Module,
    mut optimizer: impl Optimizer,
    hold: bool,
    loss: impl Fn() -> Way,
) -> u64 {
    let mut hash = Hash(0xcbf2_9ce4_8422_2325);
    let mut held = Vec::new();
    for _ in 0..3 {
        let (loss, way) = loss();
        if hold {
            held.extend(way);
            held.push(loss.clone());
        }
        hash.add(&optimizer.step(&loss).unwrap().loss.to_bits().to_le_bytes());
    }
    for (name, value) in model.state_dict().unwrap().iter() {
        hash.add(name.as_bytes());
        for v in value.to_f64() {
            hash.add(&v.to_bits().to_le_bytes());
        }
    }
    hash.0
}

/// FNV-1a (Fowler, Noll and Vo).
struct Hash(u64);

impl Hash {
    fn add(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

fn perceptron(hold: bool) -> u64 {
    let model = Mlp::new(&[37, 96, 64, 10]).batch_norm().dropout(0.2);
    let optimizer = AdamW::new(&model, 1e-2).weight_decay(0.01);
    trained(&model, optimizer, hold, || {
        let out = model.forward(&normal(&[260, 37], 1));
        let loss = out.cross_entropy(&classes(260, 10));
        (loss, vec![out.softmax(-1), out])
    })
}

fn autoencoder(hold: bool) -> u64 {
    let model = AutoEncoder::new(&[100, 48, 12]);
    trained(&model, Adam::new(&model, 1e-2), hold, || {
        let x = normal(&[300, 100], 2).sigmoid();
        let code = model.encode(&x);
        let out = model.decode(&code);
        (out.mse_loss(&x), vec![x, code, out])
    })
}

fn convolutions(hold: bool) -> u64 {
    let model = seq![
        Conv2d::new(1, 8, 3),
        Relu,
        Conv2d::new(8, 16, 3),
        Relu,
        MaxPool2d::new(2),
        Dropout::new(0.25),
        Flatten,
        Linear::new(16 * 6 * 6, 32),
        Relu,
        Dropout::new(0.5),
        Linear::new(32, 10)
    ];
    let optimizer = RmsProp::new(&model, 1e-3);
    trained(&model, optimizer, hold, || {
        let mut h = normal(&[33, 1, 16, 16], 3);
        let mut way = vec![h.clone()];
        for layer in model.iter() {
            h = layer.forward(&h);
            way.push(h.clone());
        }
        (h.cross_entropy(&classes(33, 10)), way)
    })
}

fn residual(hold: bool) -> u64 {
    let model = ResNet::cifar(1, 3, 8, 10);
    let optimizer = Sgd::new(&model, 0.05).momentum(0.9).weight_decay(5e-4);
    trained(&model, optimizer, hold, || {
        let features = model.features(&normal(&[17, 3, 16, 16], 4));
        let out = model.fc.forward(&features);
        (out.cross_entropy(&classes(17, 10)), vec![features, out])
    })
}

fn long_memory(hold: bool) -> u64 {
    let model = CharRnn::new(24, 16, 40).num_layers(2).dropout(0.1);
    trained(&model, Adam::new(&model, 1e-2), hold, || {
        let ids = text(19, 13, 24);
        let (out, (h, c)) = model.forward_from(&ids.slice(1, 0, -1, 1), None);
        let next = ids.slice(1, 1, isize::MAX, 1).flatten(0);
        (out.flatten_dims(0, 1).cross_entropy(&next), vec![out, h, c])
    })
}

fn gates(hold: bool) -> u64 {
    let model = Gru::new(12, 24).bidirectional().batch_first(true);
    let optimizer = Adam::new(&model, 1e-2);
    trained(&model, optimizer, hold, || {
        let (out, h) = model.forward(&normal(&[21, 9, 12], 5));
        (out.square().mean() + h.abs().sum() * 0.01, vec![out, h])
    })
}

fn language(hold: bool) -> u64 {
    let sizes = GptConfig {
        vocab_size: 50,
        n_positions: 24,
        n_embd: 32,
        n_layer: 2,
        n_head: 4,
        dropout: 0.1,
    };
    let model = Gpt::new(sizes);
    let optimizer = AdamW::new(&model, 1e-3);
    trained(&model, optimizer, hold, || {
        let ids = text(7, 25, 50);
        let out = model.forward(&ids.slice(1, 0, -1, 1));
        let next = ids.slice(1, 1, isize::MAX, 1).flatten(0);
        (out.flatten_dims(0, 1).cross_entropy(&next), vec![out, next])
    })
}

fn vision(hold: bool) -> u64 {
    let model = VisionTransformer::new(VisionTransformerConfig {
        image_size: 12,
        patch_size: 4,
        in_channels: 3,
        num_layers: 2,
        num_heads: 2,
        hidden_dim: 48,
        mlp_dim: 96,
        num_classes: 10,
        dropout: 0.1,
        attention_dropout: 0.1,
    });
    let optimizer = AdamW::new(&model, 1e-3);
    trained(&model, optimizer, hold, || {
        let out = model.forward(&normal(&[64, 3, 12, 12], 6));
        (out.cross_entropy(&classes(64, 10)), vec![out])
    })
}

fn graph(hold: bool) -> u64 {
    let model = Gcn::new(20, 32, 6, 2).dropout(0.3);
    let edge = |i: i64| (i * i * 31 + i * 7) % 150;
    let ends: Vec<i64> = (0..600).map(edge).chain((0..600).map(|i| edge(i + 13))).collect();
    let edges = Array::new([2, 600], &ends).unwrap();
    trained(&model, Adam::new(&model, 1e-2), hold, || {
        let out = model.forward(&normal(&[150, 20], 7), &Tensor::from(&edges));
        (out.cross_entropy(&classes(150, 6)), vec![out])
    })
}

fn variational(hold: bool) -> u64 {
    let model = VariationalAutoEncoder::new(&[100, 96, 12]);
    trained(&model, Adam::new(&model, 1e-2), hold, || {
        let x = normal(&[300, 100], 8).gt(0.0).cast(DType::F32);
        let (mean, log_var) = model.encode(&x);
        (model.loss(&x), vec![x, mean, log_var])
    })
}

/// A model's name, and its training with tensors held or not.
type Case = (&'static str, fn(bool) -> u64);

const CASES: [Case; 10] = [
    ("mlp", perceptron),
    ("autoencoder", autoencoder),
    ("cnn with dropout", convolutions),
    ("resnet with batch norm", residual),
    ("lstm", long_memory),
    ("gru", gates),
    ("gpt", language),
    ("vit", vision),
    ("gcn", graph),
    ("vae", variational),
];

#[test]
fn ten_models_train_to_the_same_bits_however_they_are_run() {
    let best = isa::best();
    let levels: Vec<Isa> = [Isa::Avx2, Isa::Avx512].into_iter().filter(|l| *l <= best).collect();
    for level in [Isa::Avx2, Isa::Avx512] {
        if !levels.contains(&level) {
            println!("skipped: this machine has no {}", level.name());
        }
    }
    let levels = if levels.is_empty() { vec![Isa::Generic] } else { levels };
    let mut differences = Vec::new();
    for (name, train) in CASES {
        let run = |hold: bool| {
            seed(23);
            train(hold)
        };
        set_threads(1);
        set_split_all(false);
        let want = run(false);
        let mut workers = 1;
        for &level in &levels {
            isa::force(level);
            set_split_all(true);
            for threads in [1, 2, 3, 4] {
                set_threads(threads);
                reset_workers_that_ran();
                for hold in [false, true] {
                    if run(hold) != want {
                        let held = if hold { "held" } else { "not held" };
                        differences.push(format!(
                            "{name}: {}, {threads} threads, handles {held}",
                            level.name()
                        ));
                    }
                }
                workers = workers.max(workers_that_ran());
            }
        }
        isa::force(best);
        // On a busy machine one worker may be done before another wakes up: so try again.
        for _ in 0..50 {
            if workers > 1 {
                break;
            }
            if run(false) != want {
                differences.push(format!("{name}: tried again"));
            }
            workers = workers_that_ran();
        }
        if workers < 2 {
            differences.push(format!("{name}: only one worker ran"));
        }
        println!("{name}: {want:016x}");
    }
    assert!(differences.is_empty(), "not the same bits:\n{}", differences.join("\n"));
}
