//! The nets of the workloads that no model of the library matches to the letter, written as a user
//! would write them.

use gradus::ops::attention::Attention;
use gradus::prelude::*;

/// The convolutional net of PyTorch's MNIST example: 1,199,882 parameters.
pub(super) fn cnn() -> Sequential {
    seq![
        Conv2d::new(1, 32, 3),
        Relu,
        Conv2d::new(32, 64, 3),
        Relu,
        MaxPool2d::new(2),
        Dropout::new(0.25),
        Flatten,
        Linear::new(9216, 128),
        Relu,
        Dropout::new(0.5),
        Linear::new(128, 10)
    ]
}

/// Fully connected layers with ReLU between them.
pub(super) fn mlp(sizes: &[usize]) -> Sequential {
    let mut net = Sequential::new();
    for (i, pair) in sizes.windows(2).enumerate() {
        let &[from, to] = pair else { continue };
        if i > 0 {
            net.push(Relu);
        }
        net.push(Linear::new(from, to));
    }
    net
}

/// Two convolutions, the second of stride 2, a pool of 2 that leaves so many `places`, and a linear
/// layer.
pub(super) fn two_convolutions(
    [c, c1, c2]: [usize; 3],
    kernel: usize,
    places: usize,
    classes: usize,
) -> Sequential {
    seq![
        normalised(c, c1, kernel, 1),
        Relu,
        normalised(c1, c2, kernel, 2),
        Relu,
        MaxPool2d::new(2),
        Flatten,
        Linear::new(c2 * places, classes)
    ]
}

/// A convolution that keeps the size, but for its stride, and a normalisation.
fn normalised(from: usize, to: usize, kernel: usize, stride: usize) -> Sequential {
    let conv = Conv2d::new(from, to, kernel).stride(stride).padding(kernel / 2).no_bias();
    seq![conv, BatchNorm2d::new(to)]
}

#[derive(Module)]
struct Residual {
    first: Sequential,
    second: Sequential,
    shortcut: Option<Sequential>,
}

impl Residual {
    fn new(from: usize, to: usize, stride: usize) -> Residual {
        let changes = stride != 1 || from != to;
        Residual {
            first: normalised(from, to, 3, stride),
            second: normalised(to, to, 3, 1),
            shortcut: changes.then(|| normalised(from, to, 1, stride)),
        }
    }
}

impl Layer for Residual {
    fn forward(&self, x: &Tensor) -> Tensor {
        let h = self.second.forward(&self.first.forward(x).relu());
        let shortcut = self.shortcut.as_ref().map_or_else(|| x.clone(), |s| s.forward(x));
        (h + shortcut).relu()
    }
}

/// ResNet-20 with 1x1 convolutions in the two shortcuts where sizes change (the paper's option B;
/// `models::ResNet::resnet20` is its option A): 272,474 parameters.
#[derive(Module)]
pub(super) struct ResNet20 {
    stem: Sequential,
    blocks: Vec<Residual>,
    fc: Linear,
}

impl ResNet20 {
    pub(super) fn new() -> ResNet20 {
        let mut from = 16;
        let mut blocks = Vec::new();
        for (to, stride) in [(16, 1), (32, 2), (64, 2)] {
            for k in 0..3 {
                blocks.push(Residual::new(from, to, if k == 0 { stride } else { 1 }));
                from = to;
            }
        }
        ResNet20 { stem: normalised(3, 16, 3, 1), blocks, fc: Linear::new(64, 10) }
    }
}

impl Layer for ResNet20 {
    fn forward(&self, x: &Tensor) -> Tensor {
        let stem = self.stem.forward(x).relu();
        let h = self.blocks.iter().fold(stem, |h, block| block.forward(&h));
        self.fc.forward(&h.mean_dim([-2, -1]))
    }
}

#[derive(Module)]
struct Block {
    n1: LayerNorm,
    n2: LayerNorm,
    qkv: Linear,
    proj: Linear,
    fc1: Linear,
    fc2: Linear,
    #[module(skip)]
    heads: usize,
}

impl Block {
    fn new(size: usize, heads: usize) -> Block {
        Block {
            n1: LayerNorm::new(size),
            n2: LayerNorm::new(size),
            qkv: Linear::new(size, 3 * size),
            proj: Linear::new(size, size),
            fc1: Linear::new(size, 4 * size),
            fc2: Linear::new(4 * size, size),
            heads,
        }
    }

    fn attend(&self, x: &Tensor) -> Tensor {
        let Ok([batch, time, size]) = x.dims::<3>() else { return x.clone() };
        let all = self.qkv.forward(x);
        let part = |i: usize| {
            let part = all.narrow(-1, i * size, size);
            part.reshape_to([batch, time, self.heads, size / self.heads]).transpose(1, 2)
        };
        let options = Attention { is_causal: true, ..Attention::default() };
        let y = part(0).scaled_dot_product_attention_with(&part(1), &part(2), options);
        self.proj.forward(&y.transpose(1, 2).reshape_to([batch, time, size]))
    }
}

impl Layer for Block {
    fn forward(&self, x: &Tensor) -> Tensor {
        let x = x + self.attend(&self.n1.forward(x));
        &x + self.fc2.forward(&self.fc1.forward(&self.n2.forward(&x)).gelu())
    }
}

/// A small GPT: normalised before each part, exact GELU, a last map of its own, PyTorch's initial
/// values. 3,323,392 parameters at the sizes of [`Gpt::mini`].
#[derive(Module)]
pub(super) struct Gpt {
    tokens: Embedding,
    places: Param,
    blocks: Vec<Block>,
    norm: LayerNorm,
    head: Linear,
}

impl Gpt {
    pub(super) const VOCABULARY: usize = 256;
    pub(super) const TIME: usize = 128;

    pub(super) fn mini() -> Gpt {
        Gpt::new([Gpt::VOCABULARY, Gpt::TIME], 256, 4, 8)
    }

    pub(super) fn new([tokens, time]: [usize; 2], size: usize, layers: usize, heads: usize) -> Gpt {
        Gpt {
            tokens: Embedding::new(tokens, size),
            places: Param::from_result(gradus::init_normal([time, size], 0.0, 0.02)),
            blocks: (0..layers).map(|_| Block::new(size, heads)).collect(),
            norm: LayerNorm::new(size),
            head: Linear::new(size, tokens).no_bias(),
        }
    }
}

impl Layer for Gpt {
    fn forward(&self, ids: &Tensor) -> Tensor {
        let x = self.tokens.forward(ids) + &self.places;
        let h = self.blocks.iter().fold(x, |h, block| block.forward(&h));
        self.head.forward(&self.norm.forward(&h))
    }
}
