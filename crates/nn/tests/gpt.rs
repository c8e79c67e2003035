//! The language model: what it sees, what it writes, and whose files it takes.
#![allow(clippy::unwrap_used, reason = "a test")]

use gradus_core::{Tensor, inference};
use gradus_nn::models::{Gpt, GptConfig, VisionTransformer, VisionTransformerConfig};
use gradus_nn::{ModuleExt, StateDict};

fn sizes() -> GptConfig {
    GptConfig { vocab_size: 11, n_positions: 32, n_embd: 8, n_layer: 2, n_head: 2, dropout: 0.1 }
}

#[test]
fn names_are_those_of_gpt2() {
    let names: Vec<String> = Gpt::new(GptConfig { n_layer: 1, ..sizes() })
        .named_parameters()
        .into_iter()
        .map(|p| p.0)
        .collect();
    let want = [
        "wte.weight",
        "wpe.weight",
        "h.0.ln_1.weight",
        "h.0.ln_1.bias",
        "h.0.attn.c_attn.weight",
        "h.0.attn.c_attn.bias",
        "h.0.attn.c_proj.weight",
        "h.0.attn.c_proj.bias",
        "h.0.ln_2.weight",
        "h.0.ln_2.bias",
        "h.0.mlp.c_fc.weight",
        "h.0.mlp.c_fc.bias",
        "h.0.mlp.c_proj.weight",
        "h.0.mlp.c_proj.bias",
        "ln_f.weight",
        "ln_f.bias",
    ];
    assert_eq!(names, want);
}

#[test]
fn a_token_does_not_see_what_comes_after_it() {
    let model = Gpt::new(sizes());
    let logits = |ids: [i64; 4]| {
        inference(|| model.forward(&Tensor::from(ids).unsqueeze(0))).to_vec3::<f32>().unwrap()
    };
    let (a, b) = (logits([1, 2, 3, 4]), logits([1, 2, 9, 4]));
    assert_eq!(a[0][..2], b[0][..2]);
    assert!(a[0][2] != b[0][2] && a[0][3] != b[0][3]);
}

#[test]
fn generating_depends_on_the_seed_and_on_nothing_else() {
    let model = Gpt::new(sizes());
    let write = |seed, temperature, top_k| {
        gradus_core::seed(seed);
        model.generate(&[1, 2], 40, temperature, top_k).unwrap()
    };
    let text = write(5, 1.0, None);
    assert_eq!(text.len(), 42); // longer than the positions
    assert_eq!(text[..2], [1, 2]);
    assert!(text.iter().all(|t| (0..11).contains(t)));
    assert_eq!(text, write(5, 1.0, None));
    assert_ne!(text, write(6, 1.0, None));
    // The most likely one, whichever way it is asked for.
    assert_eq!(write(1, 0.0, None), write(2, 1.0, Some(1)));
}

#[test]
fn filling_up_changes_no_choice() {
    let model = Gpt::new(sizes());
    let mut text = vec![3i64];
    for _ in 0..20 {
        let ids = Tensor::from(text.clone()).unsqueeze(0);
        let logits = inference(|| model.forward(&ids));
        let last = logits.select(1, -1).argmax(-1).to_vec::<i64>().unwrap();
        text.push(last[0]);
    }
    assert_eq!(model.generate(&[3], 20, 0.0, None).unwrap(), text);
}

#[test]
fn misuse_of_generate_is_an_error() {
    let model = Gpt::new(sizes());
    let title = |r: gradus_core::Result<Vec<i64>>| r.unwrap_err().title().to_string();
    assert!(title(model.generate(&[], 1, 1.0, None)).contains("prompt is empty"));
    assert!(title(model.generate(&[1], 1, -1.0, None)).contains("temperature of -1"));
    assert!(title(model.generate(&[1], 1, 1.0, Some(0))).contains("top_k"));
    assert!(title(model.generate(&[11], 1, 1.0, None)).contains("11"));
}

#[test]
fn files_of_gpt2_are_turned() {
    let (model, other) = (Gpt::new(sizes()), Gpt::new(sizes()));
    let mut file = StateDict::new();
    for (name, array) in model.state_dict().unwrap().iter() {
        let turned = ["c_attn.weight", "c_proj.weight", "c_fc.weight"];
        let array = match turned.iter().any(|end| name.ends_with(end)) {
            true => Tensor::from(array).t().to_array().unwrap(),
            false => array.clone(),
        };
        file.insert(format!("transformer.{name}"), array);
    }
    file.insert("transformer.h.0.attn.bias", Tensor::ones([1, 1, 4, 4]).to_array().unwrap());
    other.load_gpt2(&file).unwrap();
    let (a, b) = (model.state_dict().unwrap(), other.state_dict().unwrap());
    assert!(a.iter().all(|(name, array)| array.same_bits(b.get(name).unwrap())));
}

#[test]
fn names_are_those_of_torchvision() {
    let model = VisionTransformer::new(VisionTransformerConfig {
        image_size: 4,
        patch_size: 2,
        in_channels: 3,
        num_layers: 1,
        num_heads: 2,
        hidden_dim: 4,
        mlp_dim: 5,
        num_classes: 3,
        dropout: 0.0,
        attention_dropout: 0.0,
    });
    let names: Vec<String> = model.named_parameters().into_iter().map(|p| p.0).collect();
    let layer = "encoder.layers.encoder_layer_0";
    let mut want =
        vec!["class_token".to_string(), "conv_proj.weight".into(), "conv_proj.bias".into()];
    want.push("encoder.pos_embedding".into());
    for part in [
        "ln_1.weight",
        "ln_1.bias",
        "self_attention.in_proj_weight",
        "self_attention.in_proj_bias",
        "self_attention.out_proj.weight",
        "self_attention.out_proj.bias",
        "ln_2.weight",
        "ln_2.bias",
        "mlp.0.weight",
        "mlp.0.bias",
        "mlp.3.weight",
        "mlp.3.bias",
    ] {
        want.push(format!("{layer}.{part}"));
    }
    for part in ["encoder.ln.weight", "encoder.ln.bias", "heads.head.weight", "heads.head.bias"] {
        want.push(part.to_string());
    }
    assert_eq!(names, want);
    assert_eq!(VisionTransformerConfig::b_16().hidden_dim, 768);
}
