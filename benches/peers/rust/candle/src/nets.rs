//! The nets of the workloads. Candle's fused `layer_norm` and `softmax_last_dim` have no gradients, so
//! training uses the slow ones.

use candle_core::{D, Device, Module, ModuleT, Result, Tensor};
use candle_nn::rnn::{LSTM, RNN, lstm};
use candle_nn::{
    BatchNorm, Conv2d, Conv2dConfig, Embedding, Init, Linear, VarBuilder, batch_norm, conv2d,
    conv2d_no_bias, embedding, linear, linear_no_bias, loss, ops,
};

/// The loss of a batch: samples and targets, or tokens and what comes after each.
pub trait Net {
    fn loss(&self, x: &Tensor, y: &Tensor) -> Result<Tensor>;
}

fn cross_entropy(out: &Tensor, y: &Tensor) -> Result<Tensor> {
    let classes = out.dim(D::Minus1)?;
    loss::cross_entropy(&out.reshape(((), classes))?, &y.flatten_all()?)
}

pub struct Mlp {
    layers: Vec<Linear>,
    tanh: bool,
    binary: bool,
    sigmoid_out: bool,
}

impl Mlp {
    pub fn new(workload: &str, vars: &VarBuilder<'_>) -> Result<Mlp> {
        let layer = |(i, pair): (usize, &[usize])| linear(pair[0], pair[1], vars.pp(i));
        Ok(Mlp {
            layers: peer::sizes(workload)
                .windows(2)
                .enumerate()
                .map(layer)
                .collect::<Result<_>>()?,
            tanh: workload == "xor",
            binary: matches!(workload, "xor" | "mlp_tabular"),
            sigmoid_out: workload == "autoencoder",
        })
    }

    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut x = x.clone();
        for (i, layer) in self.layers.iter().enumerate() {
            x = layer.forward(&x)?;
            if i + 1 < self.layers.len() {
                x = if self.tanh { x.tanh()? } else { x.relu()? };
            }
        }
        if self.sigmoid_out { ops::sigmoid(&x) } else { Ok(x) }
    }
}

impl Net for Mlp {
    fn loss(&self, x: &Tensor, y: &Tensor) -> Result<Tensor> {
        let out = self.forward(x)?;
        if self.sigmoid_out {
            loss::mse(&out, x)
        } else if self.binary {
            loss::binary_cross_entropy_with_logit(&out, y)
        } else {
            loss::cross_entropy(&out, y)
        }
    }
}

pub struct Cnn {
    c1: Conv2d,
    c2: Conv2d,
    f1: Linear,
    f2: Linear,
}

impl Cnn {
    pub fn new(vars: &VarBuilder<'_>) -> Result<Cnn> {
        Ok(Cnn {
            c1: conv2d(1, 32, 3, Conv2dConfig::default(), vars.pp("c1"))?,
            c2: conv2d(32, 64, 3, Conv2dConfig::default(), vars.pp("c2"))?,
            f1: linear(9216, 128, vars.pp("f1"))?,
            f2: linear(128, 10, vars.pp("f2"))?,
        })
    }

    pub fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let x = x.reshape(((), 1, 28, 28))?;
        let x = self.c2.forward(&self.c1.forward(&x)?.relu()?)?.relu()?.max_pool2d(2)?;
        let x = if train { ops::dropout(&x, 0.25)? } else { x };
        let x = self.f1.forward(&x.flatten_from(1)?)?.relu()?;
        let x = if train { ops::dropout(&x, 0.5)? } else { x };
        self.f2.forward(&x)
    }
}

impl Net for Cnn {
    fn loss(&self, x: &Tensor, y: &Tensor) -> Result<Tensor> {
        cross_entropy(&self.forward(x, true)?, y)
    }
}

struct ConvNorm(Conv2d, BatchNorm);

impl ConvNorm {
    fn new(
        sizes: (usize, usize),
        kernel: usize,
        stride: usize,
        vars: VarBuilder<'_>,
    ) -> Result<ConvNorm> {
        let options = Conv2dConfig { padding: kernel / 2, stride, ..Conv2dConfig::default() };
        let conv = conv2d_no_bias(sizes.0, sizes.1, kernel, options, vars.pp("conv"))?;
        Ok(ConvNorm(conv, batch_norm(sizes.1, 1e-5, vars.pp("norm"))?))
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.1.forward_t(&self.0.forward(x)?, true)
    }
}

struct Residual {
    first: ConvNorm,
    second: ConvNorm,
    shortcut: Option<ConvNorm>,
}

pub struct ResNet {
    stem: ConvNorm,
    blocks: Vec<Residual>,
    fc: Linear,
}

impl ResNet {
    pub fn new(vars: &VarBuilder<'_>) -> Result<ResNet> {
        let (mut blocks, mut from) = (Vec::new(), 16);
        for (to, stride) in [(16, 1), (32, 2), (64, 2)] {
            for k in 0..3 {
                let stride = if k == 0 { stride } else { 1 };
                let vars = vars.pp(format!("{to}.{k}"));
                let short = || ConvNorm::new((from, to), 1, stride, vars.pp("shortcut"));
                let changes = stride != 1 || from != to;
                blocks.push(Residual {
                    first: ConvNorm::new((from, to), 3, stride, vars.pp("first"))?,
                    second: ConvNorm::new((to, to), 3, 1, vars.pp("second"))?,
                    shortcut: if changes { Some(short()?) } else { None },
                });
                from = to;
            }
        }
        let stem = ConvNorm::new((3, 16), 3, 1, vars.pp("stem"))?;
        Ok(ResNet { stem, blocks, fc: linear(64, 10, vars.pp("fc"))? })
    }
}

