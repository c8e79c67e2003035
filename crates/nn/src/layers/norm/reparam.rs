//! A layer's weight made from other parameters: weight norm and spectral norm.
//!
//! Both wrap any layer. Its own weight is no parameter any more: it is replaced, while the layer
//! records, by what it is made of. In files the parts have the names of PyTorch's
//! `torch.nn.utils.weight_norm` and `spectral_norm`, beside the layer's others: `weight_g`,
//! `weight_v`, `bias`.

use std::fmt;

use gradus_core::derivatives::functional_call;
use gradus_core::{
    Array, Buffer, Code, Error, MAX_RANK, Param, Result, Shape, Tag, Tensor, init_normal,
    is_training, no_grad,
};
use smallvec::SmallVec;

use crate::layer::Layer;
use crate::layers::broken;
use crate::module::{Module, Visitor};

/// Finds a parameter of a layer by its name.
struct Find<'a> {
    name: &'a str,
    found: Option<Param>,
}

impl Visitor for Find<'_> {
    fn param(&mut self, name: &str, param: &Param) {
        if name == self.name {
            self.found = Some(param.share());
        }
    }
    fn buffer(&mut self, _: &str, _: &Buffer) {}
    fn child(&mut self, _: &str, _: &dyn Module) {}
}

fn find(layer: &dyn Module, name: &str, what: &str) -> Result<Param> {
    let mut find = Find { name, found: None };
    layer.walk(&mut find);
    let Some(param) = find.found else {
        let text = format!("{what}: `{}` has no parameter `{name}`", layer.name());
        return Err(Error::new(Code::Argument, text));
    };
    param.get()?;
    Ok(param)
}

/// Shows a layer's parts without one of its parameters.
struct Without<'a> {
    id: Option<u64>,
    inner: &'a mut dyn Visitor,
}

impl Visitor for Without<'_> {
    fn param(&mut self, name: &str, param: &Param) {
        if Some(param.id()) != self.id {
            self.inner.param(name, param);
        }
    }
    fn buffer(&mut self, name: &str, buffer: &Buffer) {
        self.inner.buffer(name, buffer);
    }
    fn child(&mut self, name: &str, module: &dyn Module) {
        self.inner.child(name, module);
    }
    fn tag(&mut self, tag: &Tag) {
        self.inner.tag(tag);
    }
}

/// Lengths over all axes but one (all of them, with `None`), which keep size 1.
fn lengths(v: &Tensor, dim: Option<usize>) -> Tensor {
    let rank = v.shape().map_or(0, |shape| shape.rank());
    let axes: SmallVec<[usize; MAX_RANK]> = (0..rank).filter(|&axis| Some(axis) != dim).collect();
    v.norm_keepdim(axes.as_slice(), 2)
}

/// Computed now, on values that exist.
fn now(f: impl FnOnce() -> Tensor) -> Result<Array> {
    no_grad(f).to_array()
}

/// A layer whose weight has its length and its direction as two parameters: `g * v / |v|`.
///
/// Lengths are over all axes but the first, as in PyTorch ([`WeightNorm::dim`]). The layer computes
/// the same as before until it is trained. Parameters `weight_g` (`[out, 1, ..]`) and `weight_v` (the
/// weight's shape) take the place of `weight`. Salimans and Kingma, 2016.
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_nn::{Linear, ModuleExt, WeightNorm};
/// let layer = WeightNorm::new(Linear::new(3, 2));
/// let names: Vec<String> = layer.named_parameters().into_iter().map(|p| p.0).collect();
/// assert_eq!(names, ["bias", "weight_g", "weight_v"]);
/// assert_eq!(layer.forward(&Tensor::zeros([5, 3])).dims::<2>()?, [5, 2]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub struct WeightNorm<L> {
    /// The length of each unit's weights.
    pub weight_g: Param,
    /// Their direction.
    pub weight_v: Param,
    layer: L,
    /// The parameter that both stand for.
    weight: Option<Param>,
    name: String,
    dim: Option<usize>,
}

impl<L: Layer> WeightNorm<L> {
    /// With `weight`, one length for each element of its first axis. A layer without it is an error,
    /// which the first `forward` reports.
    pub fn new(layer: L) -> WeightNorm<L> {
        WeightNorm::of(layer, "weight".to_string(), Some(0))
    }

