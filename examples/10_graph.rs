//! A network on a graph: which class a node belongs to, from its neighbours. Run with
//! `cargo run --release -p gradus --example 10_graph`, or with a folder that holds `cora_nodes.csv`,
//! `cora_edges.csv.gz` and `cora_features.txt.gz`:
//! `cargo run --release -p gradus --example 10_graph -- FOLDER cora`.
//!
//! All nodes are there from the start, with their edges, and a few have a label; the loss is over
//! these. So a graph is one batch, and what is held back is labels, not rows.
#![allow(clippy::print_stdout, reason = "an example shows its results")]

use gradus::data::{GraphData, karate_club};
use gradus::nn::models::Gcn;
use gradus::prelude::*;

/// How it went for one seed: the part of the test nodes that is right.
fn train(graph: &GraphData, seed: u64) -> gradus::Result<f64> {
    gradus::seed(seed);
    let (labels, edges) = (Tensor::from(&graph.labels), Tensor::from(&graph.edge_index));
    // Every node's features add up to 1, whether it has few or many.
    let x = Tensor::from(&graph.features);
    let x = Tensor::from((&x / x.sum_keepdim(1).clamp_min(1.0)).to_array()?);
    let (train, test) = (Tensor::from(&graph.train), Tensor::from(&graph.test));

    // Two layers: a node hears from the neighbours of its neighbours.
    let model = Gcn::new(graph.features.dims()[1], 16, graph.classes(), 2).dropout(0.5);
    let mut opt = Adam::new(&model, 0.01).weight_decay(5e-4);
    for _ in 0..200 {
        let logits = model.forward(&x, &edges).index_select(0, &train);
        opt.step(&logits.cross_entropy(&labels.index_select(0, &train)))?;
    }
    let guess = gradus::inference(|| model.forward(&x, &edges)).argmax(-1);
    let right = guess.eq(&labels).index_select(0, &test);
    right.cast(DType::F32).mean().item()
}

fn main() -> gradus::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (graph, what) = match args.as_slice() {
        [folder, name] => (GraphData::open(folder, name)?, name.as_str()),
        _ => (karate_club()?, "the karate club"),
    };
    let [_, edges] = graph.edge_index.dims() else { return Ok(()) };
    println!(
        "{what}: {} nodes, {edges} edges, {} features, {} classes, {} labels to learn from\n",
        graph.nodes(),
        graph.features.dims()[1],
        graph.classes(),
        graph.train.numel()
    );
    let mut sum = 0.0;
    let seeds = 0..5;
    for seed in seeds.clone() {
        let right = train(&graph, seed)?;
        sum += right;
        println!("seed {seed}: {:.1} % of the test nodes right", 100.0 * right);
    }
    println!("mean: {:.1} %", 100.0 * sum / seeds.count() as f64);
    Ok(())
}
