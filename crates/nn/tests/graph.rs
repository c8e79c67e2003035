//! Layers on graphs against the same formulas with the whole adjacency matrix.
#![allow(clippy::unwrap_used, reason = "a test")]

use gradus_core::{Tensor, inference};
use gradus_nn::models::Gcn;
use gradus_nn::{Aggregation, Epsilon, GatConv, GcnConv, GinConv, Linear, ModuleExt, SageConv};

/// Five nodes; node 2 lists itself, node 4 has no neighbours, 0 -> 1 has no way back.
fn edges() -> Tensor {
    Tensor::from([[0, 1, 2, 2, 3, 2, 0], [1, 2, 1, 3, 2, 2, 3]])
}

/// Row i has a 1 where an edge goes from j to i.
fn adjacency(loops: &[usize]) -> Tensor {
    let mut a = [[0.0; 5]; 5];
    for (j, i) in [(0, 1), (1, 2), (2, 1), (2, 3), (3, 2), (2, 2), (0, 3)] {
        a[i][j] = 1.0;
    }
    for &i in loops {
        a[i][i] = 1.0;
    }
    Tensor::from(a)
}

fn features() -> Tensor {
    Tensor::from_fn([5, 3], |at| ((at[0] * 7 + at[1] * 5) % 11) as f64 / 5.0 - 1.0)
}

fn close(a: &Tensor, b: &Tensor) {
    assert!(a.all_close(b, 1e-5, 1e-6, false).unwrap(), "{a}\nis not\n{b}");
}

#[test]
fn gcn_is_the_normalised_adjacency_times_the_map() {
    gradus_core::seed(3);
    let (layer, x) = (GcnConv::new(3, 4), features());
    let h = x.matmul(layer.lin.weight.tensor().t());
    let a = adjacency(&[0, 1, 3, 4]);
    let root = a.sum_dim(1).rsqrt();
    close(&layer.forward(&x, &edges()), &(root.unsqueeze(1) * &a * root.unsqueeze(0)).matmul(&h));
    // Weights of 2 everywhere double the edges, not the loops that are added.
    let two = Tensor::full([7], 2.0);
    let a = adjacency(&[]) * 2.0;
    let a = &a + Tensor::from([1.0, 1.0, 0.0, 1.0, 1.0]).diag(0);
    let root = a.sum_dim(1).rsqrt();
    let want = (root.unsqueeze(1) * &a * root.unsqueeze(0)).matmul(&h);
    close(&layer.forward_weighted(&x, &edges(), &two), &want);
    let plain = GcnConv::new(3, 4).no_normalize().no_bias();
    let h = x.matmul(plain.lin.weight.tensor().t());
    close(&plain.forward(&x, &edges()), &adjacency(&[]).matmul(&h));
}

#[test]
fn a_node_without_edges_gives_the_bias_where_loops_are_off() {
    let layer = GcnConv::new(3, 4).no_self_loops();
    let y = layer.forward(&features(), &edges());
    assert_eq!(y.select(0, 4).to_vec::<f32>().unwrap(), [0.0; 4]);
    let gradients = y.square().sum().backward().unwrap();
    assert!(gradients.get(&layer.lin.weight).unwrap().is_finite().all().item().unwrap() == 1.0);
}

#[test]
fn sage_takes_means_sums_or_the_largest() {
    gradus_core::seed(4);
    let (x, a) = (features(), adjacency(&[]));
    let count = a.sum_dim(1).clamp_min(1.0).unsqueeze(1);
    let hidden = a.unsqueeze(-1).eq(0.0);
    let all = hidden.where_(f64::NEG_INFINITY, x.unsqueeze(0)).max_dim(1);
    let largest = all.eq(f64::NEG_INFINITY).where_(0.0, &all);
    let gathered = [a.matmul(&x) / count, a.matmul(&x), largest];
    let kinds = [Aggregation::Mean, Aggregation::Sum, Aggregation::Max];
    for (kind, gathered) in kinds.into_iter().zip(gathered) {
        let layer = SageConv::new(3, 4).aggr(kind);
        let own = layer.lin_r.as_ref().unwrap().forward(&x);
        close(&layer.forward(&x, &edges()), &(layer.lin_l.forward(&gathered) + own));
    }
}

