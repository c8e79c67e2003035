//! Burn on its `flex` CPU backend; run by `../../pairs.py`.
#![recursion_limit = "256"]

use burn::module::Module;
use burn::nn::loss::{BinaryCrossEntropyLossConfig, CrossEntropyLossConfig, MseLoss, Reduction};
use burn::nn::{Linear, LinearConfig};
use burn::optim::{AdamConfig, GradientsParams, SgdConfig};
use burn::prelude::*;
use burn::tensor::TensorData;
use burn::tensor::activation::{relu, sigmoid, tanh};
use peer::{Args, Fallible};

#[derive(Module, Debug)]
struct Mlp {
    layers: Vec<Linear>,
    tanh: bool,
    sigmoid_out: bool,
}

impl Mlp {
    fn new(sizes: &[usize], workload: &str, device: &Device) -> Mlp {
        let layer = |pair: &[usize]| LinearConfig::new(pair[0], pair[1]).init(device);
        Mlp {
            layers: sizes.windows(2).map(layer).collect(),
            tanh: workload == "xor",
            sigmoid_out: workload == "autoencoder",
        }
    }

    fn forward(&self, mut x: Tensor<2>) -> Tensor<2> {
        for (i, layer) in self.layers.iter().enumerate() {
            x = layer.forward(x);
            if i + 1 < self.layers.len() {
                x = if self.tanh { tanh(x) } else { relu(x) };
            }
        }
        if self.sigmoid_out { sigmoid(x) } else { x }
    }
}

fn main() -> Fallible<()> {
    let args = Args::parse()?;
    let workload = args.workload.as_str();
    let (sizes, batch, lr, adam) = peer::model(workload)?;
    let data = peer::data(workload)?;
    let rows = data.y.len();
    if workload.starts_with("infer") {
        let device = Device::flex();
        let row = data.x.into_iter().take(sizes[0]).collect::<Vec<f32>>();
        let x: Tensor<2> = Tensor::from_data(TensorData::new(row, [1, sizes[0]]), &device);
        let model = Mlp::new(sizes, workload, &device);
        return peer::infer("burn", &args, || {
            std::hint::black_box(model.forward(x.clone()).into_data());
            Ok(())
        });
    }
    let device = Device::flex().autodiff();
    let x: Tensor<2> = Tensor::from_data(TensorData::new(data.x, [rows, sizes[0]]), &device);
    let y: Tensor<1, Int> = Tensor::from_data(TensorData::new(data.y, [rows]), &device);
    let mut rule = if adam {
        AdamConfig::new().with_epsilon(1e-8).init()
    } else {
        SgdConfig::new().init()
    };
    let mut model = Mlp::new(sizes, workload, &device);
    let batches = rows / batch;
    peer::train("burn", &args, |i, read| {
        let start = (i % batches) * batch;
        let x = x.clone().slice([start..start + batch]);
        let out = model.forward(x.clone());
        let loss = if workload == "autoencoder" {
            MseLoss::new().forward(out, x, Reduction::Mean)
        } else {
            let y = y.clone().slice([start..start + batch]);
            if matches!(workload, "xor" | "mlp_tabular") {
                let loss = BinaryCrossEntropyLossConfig::new().with_logits(true).init(&device);
                loss.forward(out, y.unsqueeze_dim(1))
            } else {
                CrossEntropyLossConfig::new().init(&device).forward(out, y)
            }
        };
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        model = rule.step(lr, model.clone(), gradients);
        Ok(if read { loss.into_scalar::<f32>() } else { 0.0 })
    })
}
