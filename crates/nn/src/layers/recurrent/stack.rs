//! What recurrent layers share: layers above one another, in one direction or both.

use gradus_core::ops::{Cell, Recurrence, States};
use gradus_core::{Code, Error, Operand, Param, Result, Shape, Tag, Tensor};
use smallvec::SmallVec;

use crate::init;
use crate::module::Visitor;

/// The parameters of one layer in one direction.
pub struct RecurrentWeights {
    /// `[gates * hidden, input]`.
    pub weight_ih: Param,
    /// `[gates * hidden, hidden]`, or `[.., proj_size]` if the layer has one.
    pub weight_hh: Param,
    /// `[gates * hidden]`.
    pub bias_ih: Option<Param>,
    /// `[gates * hidden]`.
    pub bias_hh: Option<Param>,
    /// `[proj_size, hidden]`, of an LSTM that has one.
    pub weight_hr: Option<Param>,
    names: [String; 5],
}

/// What a layer was asked to be.
#[derive(Clone, Copy)]
pub(super) struct Config {
    pub(super) name: &'static str,
    pub(super) cell: Cell,
    pub(super) input_size: usize,
    pub(super) hidden_size: usize,
    pub(super) num_layers: usize,
    pub(super) bias: bool,
    pub(super) batch_first: bool,
    pub(super) dropout: f64,
    pub(super) bidirectional: bool,
    /// 0 for none.
    pub(super) proj_size: usize,
}

impl Config {
    pub(super) fn new(name: &'static str, cell: Cell, input_size: usize, hidden: usize) -> Config {
        Config {
            name,
            cell,
            input_size,
            hidden_size: hidden,
            num_layers: 1,
            bias: true,
            batch_first: false,
            dropout: 0.0,
            bidirectional: false,
            proj_size: 0,
        }
    }

    fn directions(&self) -> usize {
        1 + usize::from(self.bidirectional)
    }

    /// Size of a state.
    fn state(&self) -> usize {
        if self.proj_size > 0 { self.proj_size } else { self.hidden_size }
    }

    fn check(&self) -> Result<()> {
        let wrong =
            |text: String| Err(Error::new(Code::Argument, format!("{}: {text}", self.name)));
        let (i, h) = (self.input_size, self.hidden_size);
        if i == 0 || h == 0 || self.num_layers == 0 {
            let layers = self.num_layers;
            return wrong(format!("sizes must be at least 1, not {i} -> {h}, {layers} layers"));
        }
        if !(0.0..=1.0).contains(&self.dropout) {
            return wrong(format!("`dropout` must be in 0 to 1, not {}", self.dropout));
        }
        if self.proj_size >= h {
            return wrong(format!("`proj_size` must be below {h}, not {}", self.proj_size));
        }
        Ok(())
    }

    fn describe(&self) -> String {
        let mut text = format!("{}({} -> {}", self.name, self.input_size, self.hidden_size);
        if self.num_layers != 1 {
            text.push_str(&format!(", {} layers", self.num_layers));
        }
        if self.bidirectional {
            text.push_str(", both directions");
        }
        text.push(')');
        text
    }
}

impl RecurrentWeights {
    /// Uniform in `±1 / sqrt(hidden)`, all of them, as in PyTorch.
    pub(super) fn new(config: &Config, input: usize, suffix: &str) -> RecurrentWeights {
        let checked = config.check();
        let bound = 1.0 / libm::sqrt(config.hidden_size as f64);
        let param = |shape: &[usize]| {
            let value = checked.clone().and_then(|()| init::symmetric(Shape::new(shape), bound));
            Param::from_result(value)
        };
        let (gates, state) =
            (config.cell.gates().saturating_mul(config.hidden_size), config.state());
        let (weight_ih, weight_hh) = (param(&[gates, input]), param(&[gates, state]));
        let bias_ih = config.bias.then(|| param(&[gates]));
        let bias_hh = config.bias.then(|| param(&[gates]));
        let weight_hr = (config.proj_size > 0).then(|| param(&[state, config.hidden_size]));
        let names = ["weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr"];
        let names = names.map(|name| format!("{name}{suffix}"));
        RecurrentWeights { weight_ih, weight_hh, bias_ih, bias_hh, weight_hr, names }
    }

    fn map(&self, f: impl Fn(&Param) -> Param) -> RecurrentWeights {
        RecurrentWeights {
            weight_ih: f(&self.weight_ih),
            weight_hh: f(&self.weight_hh),
            bias_ih: self.bias_ih.as_ref().map(&f),
            bias_hh: self.bias_hh.as_ref().map(&f),
            weight_hr: self.weight_hr.as_ref().map(&f),
            names: self.names.clone(),
        }
    }

    pub(super) fn share(&self) -> RecurrentWeights {
        self.map(Param::share)
    }

