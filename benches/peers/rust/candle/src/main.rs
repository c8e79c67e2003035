//! Candle on its CPU backend; run by `../../pairs.py`.

mod nets;

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::{AdamW, Optimizer, ParamsAdamW, SGD, VarBuilder, VarMap};
use nets::{CharLstm, Cnn, Gpt, Mlp, Net, ResNet};
use peer::{Args, Fallible, Rule};

enum Update {
    Sgd(SGD),
    Adam(AdamW),
    Momentum(Momentum),
}

/// SGD with momentum 0.9 and L2 5e-4, which Candle does not have.
struct Momentum {
    parts: Vec<(Var, Option<Tensor>)>,
    rate: f64,
}

impl Momentum {
    fn step(&mut self, gradients: &GradStore) -> Result<()> {
        for (var, velocity) in &mut self.parts {
            let Some(gradient) = gradients.get(var) else { continue };
            let gradient = (gradient + (var.as_tensor() * 5e-4)?)?;
            let new = match velocity.take() {
                Some(old) => ((old * 0.9)? + gradient)?,
                None => gradient,
            };
            var.set(&var.sub(&(&new * self.rate)?)?)?;
            *velocity = Some(new);
        }
        Ok(())
    }
}

fn main() -> Fallible<()> {
    let args = Args::parse()?;
    let workload = args.workload.as_str();
    let (batch, rate, rule) = peer::setup(workload)?;
    let data = peer::data(workload)?;
    let (rows, device) = (data.rows, Device::Cpu);
    let map = VarMap::new();
    let vars = VarBuilder::from_varmap(&map, DType::F32, &device);
    let text = data.x.is_empty();
    let binary = matches!(workload, "xor" | "mlp_tabular");
    let y = if binary {
        Tensor::from_vec(data.y.iter().map(|&v| v as f32).collect(), (rows, 1), &device)?
    } else {
        let y: Vec<u32> = data.y.iter().map(|&v| v as u32).collect();
        let length = y.len() / rows;
        if text {
            Tensor::from_vec(y, (rows, length), &device)?
        } else {
            Tensor::from_vec(y, rows, &device)?
        }
    };
    let x = if text {
        y.clone()
    } else {
        let width = data.x.len() / rows;
        Tensor::from_vec(data.x, (rows, width), &device)?
    };
    if workload.starts_with("infer") {
        let x = x.narrow(0, 0, 1)?.detach();
        if workload == "infer_cnn_mnist" {
            let model = Cnn::new(&vars)?;
            return peer::infer("candle", &args, || {
                std::hint::black_box(model.forward(&x, false)?);
                Ok(())
            });
        }
        let model = Mlp::new(workload, &vars)?;
        return peer::infer("candle", &args, || {
            std::hint::black_box(model.forward(&x)?);
            Ok(())
        });
    }
    let model: Box<dyn Net> = match workload {
        "cnn_mnist" => Box::new(Cnn::new(&vars)?),
        "resnet20" => Box::new(ResNet::new(&vars)?),
        "lstm_char" => Box::new(CharLstm::new(&vars)?),
        "gpt_mini" => Box::new(Gpt::new(&vars)?),
        _ => Box::new(Mlp::new(workload, &vars)?),
    };
    let adam = |weight_decay| {
        let options = ParamsAdamW { lr: rate, weight_decay, ..ParamsAdamW::default() };
        AdamW::new(map.all_vars(), options)
    };
    let mut update = match rule {
        Rule::Sgd => Update::Sgd(SGD::new(map.all_vars(), rate)?),
        Rule::Adam => Update::Adam(adam(0.0)?),
        Rule::AdamW => Update::Adam(adam(0.01)?),
        Rule::Momentum => {
            let parts = map.all_vars().into_iter().map(|var| (var, None)).collect();
            Update::Momentum(Momentum { parts, rate })
        }
    };
    let batches = rows / batch;
    peer::train("candle", &args, |i, read| {
        let start = (i % batches) * batch;
        let (xb, yb) = (x.narrow(0, start, batch)?, y.narrow(0, start, batch)?);
        let loss = if text {
            let time = xb.dim(1)? - 1;
            let ids = xb.narrow(1, 0, time)?.contiguous()?;
            model.loss(&ids, &yb.narrow(1, 1, time)?.contiguous()?)?
        } else {
            model.loss(&xb, &yb)?
        };
        let gradients = loss.backward()?;
        match &mut update {
            Update::Sgd(rule) => rule.step(&gradients)?,
            Update::Adam(rule) => rule.step(&gradients)?,
            Update::Momentum(rule) => rule.step(&gradients)?,
        }
        Ok(if read { loss.to_scalar::<f32>()? } else { 0.0 })
    })
}
