//! Candle on its CPU backend; run by `../../pairs.py`.

use candle_core::{DType, Device, Module, Result, Tensor};
use candle_nn::{
    AdamW, Linear, Optimizer, ParamsAdamW, SGD, VarBuilder, VarMap, linear, loss, ops,
};
use peer::{Args, Fallible};

struct Mlp {
    layers: Vec<Linear>,
    tanh: bool,
    sigmoid_out: bool,
}

impl Mlp {
    fn new(sizes: &[usize], workload: &str, vars: &VarBuilder<'_>) -> Result<Mlp> {
        let layer = |(i, pair): (usize, &[usize])| linear(pair[0], pair[1], vars.pp(i));
        let layers = sizes.windows(2).enumerate().map(layer).collect::<Result<_>>()?;
        Ok(Mlp { layers, tanh: workload == "xor", sigmoid_out: workload == "autoencoder" })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
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

enum Rule {
    Sgd(SGD),
    Adam(AdamW),
}

fn main() -> Fallible<()> {
    let args = Args::parse()?;
    let workload = args.workload.as_str();
    let (sizes, batch, lr, adam) = peer::model(workload)?;
    let data = peer::data(workload)?;
    let (rows, device) = (data.y.len(), Device::Cpu);
    let map = VarMap::new();
    let model = Mlp::new(sizes, workload, &VarBuilder::from_varmap(&map, DType::F32, &device))?;
    let x = Tensor::from_vec(data.x, (rows, sizes[0]), &device)?;
    if workload.starts_with("infer") {
        let x = x.narrow(0, 0, 1)?.detach();
        return peer::infer("candle", &args, || {
            std::hint::black_box(model.forward(&x)?);
            Ok(())
        });
    }
    let binary = matches!(workload, "xor" | "mlp_tabular");
    let y = if binary {
        Tensor::from_vec(data.y.iter().map(|&v| v as f32).collect(), (rows, 1), &device)?
    } else {
        Tensor::from_vec(data.y.iter().map(|&v| v as u32).collect(), rows, &device)?
    };
    let mut rule = if adam {
        let options = ParamsAdamW { lr, weight_decay: 0.0, ..ParamsAdamW::default() };
        Rule::Adam(AdamW::new(map.all_vars(), options)?)
    } else {
        Rule::Sgd(SGD::new(map.all_vars(), lr)?)
    };
    let batches = rows / batch;
    peer::train("candle", &args, |i, read| {
        let start = (i % batches) * batch;
        let x = x.narrow(0, start, batch)?;
        let out = model.forward(&x)?;
        let loss = if workload == "autoencoder" {
            loss::mse(&out, &x)?
        } else if binary {
            loss::binary_cross_entropy_with_logit(&out, &y.narrow(0, start, batch)?)?
        } else {
            loss::cross_entropy(&out, &y.narrow(0, start, batch)?)?
        };
        match &mut rule {
            Rule::Sgd(rule) => rule.backward_step(&loss)?,
            Rule::Adam(rule) => rule.backward_step(&loss)?,
        }
        Ok(if read { loss.to_scalar::<f32>()? } else { 0.0 })
    })
}
