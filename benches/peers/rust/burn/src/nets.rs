//! The nets of the workloads.

use burn::module::{Module, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::loss::{BinaryCrossEntropyLossConfig, CrossEntropyLossConfig, MseLoss, Reduction};
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::nn::{
    BatchNorm, BatchNormConfig, Dropout, DropoutConfig, Embedding, EmbeddingConfig, Initializer,
    LayerNorm, LayerNormConfig, Linear, LinearConfig, Lstm, LstmConfig, PaddingConfig2d,
};
use burn::prelude::*;
use burn::tensor::activation::{gelu, relu, sigmoid, tanh};
use burn::tensor::module::attention;
use burn::tensor::ops::AttentionModuleOptions;

/// What a step sees.
pub enum Batch {
    /// Samples, each a row, and classes.
    Rows(Tensor<2>, Tensor<1, Int>),
    /// Tokens, and what comes after each.
    Text(Tensor<2, Int>, Tensor<1, Int>),
}

pub trait Net: Module {
    fn loss(&self, batch: Batch) -> Tensor<1>;
}

fn cross_entropy(out: Tensor<2>, y: Tensor<1, Int>) -> Tensor<1> {
    CrossEntropyLossConfig::new().init(&out.device()).forward(out, y)
}

/// Samples and classes; only models of text see text.
fn rows(batch: Batch) -> (Tensor<2>, Tensor<1, Int>) {
    match batch {
        Batch::Rows(x, y) => (x, y),
        Batch::Text(x, y) => (x.float(), y),
    }
}

fn text(batch: Batch) -> (Tensor<2, Int>, Tensor<1, Int>) {
    match batch {
        Batch::Rows(x, y) => (x.int(), y),
        Batch::Text(x, y) => (x, y),
    }
}

#[derive(Module, Debug)]
pub struct Mlp {
    layers: Vec<Linear>,
    tanh: bool,
    binary: bool,
    sigmoid_out: bool,
}

impl Mlp {
    pub fn new(workload: &str, device: &Device) -> Mlp {
        let layer = |pair: &[usize]| LinearConfig::new(pair[0], pair[1]).init(device);
        Mlp {
            layers: peer::sizes(workload).windows(2).map(layer).collect(),
            tanh: workload == "xor",
            binary: matches!(workload, "xor" | "mlp_tabular"),
            sigmoid_out: workload == "autoencoder",
        }
    }

    pub fn forward(&self, mut x: Tensor<2>) -> Tensor<2> {
        for (i, layer) in self.layers.iter().enumerate() {
            x = layer.forward(x);
            if i + 1 < self.layers.len() {
                x = if self.tanh { tanh(x) } else { relu(x) };
            }
        }
        if self.sigmoid_out { sigmoid(x) } else { x }
    }
}

impl Net for Mlp {
    fn loss(&self, batch: Batch) -> Tensor<1> {
        let (x, y) = rows(batch);
        let out = self.forward(x.clone());
        if self.sigmoid_out {
            MseLoss::new().forward(out, x, Reduction::Mean)
        } else if self.binary {
            let loss = BinaryCrossEntropyLossConfig::new().with_logits(true).init(&out.device());
            loss.forward(out, y.unsqueeze_dim(1))
        } else {
            cross_entropy(out, y)
        }
    }
}

#[derive(Module, Debug)]
pub struct Cnn {
    c1: Conv2d,
    c2: Conv2d,
    pool: MaxPool2d,
    d1: Dropout,
    d2: Dropout,
    f1: Linear,
    f2: Linear,
}

impl Cnn {
    pub fn new(device: &Device) -> Cnn {
        Cnn {
            c1: Conv2dConfig::new([1, 32], [3, 3]).init(device),
            c2: Conv2dConfig::new([32, 64], [3, 3]).init(device),
            pool: MaxPool2dConfig::new([2, 2]).with_strides([2, 2]).init(),
            d1: DropoutConfig::new(0.25).init(),
            d2: DropoutConfig::new(0.5).init(),
            f1: LinearConfig::new(9216, 128).init(device),
            f2: LinearConfig::new(128, 10).init(device),
        }
    }

    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let n = x.dims()[0];
        let x = relu(self.c1.forward(x.reshape([n, 1, 28, 28])));
        let x = self.d1.forward(self.pool.forward(relu(self.c2.forward(x))));
        let x: Tensor<2> = x.flatten(1, 3);
        self.f2.forward(self.d2.forward(relu(self.f1.forward(x))))
    }
}

impl Net for Cnn {
    fn loss(&self, batch: Batch) -> Tensor<1> {
        let (x, y) = rows(batch);
        cross_entropy(self.forward(x), y)
    }
}

#[derive(Module, Debug)]
struct ConvNorm {
    conv: Conv2d,
    norm: BatchNorm,
}

impl ConvNorm {
    fn new(from: usize, to: usize, kernel: usize, stride: usize, device: &Device) -> ConvNorm {
        let p = kernel / 2;
        let conv = Conv2dConfig::new([from, to], [kernel, kernel])
            .with_stride([stride, stride])
            .with_bias(false)
            .with_padding(PaddingConfig2d::Explicit(p, p, p, p));
        ConvNorm { conv: conv.init(device), norm: BatchNormConfig::new(to).init(device) }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.norm.forward(self.conv.forward(x))
    }
}

