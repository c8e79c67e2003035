//! What every module can do, made from its walk: list, count, name, freeze, save, load.
//!
//! One collector gathers all parts with their dotted names; a part that is held twice is listed
//! once, under its first name, and the other name is kept as an alias.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use gradus_core::{Array, Buffer, Error, Param, Result, Tag, snapshot};

use crate::module::{Module, Visitor};
use crate::state::{self, StateDict};

/// The parts of a module with their names; each once.
#[derive(Default)]
pub(crate) struct Parts {
    pub(crate) params: Vec<(String, Param)>,
    pub(crate) buffers: Vec<(String, Buffer)>,
    /// Another name, and the first name, of a part that is held more than once.
    pub(crate) aliases: Vec<(String, String)>,
}

/// Gathers [`Parts`].
#[derive(Default)]
struct Collector {
    parts: Parts,
    prefix: String,
    /// The first name of each part that was seen, by id.
    seen: HashMap<u64, String>,
}

/// `prefix.name`, or `name` at the root.
fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_string() } else { format!("{prefix}.{name}") }
}

impl Collector {
    /// The full name of a part that is new; an alias is noted otherwise.
    fn first(&mut self, id: u64, name: &str) -> Option<String> {
        let full = join(&self.prefix, name);
        if let Some(first) = self.seen.get(&id) {
            self.parts.aliases.push((full, first.clone()));
            return None;
        }
        self.seen.insert(id, full.clone());
        Some(full)
    }
}

impl Visitor for Collector {
    fn param(&mut self, name: &str, param: &Param) {
        if let Some(full) = self.first(param.id(), name) {
            self.parts.params.push((full, param.share()));
        }
    }

    fn buffer(&mut self, name: &str, buffer: &Buffer) {
        if let Some(full) = self.first(buffer.id(), name) {
            self.parts.buffers.push((full, buffer.share()));
        }
    }

    fn child(&mut self, name: &str, module: &dyn Module) {
        let length = self.prefix.len();
        self.prefix = join(&self.prefix, name);
        module.walk(self);
        self.prefix.truncate(length);
    }
}

/// All parts of a module.
pub(crate) fn parts<M: Module + ?Sized>(module: &M) -> Parts {
    let mut collector = Collector::default();
    module.walk(&mut collector);
    collector.parts
}

/// Writes paths on parameters, buffers and tags.
struct Stamper {
    /// `l1.weight`'s prefix.
    dotted: String,
    /// `Mlp > l1`.
    path: String,
    depth: usize,
    /// Keep a path that is deeper than the new one: this walk began inside a model.
    keep_deeper: bool,
    seen: HashSet<u64>,
}

impl Stamper {
    /// Whether to write a path on this part.
    fn wants(&mut self, id: u64, old: Option<&str>, separator: &str, depth: usize) -> bool {
        if !self.seen.insert(id) {
            return false;
        }
        match old {
            Some(old) if self.keep_deeper => old.matches(separator).count() <= depth,
            _ => true,
        }
    }
}

impl Visitor for Stamper {
    fn param(&mut self, name: &str, param: &Param) {
        if self.wants(param.id(), param.path().as_deref(), ".", self.depth) {
            param.set_path(&join(&self.dotted, name));
        }
    }

    fn buffer(&mut self, name: &str, buffer: &Buffer) {
        if self.wants(buffer.id(), buffer.path().as_deref(), ".", self.depth) {
            buffer.set_path(&join(&self.dotted, name));
        }
    }

    fn child(&mut self, name: &str, module: &dyn Module) {
        let lengths = (self.dotted.len(), self.path.len());
        self.dotted = join(&self.dotted, name);
        self.path.push_str(" > ");
        self.path.push_str(name);
        self.depth += 1;
        module.walk(self);
        self.depth -= 1;
        self.dotted.truncate(lengths.0);
        self.path.truncate(lengths.1);
    }

    fn tag(&mut self, tag: &Tag) {
        // A root that is itself a layer is shown by its label alone.
        if self.wants(tag.id(), tag.path().as_deref(), " > ", self.depth) {
            tag.set_path(if self.depth == 0 { "" } else { &self.path });
        }
    }
}