    pub(super) fn duplicate(&self) -> RecurrentWeights {
        self.map(|param| Param::from_result(param.get()))
    }

    /// All of them, in PyTorch's order.
    fn all(&self) -> impl Iterator<Item = (&str, &Param)> {
        let given = [Some(&self.weight_ih), Some(&self.weight_hh), self.bias_ih.as_ref()];
        let given = given.into_iter().chain([self.bias_hh.as_ref(), self.weight_hr.as_ref()]);
        self.names.iter().zip(given).filter_map(|(name, param)| Some((name.as_str(), param?)))
    }

    pub(super) fn walk(&self, visitor: &mut dyn Visitor) {
        self.all().for_each(|(name, param)| visitor.param(name, param));
    }

    /// The error of the constructor, if it failed.
    pub(super) fn error(&self) -> Option<&Error> {
        self.all().find_map(|(_, param)| param.error())
    }

    /// One layer in one direction over `[time, batch, input]`.
    #[track_caller]
    pub(super) fn run(
        &self,
        x: &Tensor,
        cell: Cell,
        reverse: bool,
        lengths: Option<&Tensor>,
        [h0, c0]: [Option<&Tensor>; 2],
    ) -> States {
        // A GRU multiplies what the state brings, with its bias, by a gate.
        let apart = cell == Cell::Gru;
        let own = self.bias_hh.as_ref().map(Param::tensor);
        let bias = match (&self.bias_ih, &own) {
            (Some(bias), Some(own)) if !apart => Some(bias.tensor() + own),
            (bias, _) => bias.as_ref().map(Param::tensor),
        };
        let gates = x.linear(&self.weight_ih, bias.as_ref().map(|b| b as &dyn Operand));
        let projection = self.weight_hr.as_ref().map(Param::tensor);
        let (bias, projection) = (own.as_ref().filter(|_| apart), projection.as_ref());
        let options = Recurrence { cell, reverse, lengths, h0, c0, bias, projection };
        gates.recurrence(&self.weight_hh, options)
    }
}

/// Tensors, without memory from the heap as long as they are few.
type Few = SmallVec<[Tensor; 8]>;

/// Layers above one another.
pub(super) struct Stack {
    pub(super) config: Config,
    pub(super) tag: Tag,
    /// Layer by layer, forward before reverse.
    weights: Vec<RecurrentWeights>,
}

/// What goes into a stack besides the sequence.
#[derive(Clone, Copy, Default)]
pub(super) struct Given<'a> {
    pub(super) lengths: Option<&'a [usize]>,
    pub(super) h0: Option<&'a Tensor>,
    pub(super) c0: Option<&'a Tensor>,
}

impl Stack {
    pub(super) fn new(config: Config) -> Stack {
        let mut weights = Vec::new();
        // Sizes that are wrong make one layer, which has the error.
        let layers = if config.check().is_ok() { config.num_layers } else { 1 };
        for layer in 0..layers {
            let below = config.state() * config.directions();
            let input = if layer == 0 { config.input_size } else { below };
            for direction in 0..config.directions() {
                let end = if direction == 0 { "" } else { "_reverse" };
                let suffix = format!("_l{layer}{end}");
                weights.push(RecurrentWeights::new(&config, input, &suffix));
            }
        }
        Stack { tag: Tag::new(config.describe()), config, weights }
    }

    pub(super) fn weights(&self, layer: usize, reverse: bool) -> Option<&RecurrentWeights> {
        if reverse && !self.config.bidirectional {
            return None;
        }
        self.weights.get(layer * self.config.directions() + usize::from(reverse))
    }

    pub(super) fn share(&self) -> Stack {
        let weights = self.weights.iter().map(RecurrentWeights::share).collect();
        Stack { config: self.config, tag: self.tag.clone(), weights }
    }

    pub(super) fn duplicate(&self) -> Stack {
        let weights = self.weights.iter().map(RecurrentWeights::duplicate).collect();
        Stack { config: self.config, tag: Tag::new(self.config.describe()), weights }
    }

    pub(super) fn walk(&self, visitor: &mut dyn Visitor) {
        visitor.tag(&self.tag);
        self.weights.iter().for_each(|w| w.walk(visitor));
    }

    /// All layers over a sequence; a failed tensor in all places, if something does not fit.
    #[track_caller]
    pub(super) fn forward(&self, x: &Tensor, given: Given<'_>) -> States {
        let _scope = self.tag.enter();
        match self.through(x, given) {
            Ok(states) => states,
            Err(failed) => {
                let c = (self.config.cell == Cell::Lstm).then(|| failed.clone());
                States { output: failed.clone(), h: failed, c }
            }
        }
    }