#[test]
fn gat_is_a_masked_softmax_of_scores() {
    gradus_core::seed(5);
    let x = features();
    for (loops, concat) in [(true, true), (false, true), (true, false)] {
        let mut layer = GatConv::new(3, 4).heads(2);
        if !loops {
            layer = layer.no_self_loops();
        }
        if !concat {
            layer = layer.no_concat();
        }
        let h = x.matmul(layer.lin.weight.tensor().t()).reshape([5, 2, 4]);
        let score = |a: Tensor| (&h * a).sum_dim(-1).t(); // [heads, nodes]
        let (from, to) = (score(layer.att_src.tensor()), score(layer.att_dst.tensor()));
        let scores = (to.unsqueeze(2) + from.unsqueeze(1)).leaky_relu(0.2);
        let a = adjacency(if loops { &[0, 1, 2, 3, 4] } else { &[] });
        let weights = a.eq(0.0).where_(-1e9, scores).softmax(-1) * a;
        let y = weights.matmul(h.transpose(0, 1)).transpose(0, 1);
        let y = if concat { y.reshape([5, 8]) } else { y.mean_dim(1) };
        close(&layer.forward(&x, &edges()), &y);
    }
}

#[test]
fn gin_adds_the_node_itself() {
    let x = features();
    let layer = GinConv::new(Linear::new(3, 2)).eps(0.5).train_eps();
    let names: Vec<String> = layer.named_parameters().into_iter().map(|p| p.0).collect();
    assert_eq!(names, ["eps", "nn.weight", "nn.bias"]);
    let sums = adjacency(&[]).matmul(&x) + &x * 1.5;
    close(&layer.forward(&x, &edges()), &layer.nn.forward(&sums));
    let kept = GinConv::new(Linear::new(3, 2));
    assert!(matches!(kept.eps, Epsilon::Kept(_)) && kept.named_buffers().len() == 1);
}

#[test]
fn wrong_edges_are_errors_that_say_why() {
    let layer = GcnConv::new(3, 4);
    let title = |y: &Tensor| y.to_array().unwrap_err().title().to_string();
    let x = features();
    let y = layer.forward(&x, &Tensor::from([[0, 5], [1, 1]]));
    assert!(title(&y).contains('5'), "{}", title(&y));
    let y = layer.forward(&x, &Tensor::from([[0.0], [1.0]]));
    assert_eq!(title(&y), "GcnConv: the edges are f32, not i64");
    let y = layer.forward(&x, &Tensor::from([[0, 1, 2]]));
    assert_eq!(title(&y), "GcnConv: the edges are [1, 3], not [2, edges]");
    let y = layer.forward(&Tensor::ones([5, 2]), &edges());
    assert_eq!(title(&y), "GcnConv: the features are [5, 2], not [nodes, 3]");
    let y = GcnConv::new(0, 4).forward(&Tensor::ones([5, 0]), &edges());
    assert!(title(&y).contains("at least 1"), "{}", title(&y));
}

#[test]
fn no_edges_at_all_leave_the_nodes_to_themselves() {
    let none = Tensor::zeros([2, 0]).cast(gradus_core::DType::I64);
    let model = Gcn::new(3, 4, 2, 3).dropout(0.5);
    let y = inference(|| model.forward(&features(), &none));
    assert_eq!(y.dims::<2>().unwrap(), [5, 2]);
    let gat = GatConv::new(3, 2).forward(&features(), &none);
    assert!(gat.is_finite().all().item().unwrap() == 1.0);
    assert_eq!(GcnConv::new(3, 2).forward(&Tensor::ones([0, 3]), &none).numel().unwrap(), 0);
}