fn stamp<M: Module + ?Sized>(module: &M, root: &str, keep_deeper: bool) {
    module.walk(&mut Stamper {
        dotted: String::new(),
        path: root.to_string(),
        depth: 0,
        keep_deeper,
        seen: HashSet::new(),
    });
}

/// Names the parts of a model for messages; what a walk from further up has named stays.
pub(crate) fn stamp_once<M: Module + ?Sized>(module: &M) {
    stamp(module, module.name(), true);
}

/// Looks whether the first part of a model has a path; allocates nothing.
struct Stamped(Option<bool>);

impl Visitor for Stamped {
    fn param(&mut self, _: &str, param: &Param) {
        self.0.get_or_insert_with(|| param.path().is_some());
    }
    fn buffer(&mut self, _: &str, buffer: &Buffer) {
        self.0.get_or_insert_with(|| buffer.path().is_some());
    }
    fn child(&mut self, _: &str, module: &dyn Module) {
        if self.0.is_none() {
            module.walk(self);
        }
    }
}

/// [`stamp_once`] for a hot path: does nothing when the model was walked before.
pub(crate) fn stamp_if_new<M: Module + ?Sized>(module: &M) {
    let mut stamped = Stamped(None);
    module.walk(&mut stamped);
    if stamped.0 == Some(false) {
        stamp_once(module);
    }
}

/// Some of the parameters of a module; see [`ModuleExt::select`].
pub struct Selection {
    params: Vec<(String, Param)>,
}

impl Module for Selection {
    fn walk(&self, visitor: &mut dyn Visitor) {
        self.params.iter().for_each(|(name, param)| visitor.param(name, param));
    }
}

/// What every module can do.
pub trait ModuleExt: Module {
    /// Handles on all parameters, each once, in the order of the fields.
    fn parameters(&self) -> Vec<Param> {
        parts(self).params.into_iter().map(|(_, param)| param).collect()
    }

    /// All parameters with their names from this module down (`l1.weight`), each once.
    ///
    /// ```
    /// use gradus_nn::{Linear, ModuleExt, Relu, seq};
    /// let model = seq![Linear::new(4, 3), Relu, Linear::new(3, 2)];
    /// let names: Vec<String> = model.named_parameters().into_iter().map(|p| p.0).collect();
    /// assert_eq!(names, ["0.weight", "0.bias", "2.weight", "2.bias"]);
    /// ```
    fn named_parameters(&self) -> Vec<(String, Param)> {
        parts(self).params
    }

    /// Some of the parameters as a module of their own: what another optimizer trains, a penalty
    /// counts or a file keeps. Names are those from this module down.
    ///
    /// ```
    /// use gradus_nn::{Linear, ModuleExt, Sgd, seq};
    /// let model = seq![Linear::new(4, 3), Linear::new(3, 2)];
    /// let head = model.select(|name, _| name.starts_with("1."));
    /// assert_eq!(head.num_parameters(), 8);
    /// let opt = Sgd::new(&head, 0.1);
    /// # let _ = opt;
    /// ```
    fn select(&self, select: impl Fn(&str, &Param) -> bool) -> Selection
    where
        Self: Sized,
    {
        stamp_once(self);
        let mut params = parts(self).params;
        params.retain(|(name, param)| select(name, param));
        Selection { params }
    }

    /// All buffers with their names, each once.
    fn named_buffers(&self) -> Vec<(String, Buffer)> {
        parts(self).buffers
    }

    /// Second names of shared (tied) parts: `(alias, first name)`.
    fn aliases(&self) -> Vec<(String, String)> {
        parts(self).aliases
    }

    /// How many numbers are trained; frozen and shared ones count once.
    fn num_parameters(&self) -> usize {
        parts(self).params.iter().map(|(_, param)| param.numel()).sum()
    }

    /// Stops training of all parameters: they record as constants.
    fn freeze(&self) {
        parts(self).params.iter().for_each(|(_, param)| param.freeze(true));
    }

    /// Resumes training of all parameters.
    fn thaw(&self) {
        parts(self).params.iter().for_each(|(_, param)| param.freeze(false));
    }

    /// Names all parts for messages, from this module as root: parameters `l1.weight`, layers
    /// `root > l1`. Optimizers, `predict`, `save` and `load` do it with the type's name.
    fn stamp(&self, root: &str) {
        stamp(self, root, false);
    }

