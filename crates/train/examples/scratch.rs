#![allow(warnings, clippy::all)]
use gradus_data::*; use gradus_nn::*; use gradus_train::*; use gradus_core::set_threads;
fn main() {
    let folder = mnist_folder("/work/shared/data/mnist").unwrap();
    let (train, test) = (folder.train().unwrap().flatten(), folder.test().unwrap().unwrap().flatten());
    for (seed, threads) in [(1u64, 1), (1, 2), (1,3), (2, 2), (3, 2)] {
        set_threads(threads);
        gradus_core::seed(seed);
        let model = seq![Linear::new(784, 512), Relu, Linear::new(512, 256), Relu, Linear::new(256, 10)];
        let dir = std::env::temp_dir().join("gradus_scratch_run");
        let _ = std::fs::remove_dir_all(&dir);
        let (t, v) = train.split(0.9, seed).unwrap();
        let run = Run::create(&dir, &RunConfig::for_data(&train)).unwrap();
        let mut r = Trainer::new(&model, Adam::new(&model, 1e-3)).loss(cross_entropy).metric(Accuracy::new()).batch_size(128).seed(seed)
            .callback(Checkpoint::best("valid.loss", &dir).restore_best()).run(run).fit(&t, &v, Epochs(5)).unwrap();
        r.test(&model, &test).unwrap();
        println!("threads {threads} seed {seed}\n{r}");
    }
}