    fn of(layer: L, name: String, dim: Option<usize>) -> WeightNorm<L> {
        let weight = find(&layer, &name, "WeightNorm");
        let v = weight.as_ref().map_err(Clone::clone).and_then(Param::get);
        let g = v.clone().and_then(|v| now(|| lengths(&Tensor::from_array(&v), dim)));
        WeightNorm {
            weight_g: Param::from_result(g),
            weight_v: Param::from_result(v),
            layer,
            weight: weight.ok(),
            name,
            dim,
        }
    }

    /// The parameter of that name instead; in files it is `NAME_g` and `NAME_v`.
    #[must_use]
    pub fn name(self, name: &str) -> WeightNorm<L> {
        WeightNorm::of(self.layer, name.to_string(), self.dim)
    }

    /// The axis that has one length for each element, 0 by default; `None` for a single length.
    #[must_use]
    pub fn dim(self, dim: impl Into<Option<usize>>) -> WeightNorm<L> {
        WeightNorm::of(self.layer, self.name, dim.into())
    }

    /// The layer inside. Its own weight is not used.
    pub fn layer(&self) -> &L {
        &self.layer
    }

    /// The weight that the layer uses now.
    #[track_caller]
    pub fn weight(&self) -> Tensor {
        let v = self.weight_v.tensor();
        &v * (self.weight_g.tensor() / lengths(&v, self.dim))
    }

    /// The layer's result.
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        match broken(x, [&self.weight_g, &self.weight_v]) {
            Some(failed) => failed,
            None => replaced(&self.layer, self.weight.as_ref(), &self.weight(), x),
        }
    }
}

/// The result of a layer that finds `value` in the place of its parameter.
#[track_caller]
fn replaced<L: Layer>(layer: &L, param: Option<&Param>, value: &Tensor, x: &Tensor) -> Tensor {
    match param {
        Some(param) if value.failure().is_none() => {
            functional_call(&[(param, value)], || layer.forward(x))
        }
        _ if x.failure().is_some() => x.clone(),
        _ => value.clone(),
    }
}

/// A layer whose weight is divided by its largest singular value, so that it stretches nothing.
///
/// The singular value is followed by power iteration: each forward pass while training takes
/// [`SpectralNorm::n_power_iterations`] steps of it (1 by default), and its vectors are buffers. The
/// weight is taken as a matrix, `[out, everything else]`. Parameter `weight_orig` and buffers
/// `weight_u` and `weight_v` take the place of `weight`. At the start 15 steps are taken. Miyato and
/// others, 2018.
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_nn::{Layer, Linear, SpectralNorm};
/// let layer = SpectralNorm::new(Linear::new(6, 4).no_bias());
/// let x = Tensor::randn([10, 6]);
/// let (y, x) = (layer.predict(&x).norm(2).item()?, x.norm(2).item()?);
/// assert!(y <= x * 1.1);
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub struct SpectralNorm<L> {
    /// The weight before it is divided.
    pub weight_orig: Param,
    /// The left singular vector, `[out]`.
    pub weight_u: Buffer,
    /// The right singular vector.
    pub weight_v: Buffer,
    layer: L,
    weight: Option<Param>,
    name: String,
    steps: usize,
    eps: f64,
}

/// Steps of power iteration before the first pass.
const FIRST_STEPS: usize = 15;

impl<L: Layer> SpectralNorm<L> {
    /// With `weight`. A layer without it, or with one of a single axis, is an error, which the first
    /// `forward` reports.
    pub fn new(layer: L) -> SpectralNorm<L> {
        SpectralNorm::of(layer, "weight".to_string())
    }