    /// The values of all parameters and buffers at one moment; no step is half applied in them.
    ///
    /// # Errors
    /// The error of a layer whose constructor failed.
    fn snapshot(&self) -> Result<StateDict> {
        state_of(parts(self))
    }

    /// The values by name, as in PyTorch: a [`ModuleExt::snapshot`] after what is recorded for
    /// the buffers has run.
    ///
    /// # Errors
    /// The error of a layer whose constructor failed, or of a buffer's assignment.
    fn state_dict(&self) -> Result<StateDict> {
        let parts = parts(self);
        for (_, buffer) in &parts.buffers {
            buffer.read()?;
        }
        state_of(parts)
    }

    /// Takes over the values of a state with the same names and shapes.
    ///
    /// Floats of another width are converted, so a bf16, f16 or f64 checkpoint fits a model of f32
    /// parameters, which stay f32; integers fit wider ones. For a shared parameter either name will do.
    ///
    /// # Errors
    /// [`Code::State`](gradus_core::Code::State) with everything that is missing, left over or of
    /// another shape, and similar names; nothing is changed then.
    fn load_state_dict(&self, state: &StateDict) -> Result<()> {
        stamp_once(self);
        let parts = parts(self);
        let mut slots = Vec::new();
        for (name, param) in &parts.params {
            slots.push(state::Slot::new(name, param.shape(), param.dtype()));
            if let Some(error) = param.error() {
                return Err(error.clone());
            }
        }
        for (name, buffer) in &parts.buffers {
            slots.push(state::Slot::new(name, buffer.shape(), buffer.dtype()));
            if let Some(error) = buffer.error() {
                return Err(error.clone());
            }
        }
        let mut values = state::fit(&slots, &parts.aliases, state, "model")?.into_iter();
        let mut next = || values.next().ok_or_else(|| Error::internal("load: too few values"));
        for (_, param) in &parts.params {
            param.set(next()?)?;
        }
        for (_, buffer) in &parts.buffers {
            buffer.set(next()?)?;
        }
        Ok(())
    }

    /// Writes all values to a safetensors file, which PyTorch, Hugging Face and others read.
    ///
    /// The file appears complete or not at all: it is written under another name in the same
    /// folder, then renamed.
    ///
    /// # Errors
    /// [`Code::Io`](gradus_core::Code::Io) when it cannot be written; the error of a layer whose
    /// constructor failed.
    ///
    /// ```
    /// use gradus_nn::{Linear, ModuleExt};
    /// let path = std::env::temp_dir().join("gradus_doc.safetensors");
    /// let (a, b) = (Linear::new(4, 2), Linear::new(4, 2));
    /// a.save(&path)?;
    /// b.load(&path)?;
    /// assert!(a.weight.get()?.same_bits(&b.weight.get()?));
    /// # std::fs::remove_file(path).ok();
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        stamp_once(self);
        self.state_dict()?.save(path)
    }

    /// Takes over the values of a safetensors file; see [`ModuleExt::load_state_dict`].
    ///
    /// # Errors
    /// [`Code::Io`](gradus_core::Code::Io), [`Code::Format`](gradus_core::Code::Format) or
    /// [`Code::State`](gradus_core::Code::State); nothing is changed then.
    fn load(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let state = StateDict::load(path)?;
        self.load_state_dict(&state).map_err(|e| e.line("file", path.display().to_string()))
    }
}

impl<M: Module + ?Sized> ModuleExt for M {}

fn state_of(parts: Parts) -> Result<StateDict> {
    let params: Vec<&Param> = parts.params.iter().map(|(_, p)| p).collect();
    let buffers: Vec<&Buffer> = parts.buffers.iter().map(|(_, b)| b).collect();
    let (params, buffers): (Vec<Array>, Vec<Array>) = snapshot(&params, &buffers)?;
    let mut state = StateDict::new();
    for ((name, _), value) in parts.params.iter().zip(params) {
        state.insert(name, value);
    }
    for ((name, _), value) in parts.buffers.iter().zip(buffers) {
        state.insert(name, value);
    }
    for (alias, first) in parts.aliases {
        state.set_metadata(alias, first);
    }
    Ok(state)
}