    #[track_caller]
    fn through(&self, x: &Tensor, given: Given<'_>) -> Result<States, Tensor> {
        let config = &self.config;
        let Ok(shape) = x.shape() else { return Err(x.clone()) };
        if let Some(error) = self.weights.iter().find_map(RecurrentWeights::error) {
            return Err(Tensor::failed(error.clone()));
        }
        for state in [given.h0, given.c0].into_iter().flatten() {
            if state.check().is_err() {
                return Err(state.clone());
            }
        }
        let alone = shape.rank() == 2;
        if !(alone || shape.rank() == 3) || shape.last(0) != config.input_size {
            return Err(self.misfit(shape));
        }
        // One sequence without a batch is a batch of it.
        let batched = |t: &Tensor| if alone { t.unsqueeze(1) } else { t.clone() };
        let mut x = match config.batch_first && !alone {
            true => x.transpose(0, 1),
            false => batched(x),
        };
        let (time, batch) = match (alone, config.batch_first) {
            (true, _) => (shape.dim(0), 1),
            (false, false) => (shape.dim(0), shape.dim(1)),
            (false, true) => (shape.dim(1), shape.dim(0)),
        };
        let count = config.num_layers * config.directions();
        let start = [(given.h0, "h0", config.state()), (given.c0, "c0", config.hidden_size)];
        let mut starts = [None, None];
        for ((state, name, size), to) in start.into_iter().zip(&mut starts) {
            let Some(state) = state else { continue };
            let state = batched(state);
            let (have, want) = (state.shape(), Shape::new(&[count, batch, size]));
            if have.as_ref().ok() != Some(&want) {
                let have = have.map_or_else(|e| e.to_string(), |s| s.to_string());
                let text = format!("{}: `{name}` is {have}, not {want}", config.name);
                let help = "a state is [layers * directions, batch, hidden]";
                return Err(Tensor::failed(Error::new(Code::Shape, text).help(help)));
            }
            *to = Some(state);
        }
        let lengths = match given.lengths {
            Some(lengths) => Some(self.lengths(lengths, time, batch)?),
            None => None,
        };
        let (mut h, mut c) = (Few::new(), Few::new());
        for (layer, weights) in self.weights.chunks(config.directions()).enumerate() {
            let mut outputs = Few::new();
            for (direction, weights) in weights.iter().enumerate() {
                let at = (layer * config.directions() + direction) as isize;
                let own = [0, 1].map(|i| starts[i].as_ref().map(|s| s.select(0, at)));
                let own = [own[0].as_ref(), own[1].as_ref()];
                let states = weights.run(&x, config.cell, direction == 1, lengths.as_ref(), own);
                outputs.push(states.output);
                h.push(states.h);
                c.extend(states.c);
            }
            x = joined(&outputs);
            if layer + 1 < config.num_layers && config.dropout > 0.0 {
                x = x.dropout(config.dropout);
            }
        }
        let stacked = |states: &[Tensor]| {
            let all = Tensor::stack(&states.iter().collect::<SmallVec<[&Tensor; 8]>>(), 0);
            if alone { all.squeeze(1) } else { all }
        };
        let output = match (alone, config.batch_first) {
            (true, _) => x.squeeze(1),
            (false, true) => x.transpose(0, 1),
            (false, false) => x,
        };
        Ok(States { output, h: stacked(&h), c: (!c.is_empty()).then(|| stacked(&c)) })
    }

    /// Lengths as a tensor, if they fit.
    #[track_caller]
    fn lengths(&self, lengths: &[usize], time: usize, batch: usize) -> Result<Tensor, Tensor> {
        let longest = lengths.iter().max().copied().unwrap_or(0);
        if lengths.len() != batch || longest > time {
            let count = lengths.len();
            let text = format!(
                "{}: {count} lengths up to {longest}, for a batch of {batch} with {time} time steps",
                self.config.name
            );
            let help = "one length for each sample, at most the number of time steps";
            return Err(Tensor::failed(Error::new(Code::Shape, text).help(help)));
        }
        Ok(Tensor::from(lengths.iter().map(|&n| n as i64).collect::<Vec<_>>()))
    }

    #[cold]
    #[track_caller]
    fn misfit(&self, shape: Shape) -> Tensor {
        let (name, size) = (self.config.name, self.config.input_size);
        let axes = if self.config.batch_first { "[batch, time," } else { "[time, batch," };
        let text = format!("{name}: takes {axes} {size}] or [time, {size}], not {shape}");
        Tensor::failed(Error::new(Code::Shape, text))
    }
}

/// Both directions side by side.
#[track_caller]
fn joined(outputs: &[Tensor]) -> Tensor {
    match outputs {
        [only] => only.clone(),
        all => Tensor::concat(&all.iter().collect::<SmallVec<[&Tensor; 8]>>(), -1),
    }
}
