//! The vision transformer.

use std::fmt;

use gradus_core::{Code, Error, Param, Result, Shape, Tag, Tensor};

use crate::init;
use crate::layer::Layer;
use crate::layers::{Dropout, LayerNorm, Linear, MultiheadAttention};
use crate::module::{Module, Visitor};

/// The sizes of a [`VisionTransformer`], named as in torchvision.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VisionTransformerConfig {
    /// Height and width of an image.
    pub image_size: usize,
    /// Height and width of a patch; divides `image_size`.
    pub patch_size: usize,
    /// Channels of an image; 3 in torchvision.
    pub in_channels: usize,
    /// Number of layers.
    pub num_layers: usize,
    /// Number of heads; divides `hidden_dim`.
    pub num_heads: usize,
    /// Size of a patch's vector.
    pub hidden_dim: usize,
    /// Size between the two maps of a layer.
    pub mlp_dim: usize,
    /// Number of classes.
    pub num_classes: usize,
    /// The probability of dropout while training.
    pub dropout: f64,
    /// The probability of dropping an attention weight while training.
    pub attention_dropout: f64,
}

impl VisionTransformerConfig {
    /// ViT-B/16 for images of 224 by 224 and the 1000 classes of ImageNet: 86.6 million parameters.
    pub fn b_16() -> VisionTransformerConfig {
        VisionTransformerConfig {
            image_size: 224,
            patch_size: 16,
            in_channels: 3,
            num_layers: 12,
            num_heads: 12,
            hidden_dim: 768,
            mlp_dim: 3072,
            num_classes: 1000,
            dropout: 0.0,
            attention_dropout: 0.0,
        }
    }
}

/// A vision transformer: an image is cut into patches, which are the rows of a sequence for an
/// encoder; a row of its own stands for the class.
///
/// Images `[batch, in_channels, image_size, image_size]` give logits `[batch, num_classes]`. Names
/// are torchvision's, so its files load: `conv_proj`, `class_token`, `encoder.pos_embedding`,
/// `encoder.layers.encoder_layer_N` (`ln_1`, `self_attention`, `ln_2`, `mlp.0`, `mlp.3`),
/// `encoder.ln`, `heads.head`. Layers are normalised before (`eps` 1e-6), with the exact GELU.
/// Initial values as there, but the weights of `conv_proj` are normal without a cut at two
/// deviations. Dosovitskiy et al., *An image is worth 16x16 words*, 2021.
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_nn::models::{VisionTransformer, VisionTransformerConfig};
/// let model = VisionTransformer::new(VisionTransformerConfig {
///     image_size: 8, patch_size: 4, in_channels: 1, num_layers: 2, num_heads: 2,
///     hidden_dim: 16, mlp_dim: 32, num_classes: 10, dropout: 0.0, attention_dropout: 0.0,
/// });
/// assert_eq!(model.forward(&Tensor::zeros([5, 1, 8, 8])).dims::<2>()?, [5, 10]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub struct VisionTransformer {
    /// From a patch to its vector.
    pub conv_proj: PatchProjection,
    /// The row that stands for the class, `[1, 1, hidden_dim]`.
    pub class_token: Param,
    /// A vector for each place, the class first, `[1, 1 + patches, hidden_dim]`.
    pub pos_embedding: Param,
    /// The layers, in order.
    pub layers: Vec<VisionLayer>,
    /// After the last layer.
    pub ln: LayerNorm,
    /// From the class's row to logits.
    pub head: Linear,
    dropout: Dropout,
    sizes: VisionTransformerConfig,
    tag: Tag,
}

/// A convolution whose step is its window, as one product: parameters as those of a `Conv2d`.
pub struct PatchProjection {
    /// `[hidden_dim, in_channels, patch_size, patch_size]`.
    pub weight: Param,
    /// `[hidden_dim]`.
    pub bias: Param,
}

