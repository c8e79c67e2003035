//! Burn on its `flex` CPU backend; run by `../../pairs.py`.
#![recursion_limit = "256"]

mod nets;

use burn::optim::decay::WeightDecayConfig;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{AdamConfig, AdamWConfig, GradientsParams, SgdConfig};
use burn::prelude::*;
use burn::tensor::TensorData;
use nets::{Batch, CharLstm, Cnn, Gpt, Mlp, Net, ResNet};
use peer::{Args, Fallible, Rule};

fn main() -> Fallible<()> {
    let args = Args::parse()?;
    let workload = args.workload.as_str();
    if workload.starts_with("infer") {
        return infer(&args);
    }
    let device = Device::flex().autodiff();
    match workload {
        "cnn_mnist" => train(Cnn::new(&device), &args, &device),
        "resnet20" => train(ResNet::new(&device), &args, &device),
        "lstm_char" => train(CharLstm::new(&device), &args, &device),
        "gpt_mini" => train(Gpt::new(&device), &args, &device),
        _ => train(Mlp::new(workload, &device), &args, &device),
    }
}

fn infer(args: &Args) -> Fallible<()> {
    let device = Device::flex();
    let row: Vec<f32> = peer::data(&args.workload)?.x.into_iter().take(784).collect();
    let x: Tensor<2> = Tensor::from_data(TensorData::new(row, [1, 784]), &device);
    if args.workload == "infer_cnn_mnist" {
        let model = Cnn::new(&device);
        return peer::infer("burn", args, || {
            std::hint::black_box(model.forward(x.clone()).into_data());
            Ok(())
        });
    }
    let model = Mlp::new(&args.workload, &device);
    peer::infer("burn", args, || {
        std::hint::black_box(model.forward(x.clone()).into_data());
        Ok(())
    })
}

fn train<M: Net>(mut model: M, args: &Args, device: &Device) -> Fallible<()> {
    let (batch, rate, rule) = peer::setup(&args.workload)?;
    let data = peer::data(&args.workload)?;
    // Burn's own defaults are another epsilon (1e-5) and a dampened momentum.
    let mut rule = match rule {
        Rule::Sgd => SgdConfig::new().init(),
        Rule::Momentum => SgdConfig::new()
            .with_weight_decay(Some(WeightDecayConfig::new(5e-4)))
            .with_momentum(Some(MomentumConfig::new().with_momentum(0.9).with_dampening(0.0)))
            .init(),
        Rule::Adam => AdamConfig::new().with_epsilon(1e-8).init(),
        Rule::AdamW => AdamWConfig::new().with_epsilon(1e-8).with_weight_decay(0.01).init(),
    };
    let (rows, length) = (data.rows, data.y.len() / data.rows);
    let text = data.x.is_empty();
    let x: Tensor<2> = if text {
        Tensor::zeros([1, 1], device)
    } else {
        let width = data.x.len() / rows;
        Tensor::from_data(TensorData::new(data.x, [rows, width]), device)
    };
    let y: Tensor<2, Int> = Tensor::from_data(TensorData::new(data.y, [rows, length]), device);
    let classes: Tensor<1, Int> = y.clone().reshape([(rows * length) as i32]);
    let batches = rows / batch;
    peer::train("burn", args, |i, read| {
        let start = (i % batches) * batch;
        let part = start..start + batch;
        let loss = model.loss(if text {
            let next = y.clone().slice([part.clone(), 1..length]);
            let ids = y.clone().slice([part, 0..length - 1]);
            Batch::Text(ids, next.reshape([(batch * (length - 1)) as i32]))
        } else {
            Batch::Rows(x.clone().slice([part.clone()]), classes.clone().slice([part]))
        });
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        model = rule.step(rate, model.clone(), gradients);
        Ok(if read { loss.into_scalar::<f32>() } else { 0.0 })
    })
}