impl Net for ResNet {
    fn loss(&self, x: &Tensor, y: &Tensor) -> Result<Tensor> {
        let mut x = self.stem.forward(&x.reshape(((), 3, 32, 32))?)?.relu()?;
        for block in &self.blocks {
            let h = block.second.forward(&block.first.forward(&x)?.relu()?)?;
            let shortcut = match &block.shortcut {
                Some(shortcut) => shortcut.forward(&x)?,
                None => x,
            };
            x = (h + shortcut)?.relu()?;
        }
        cross_entropy(&self.fc.forward(&x.mean((2, 3))?)?, y)
    }
}

pub struct CharLstm {
    embedding: Embedding,
    lstm: LSTM,
    head: Linear,
}

impl CharLstm {
    pub fn new(vars: &VarBuilder<'_>) -> Result<CharLstm> {
        Ok(CharLstm {
            embedding: embedding(96, 64, vars.pp("embedding"))?,
            lstm: lstm(64, 256, Default::default(), vars.pp("lstm"))?,
            head: linear(256, 96, vars.pp("head"))?,
        })
    }
}

impl Net for CharLstm {
    fn loss(&self, x: &Tensor, y: &Tensor) -> Result<Tensor> {
        let states = self.lstm.seq(&self.embedding.forward(x)?)?;
        cross_entropy(&self.head.forward(&self.lstm.states_to_tensor(&states)?)?, y)
    }
}

struct Norm(Tensor, Tensor);

impl Norm {
    fn new(vars: VarBuilder<'_>) -> Result<Norm> {
        let start = |name, value| vars.get_with_hints(SIZE, name, Init::Const(value));
        Ok(Norm(start("weight", 1.0)?, start("bias", 0.0)?))
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        ops::layer_norm_slow(x, &self.0, &self.1, 1e-5)
    }
}

struct Block {
    n1: Norm,
    qkv: Linear,
    proj: Linear,
    n2: Norm,
    fc1: Linear,
    fc2: Linear,
}

pub struct Gpt {
    tokens: Embedding,
    places: Tensor,
    blocks: Vec<Block>,
    norm: Norm,
    head: Linear,
    mask: Tensor,
}

const SIZE: usize = 256;
const HEADS: usize = 8;
const TIME: usize = 128;

impl Gpt {
    pub fn new(vars: &VarBuilder<'_>) -> Result<Gpt> {
        let block = |i: usize| {
            let vars = vars.pp(i);
            Ok(Block {
                n1: Norm::new(vars.pp("n1"))?,
                qkv: linear(SIZE, 3 * SIZE, vars.pp("qkv"))?,
                proj: linear(SIZE, SIZE, vars.pp("proj"))?,
                n2: Norm::new(vars.pp("n2"))?,
                fc1: linear(SIZE, 4 * SIZE, vars.pp("fc1"))?,
                fc2: linear(4 * SIZE, SIZE, vars.pp("fc2"))?,
            })
        };
        let later = |k: usize| if k % TIME > k / TIME { f32::NEG_INFINITY } else { 0.0 };
        let mask: Vec<f32> = (0..TIME * TIME).map(later).collect();
        let start = Init::Randn { mean: 0.0, stdev: 0.02 };
        Ok(Gpt {
            tokens: embedding(256, SIZE, vars.pp("tokens"))?,
            places: vars.get_with_hints((TIME, SIZE), "places", start)?,
            blocks: (0..4).map(block).collect::<Result<_>>()?,
            norm: Norm::new(vars.pp("norm"))?,
            head: linear_no_bias(SIZE, 256, vars.pp("head"))?,
            mask: Tensor::from_vec(mask, (TIME, TIME), &Device::Cpu)?,
        })
    }
}

impl Net for Gpt {
    fn loss(&self, x: &Tensor, y: &Tensor) -> Result<Tensor> {
        let (n, time) = x.dims2()?;
        let scale = ((SIZE / HEADS) as f64).powf(-0.5);
        let mut x = self.tokens.forward(x)?.broadcast_add(&self.places)?;
        for b in &self.blocks {
            let all = b.qkv.forward(&b.n1.forward(&x)?)?;
            let all = all.reshape((n, time, 3, HEADS, SIZE / HEADS))?;
            let part = |i| all.narrow(2, i, 1)?.squeeze(2)?.transpose(1, 2)?.contiguous();
            let scores = (part(0)?.matmul(&part(1)?.t()?)? * scale)?.broadcast_add(&self.mask)?;
            let h = ops::softmax(&scores, D::Minus1)?.matmul(&part(2)?)?;
            let h = h.transpose(1, 2)?.reshape((n, time, SIZE))?;
            x = (x + b.proj.forward(&h)?)?;
            x = (&x + b.fc2.forward(&b.fc1.forward(&b.n2.forward(&x)?)?.gelu_erf()?)?)?;
        }
        cross_entropy(&self.head.forward(&self.norm.forward(&x)?)?, y)
    }
}
