#![allow(warnings, clippy::all)]
use gradus_data::*; use gradus_nn::*; use gradus_train::*;
fn main() {
    let (t, v) = digits().unwrap().split(0.8, 1).unwrap();
    let dir = "/tmp/small/run";
    // 64*h + ... : state = model + 2 x moments + best snapshot
    let h: usize = std::env::args().nth(1).unwrap().parse().unwrap();
    let model = seq![Linear::new(64, h), Relu, Linear::new(h, 10)];
    let run = match Run::create(dir, &RunConfig::for_data(&t)) { Ok(r) => r, Err(e) => { println!("create: {e}"); return; } };
    let r = Trainer::new(&model, Adam::new(&model, 1e-3)).loss(cross_entropy).seed(1).callback(EarlyStopping::on("valid.loss").restore_best()).run(run).fit(&t, &v, Epochs(5));
    println!("{r:?}");
}