/// One layer of a [`VisionTransformer`].
pub struct VisionLayer {
    /// Before attention.
    pub ln_1: LayerNorm,
    /// Attention of all patches to all.
    pub self_attention: MultiheadAttention,
    /// Before the two maps.
    pub ln_2: LayerNorm,
    /// The first map, `mlp.0`.
    pub mlp_0: Linear,
    /// The second map, `mlp.3`.
    pub mlp_3: Linear,
    dropout: Dropout,
}

impl VisionLayer {
    fn new(sizes: VisionTransformerConfig) -> VisionLayer {
        let VisionTransformerConfig { hidden_dim, mlp_dim, num_heads, .. } = sizes;
        let linear = |from, to| {
            Linear::new(from, to)
                .with_init(|shape| init::xavier_uniform(shape, 1.0))
                .with_bias_init(|shape| init::normal(shape, 0.0, 1e-6))
        };
        VisionLayer {
            ln_1: LayerNorm::new(hidden_dim).eps(1e-6),
            self_attention: MultiheadAttention::new(hidden_dim, num_heads)
                .dropout(sizes.attention_dropout)
                .batch_first(true),
            ln_2: LayerNorm::new(hidden_dim).eps(1e-6),
            mlp_0: linear(hidden_dim, mlp_dim),
            mlp_3: linear(mlp_dim, hidden_dim),
            dropout: Dropout::new(sizes.dropout),
        }
    }

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let h = self.ln_1.forward(x);
        let x = x + self.dropout.forward(&self.self_attention.forward(&h, &h, &h));
        let h = self.mlp_0.forward(&self.ln_2.forward(&x)).gelu();
        let h = self.mlp_3.forward(&self.dropout.forward(&h));
        &x + self.dropout.forward(&h)
    }
}

impl VisionTransformer {
    /// A model with torchvision's initial values: the last map is zero, so all classes start equal.
    /// Sizes that do not go together are an error, which the first `forward` reports.
    pub fn new(sizes: VisionTransformerConfig) -> VisionTransformer {
        let VisionTransformerConfig { patch_size: patch, in_channels, hidden_dim: size, .. } =
            sizes;
        let rows = 1 + (sizes.image_size / patch.max(1)).pow(2);
        let std = libm::sqrt(1.0 / (in_channels * patch * patch).max(1) as f64);
        let param =
            |shape: Shape, std: f64| Param::from_result(init::normal(shape, 0.0, std as f32));
        VisionTransformer {
            conv_proj: PatchProjection {
                weight: param([size, in_channels, patch, patch].into(), std),
                bias: Param::from_result(init::zeros(size)),
            },
            class_token: Param::from_result(init::zeros([1, 1, size])),
            pos_embedding: param([1, rows, size].into(), 0.02),
            layers: (0..sizes.num_layers).map(|_| VisionLayer::new(sizes)).collect(),
            ln: LayerNorm::new(size).eps(1e-6),
            head: Linear::new(size, sizes.num_classes)
                .with_init(init::zeros)
                .with_bias_init(init::zeros),
            dropout: Dropout::new(sizes.dropout),
            sizes,
            tag: Tag::new(format!(
                "VisionTransformer({} layers, {size} wide, patches of {patch})",
                sizes.num_layers
            )),
        }
    }

    /// The sizes.
    pub fn config(&self) -> VisionTransformerConfig {
        self.sizes
    }

    /// The logits of each image.
    #[track_caller]
    pub fn forward(&self, images: &Tensor) -> Tensor {
        let _scope = self.tag.enter();
        match self.rows(images) {
            Ok(rows) => {
                let x = self.layers.iter().fold(rows, |x, layer| layer.forward(&x));
                // Rows are normalised one by one: only the class's is needed.
                self.head.forward(&self.ln.forward(&x.select(1, 0)))
            }
            Err(_) if images.check().is_err() => images.clone(),
            Err(error) => Tensor::failed(error),
        }
    }