    fn of(layer: L, name: String) -> SpectralNorm<L> {
        let weight = find(&layer, &name, "SpectralNorm");
        let value = weight.as_ref().map_err(Clone::clone).and_then(Param::get).and_then(matrix);
        let eps = 1e-12;
        let vectors = value.clone().and_then(|value| {
            let w = flat(&Tensor::from_array(&value));
            let shape = w.shape()?;
            let mut u = init_normal(shape.dim(0), 0.0, 1.0)?;
            let mut v = init_normal(shape.dim(1), 0.0, 1.0)?;
            for _ in 0..FIRST_STEPS {
                v = now(|| unit(&w.t().mv(Tensor::from_array(&u)), eps))?;
                u = now(|| unit(&w.mv(Tensor::from_array(&v)), eps))?;
            }
            Ok((u, v))
        });
        let part =
            |which: fn((Array, Array)) -> Array| Buffer::from_result(vectors.clone().map(which));
        SpectralNorm {
            weight_orig: Param::from_result(value),
            weight_u: part(|(u, _)| u),
            weight_v: part(|(_, v)| v),
            layer,
            weight: weight.ok(),
            name,
            steps: 1,
            eps,
        }
    }

    /// The parameter of that name instead.
    #[must_use]
    pub fn name(self, name: &str) -> SpectralNorm<L> {
        let (steps, eps) = (self.steps, self.eps);
        SpectralNorm { steps, eps, ..SpectralNorm::of(self.layer, name.to_string()) }
    }

    /// Steps of power iteration a forward pass; 1 by default.
    #[must_use]
    pub fn n_power_iterations(mut self, steps: usize) -> SpectralNorm<L> {
        self.steps = steps;
        self
    }

    /// The least that a length counts as when a vector is divided by it; 1e-12 by default.
    #[must_use]
    pub fn eps(mut self, eps: f64) -> SpectralNorm<L> {
        self.eps = eps;
        self
    }

    /// The layer inside. Its own weight is not used.
    pub fn layer(&self) -> &L {
        &self.layer
    }

    /// The weight that the layer uses now; while training after a step of power iteration.
    #[track_caller]
    fn weight(&self) -> Tensor {
        let weight = self.weight_orig.tensor();
        let w = flat(&weight);
        let Ok(dtype) = w.dtype() else { return weight };
        let (mut u, mut v) =
            (self.weight_u.tensor().cast(dtype), self.weight_v.tensor().cast(dtype));
        if is_training() {
            // The vectors are constants to the gradient, as in PyTorch.
            let fixed = w.detach();
            for _ in 0..self.steps {
                v = unit(&fixed.t().mv(&u), self.eps);
                u = unit(&fixed.mv(&v), self.eps);
            }
            self.weight_u.assign(&u.cast(self.weight_u.dtype()));
            self.weight_v.assign(&v.cast(self.weight_v.dtype()));
        }
        let sigma = u.detach().dot(w.mv(v.detach()));
        weight / sigma
    }

    /// The layer's result.
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        match broken(x, [&self.weight_orig]) {
            Some(failed) => failed,
            None => replaced(&self.layer, self.weight.as_ref(), &self.weight(), x),
        }
    }
}

/// As a matrix: the first axis, and all others.
#[track_caller]
fn flat(weight: &Tensor) -> Tensor {
    weight.flatten(1)
}

/// Of length 1.
#[track_caller]
fn unit(x: &Tensor, eps: f64) -> Tensor {
    x / x.norm(2).clamp_min(eps)
}

fn matrix(value: Array) -> Result<Array> {
    let shape: Shape = value.shape();
    if shape.rank() >= 2 {
        return Ok(value);
    }
    let text = format!("SpectralNorm: a weight {shape} is no matrix");
    Err(Error::new(Code::Shape, text).help("it has two axes or more"))
}

macro_rules! wrapper {
    ($name:ident: $($part:ident $field:ident $suffix:literal),*) => {
        impl<L: Layer> Module for $name<L> {
            fn walk(&self, visitor: &mut dyn Visitor) {
                let id = self.weight.as_ref().map(Param::id);
                self.layer.walk(&mut Without { id, inner: &mut *visitor });
                $(visitor.$part(&format!("{}{}", self.name, $suffix), &self.$field);)*
            }

            fn name(&self) -> &'static str {
                stringify!($name)
            }
        }

        impl<L: Layer> Layer for $name<L> {
            #[track_caller]
            fn forward(&self, x: &Tensor) -> Tensor {
                $name::forward(self, x)
            }
        }

        impl<L: Layer> fmt::Debug for $name<L> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), Module::name(&self.layer))
            }
        }
    };
}
wrapper!(WeightNorm: param weight_g "_g", param weight_v "_v");
wrapper!(SpectralNorm: param weight_orig "_orig", buffer weight_u "_u", buffer weight_v "_v");
