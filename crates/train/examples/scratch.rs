#![allow(warnings, clippy::all)]
use gradus_core::{Tensor, set_threads, inference};
use gradus_data::mix;
use gradus_nn::*;
use gradus_train::*;
fn now() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    stat.split(' ').next().unwrap().parse::<f64>().unwrap() * 1e-9
}
fn main() {
    set_threads(1);
    let data = gradus_data::digits().unwrap();
    let m = seq![Linear::new(64, 64), Relu, Linear::new(64, 32), Relu, Linear::new(32, 10)];
    let mut best = [f64::INFINITY; 8];
    for round in 0..30 {
        let mut i = 0;
        let mut rec = |f: &mut dyn FnMut()| { let s = now(); f(); let t = now() - s; if round > 0 { best[i] = best[i].min(t); } i += 1; };
        rec(&mut || { let mut opt = Adam::new(&m, 1e-3); for e in 0..40u64 { for (x, y) in data.shuffled(mix(17, e)).batches(32) { opt.step(&m.forward(&x).cross_entropy(&y)).unwrap(); } } });
        rec(&mut || { let mut opt = Adam::new(&m, 1e-3); for e in 0..40u64 { for b in data.shuffled(mix(17, e)).skip(0).array_batches(32) { let b = b.unwrap(); let (x, y) = (Tensor::from(&b.x), Tensor::from(&b.y)); opt.step(&m.forward(&x).cross_entropy(&y)).unwrap(); } } });
        rec(&mut || { let mut opt: Box<dyn Optimizer> = Box::new(Adam::new(&m, 1e-3)); let m: Box<dyn Layer> = Box::new(seq![Linear::new(64, 64), Relu, Linear::new(64, 32), Relu, Linear::new(32, 10)]); let mut opt: Box<dyn Optimizer> = Box::new(Adam::new(&m, 1e-3)); for e in 0..40u64 { for b in data.shuffled(mix(17, e)).skip(0).array_batches(32) { let b = b.unwrap(); let (x, y) = (Tensor::from(&b.x), Tensor::from(&b.y)); opt.step_with(&mut || m.forward(&x).cross_entropy(&y)).unwrap(); } } });
        rec(&mut || { Trainer::new(&m, Adam::new(&m, 1e-3)).loss(Loss::CrossEntropy).batch_size(32).seed(17).fit(&data, None, Epochs(40)).unwrap(); });
        rec(&mut || { Trainer::new(&m, Adam::new(&m, 1e-3)).loss(Loss::CrossEntropy).batch_size(32).seed(17).fit(&data, None, Epochs(1)).unwrap(); });
        rec(&mut || { let mut opt = Adam::new(&m, 1e-3); for e in 0..40u64 { for (x, y) in data.shuffled(mix(17, e)).batches(32) { let p = m.forward(&x); let a = gradus_core::no_grad(|| Accuracy::new().record(&p, &y)); opt.step(&p.cross_entropy(&y)).unwrap(); a.item().unwrap(); } } });
        rec(&mut || { let mut opt = Adam::new(&m, 1e-3); for e in 0..40u64 { for (x, y) in data.shuffled(mix(17, e)).batches(32) { let a; let l; { let p = m.forward(&x);  a = gradus_core::no_grad(|| Accuracy::new().record(&p, &y)); l = p.cross_entropy(&y); } opt.step(&l).unwrap(); a.item().unwrap(); } } });
        rec(&mut || { model_sha256(&m).unwrap(); });
    }
    for b in best { println!("{:.3} us/step", b / 1800.0 * 1e6); }
}