    /// Patches with the class before them, and their places.
    #[track_caller]
    fn rows(&self, images: &Tensor) -> Result<Tensor> {
        let VisionTransformerConfig { image_size: side, patch_size: patch, hidden_dim, .. } =
            self.sizes;
        let own = [&self.class_token, &self.pos_embedding, &self.conv_proj.weight];
        if let Some(error) = own.into_iter().find_map(Param::error) {
            return Err(error.clone());
        }
        if patch == 0 || hidden_dim == 0 || side % patch != 0 {
            let text =
                format!("VisionTransformer: patches of {patch} do not fill images of {side}");
            return Err(Error::new(Code::Argument, text).help("`patch_size` divides `image_size`"));
        }
        let (shape, channels) = (images.shape()?, self.sizes.in_channels);
        if shape.rank() != 4 || shape.dims().get(1..) != Some(&[channels, side, side][..]) {
            let text = format!(
                "VisionTransformer: takes [batch, {channels}, {side}, {side}], not {shape}"
            );
            return Err(Error::new(Code::Shape, text));
        }
        let (batch, count) = (shape.dim(0), side / patch);
        // Patch after patch, each as a row of channels, lines and columns.
        let patches = images
            .reshape_to([batch, channels, count, patch, count, patch])
            .permute([0, 2, 4, 1, 3, 5])
            .reshape_to([batch, count * count, channels * patch * patch]);
        let weight = self.conv_proj.weight.tensor();
        let weight = weight.reshape_to([hidden_dim, channels * patch * patch]);
        let x = patches.linear(weight, Some(&self.conv_proj.bias));
        let class = self.class_token.tensor().broadcast_to([batch, 1, hidden_dim]);
        let x = Tensor::concat(&[&class, &x], 1) + &self.pos_embedding;
        Ok(self.dropout.forward(&x))
    }
}

impl fmt::Debug for VisionTransformer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.tag.describe())
    }
}

/// The parts that torchvision keeps under `encoder`.
struct Encoder<'a>(&'a VisionTransformer);

impl Module for Encoder<'_> {
    fn walk(&self, visitor: &mut dyn Visitor) {
        visitor.param("pos_embedding", &self.0.pos_embedding);
        visitor.child("layers", &Layers(&self.0.layers));
        visitor.child("ln", &self.0.ln);
    }
}

/// Layers with the names that torchvision gives them.
struct Layers<'a>(&'a [VisionLayer]);

impl Module for Layers<'_> {
    fn walk(&self, visitor: &mut dyn Visitor) {
        for (i, layer) in self.0.iter().enumerate() {
            visitor.child(&format!("encoder_layer_{i}"), layer);
        }
    }
}

/// A part that is alone under one more name.
struct Only<'a>(&'static str, &'a dyn Module);

impl Module for Only<'_> {
    fn walk(&self, visitor: &mut dyn Visitor) {
        visitor.child(self.0, self.1);
    }
}

/// The two maps of a layer, as the first and fourth of a sequence.
struct Maps<'a>(&'a VisionLayer);

impl Module for Maps<'_> {
    fn walk(&self, visitor: &mut dyn Visitor) {
        visitor.child("0", &self.0.mlp_0);
        visitor.child("2", &self.0.dropout);
        visitor.child("3", &self.0.mlp_3);
    }
}

impl Module for VisionTransformer {
    fn walk(&self, visitor: &mut dyn Visitor) {
        visitor.tag(&self.tag);
        visitor.param("class_token", &self.class_token);
        visitor.child("conv_proj", &self.conv_proj);
        visitor.child("encoder", &Encoder(self));
        visitor.child("heads", &Only("head", &self.head));
        visitor.child("dropout", &self.dropout);
    }
}

impl Module for PatchProjection {
    fn walk(&self, visitor: &mut dyn Visitor) {
        visitor.param("weight", &self.weight);
        visitor.param("bias", &self.bias);
    }
}

impl Module for VisionLayer {
    fn walk(&self, visitor: &mut dyn Visitor) {
        visitor.child("ln_1", &self.ln_1);
        visitor.child("self_attention", &self.self_attention);
        visitor.child("ln_2", &self.ln_2);
        visitor.child("mlp", &Maps(self));
    }
}

impl Layer for VisionTransformer {
    #[track_caller]
    fn forward(&self, images: &Tensor) -> Tensor {
        VisionTransformer::forward(self, images)
    }
}