#[derive(Module, Debug)]
struct Residual {
    first: ConvNorm,
    second: ConvNorm,
    shortcut: Option<ConvNorm>,
}

#[derive(Module, Debug)]
pub struct ResNet {
    stem: ConvNorm,
    blocks: Vec<Residual>,
    fc: Linear,
}

impl ResNet {
    pub fn new(device: &Device) -> ResNet {
        let (mut blocks, mut from) = (Vec::new(), 16);
        for (to, stride) in [(16, 1), (32, 2), (64, 2)] {
            for k in 0..3 {
                let stride = if k == 0 { stride } else { 1 };
                let changes = stride != 1 || from != to;
                blocks.push(Residual {
                    first: ConvNorm::new(from, to, 3, stride, device),
                    second: ConvNorm::new(to, to, 3, 1, device),
                    shortcut: changes.then(|| ConvNorm::new(from, to, 1, stride, device)),
                });
                from = to;
            }
        }
        let fc = LinearConfig::new(64, 10).init(device);
        ResNet { stem: ConvNorm::new(3, 16, 3, 1, device), blocks, fc }
    }
}

impl Net for ResNet {
    fn loss(&self, batch: Batch) -> Tensor<1> {
        let (x, y) = rows(batch);
        let n = x.dims()[0];
        let mut x = relu(self.stem.forward(x.reshape([n, 3, 32, 32])));
        for block in &self.blocks {
            let h = block.second.forward(relu(block.first.forward(x.clone())));
            let shortcut = match &block.shortcut {
                Some(shortcut) => shortcut.forward(x),
                None => x,
            };
            x = relu(h + shortcut);
        }
        let x: Tensor<2> = x.reshape([n as i32, 64, -1]).mean_dim(2).reshape([n, 64]);
        cross_entropy(self.fc.forward(x), y)
    }
}

#[derive(Module, Debug)]
pub struct CharLstm {
    embedding: Embedding,
    lstm: Lstm,
    head: Linear,
}

impl CharLstm {
    pub fn new(device: &Device) -> CharLstm {
        CharLstm {
            embedding: EmbeddingConfig::new(96, 64).init(device),
            lstm: LstmConfig::new(64, 256, true).init(device),
            head: LinearConfig::new(256, 96).init(device),
        }
    }
}

impl Net for CharLstm {
    fn loss(&self, batch: Batch) -> Tensor<1> {
        let (ids, y) = text(batch);
        let (h, _) = self.lstm.forward(self.embedding.forward(ids), None);
        cross_entropy(self.head.forward(h).flatten(0, 1), y)
    }
}

#[derive(Module, Debug)]
struct Block {
    n1: LayerNorm,
    qkv: Linear,
    proj: Linear,
    n2: LayerNorm,
    fc1: Linear,
    fc2: Linear,
}

#[derive(Module, Debug)]
pub struct Gpt {
    tokens: Embedding,
    places: Param<Tensor<2>>,
    blocks: Vec<Block>,
    norm: LayerNorm,
    head: Linear,
}

const SIZE: usize = 256;
const HEADS: usize = 8;

impl Gpt {
    pub fn new(device: &Device) -> Gpt {
        let norm = || LayerNormConfig::new(SIZE).init(device);
        let linear = |from, to| LinearConfig::new(from, to).init(device);
        let block = |_| Block {
            n1: norm(),
            qkv: linear(SIZE, 3 * SIZE),
            proj: linear(SIZE, SIZE),
            n2: norm(),
            fc1: linear(SIZE, 4 * SIZE),
            fc2: linear(4 * SIZE, SIZE),
        };
        Gpt {
            tokens: EmbeddingConfig::new(256, SIZE).init(device),
            places: Initializer::Normal { mean: 0.0, std: 0.02 }.init([128, SIZE], device),
            blocks: (0..4).map(block).collect(),
            norm: norm(),
            head: LinearConfig::new(SIZE, 256).with_bias(false).init(device),
        }
    }
}

impl Net for Gpt {
    fn loss(&self, batch: Batch) -> Tensor<1> {
        let (ids, y) = text(batch);
        let [n, time] = ids.dims();
        let mut x = self.tokens.forward(ids) + self.places.val().unsqueeze_dim(0);
        for b in &self.blocks {
            let all = b.qkv.forward(b.n1.forward(x.clone())).chunk(3, 2);
            let part =
                |i: usize| all[i].clone().reshape([n, time, HEADS, SIZE / HEADS]).swap_dims(1, 2);
            let options = AttentionModuleOptions { is_causal: true, ..Default::default() };
            let h = attention(part(0), part(1), part(2), None, None, options);
            x = x + b.proj.forward(h.swap_dims(1, 2).reshape([n, time, SIZE]));
            x = x.clone() + b.fc2.forward(gelu(b.fc1.forward(b.n2.forward(x))));
        }
        let out: Tensor<2> = self.head.forward(self.norm.forward(x)).flatten(0, 1);
        cross_entropy(out, y)
    }
}
