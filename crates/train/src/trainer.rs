//! The one call that trains: what it takes, and the settings it checks.

use std::sync::{Arc, LazyLock};

use gradus_core::{Code, Error, Precision, Result, Tag, Tensor};
use gradus_data::Dataset;
use gradus_nn::{Layer, Optimizer};

use crate::clipping::Clipping;
use crate::event::{Callback, Event, Watch};
use crate::loss::Loss;
use crate::metric::Metric;
use crate::report::Report;
use crate::run::Run;
use crate::session::Session;
use crate::stop::StopToken;
use crate::tally::MetricList;

/// A number of epochs: passes over the training data, those before a resume included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epochs(pub usize);

impl From<usize> for Epochs {
    fn from(epochs: usize) -> Epochs {
        Epochs(epochs)
    }
}

/// Trains a model: batches in shuffled order, steps, validation after each epoch, callbacks.
///
/// The same seed gives the same weights, bit for bit, for any number of threads, with or without
/// callbacks, metrics, validation and a run folder, and also when it was stopped and resumed.
///
/// ```
/// use gradus_nn::{AdamW, Dropout, Linear, Relu, seq};
/// use gradus_train::{Accuracy, Epochs, Trainer, cross_entropy};
///
/// let (train, valid, test) = gradus_data::digits()?.split3(0.1, 0.2, 17)?;
/// gradus_core::seed(17);
/// let model = seq![Linear::new(64, 64), Relu, Dropout::new(0.1), Linear::new(64, 10)];
/// let mut report = Trainer::new(&model, AdamW::new(&model, 3e-3))
///     .loss(cross_entropy)
///     .metric(Accuracy::new())
///     .batch_size(32)
///     .seed(17)
///     .fit(&train, &valid, Epochs(3))?;
/// assert!(report.test(&model, &test)?.get("test.accuracy").unwrap_or(0.0) > 0.9);
/// # Ok::<(), gradus_core::Error>(())
/// ```
#[must_use = "a trainer trains with `fit`"]
pub struct Trainer<'m> {
    pub(crate) model: Box<dyn Layer + 'm>,
    pub(crate) optimizer: Box<dyn Optimizer + 'm>,
    pub(crate) loss: Option<Loss>,
    pub(crate) metrics: MetricList,
    pub(crate) batch_size: usize,
    pub(crate) seed: Option<u64>,
    pub(crate) callbacks: Vec<Box<dyn Callback + 'm>>,
    pub(crate) run: Option<Run>,
    pub(crate) stop: StopToken,
    pub(crate) clipping: Clipping,
    pub(crate) precision: Precision,
    pub(crate) penalty: Option<Box<dyn Fn() -> Tensor + 'm>>,
}

impl<'m> Trainer<'m> {
    /// A trainer for a model and the optimizer of its parameters.
    pub fn new<L: Layer + ?Sized>(model: &'m L, optimizer: impl Optimizer + 'm) -> Trainer<'m> {
        Trainer {
            model: Box::new(model),
            optimizer: Box::new(optimizer),
            loss: None,
            metrics: Vec::new(),
            batch_size: 32,
            seed: None,
            callbacks: Vec::new(),
            run: None,
            stop: StopToken::new(),
            clipping: Clipping::default(),
            precision: Precision::F32,
            penalty: None,
        }
    }

    /// What is minimised. There is no default.
    pub fn loss(mut self, loss: impl Into<Loss>) -> Trainer<'m> {
        self.loss = Some(loss.into());
        self
    }

    /// A loss of one's own, from prediction and target to the mean over the batch.
    ///
    /// ```
    /// use gradus_nn::{Linear, Sgd};
    /// use gradus_train::{Epochs, Trainer};
    /// let data = gradus_data::noisy_line(64, 0.1, 0)?;
    /// let model = Linear::new(1, 1);
    /// let report = Trainer::new(&model, Sgd::new(&model, 0.1))
    ///     .loss_fn(|prediction, target| (prediction - target).abs().mean())
    ///     .fit(&data, None, Epochs(20))?;
    /// assert!(report.last("train.loss") < report.history[0].metrics.get("train.loss"));
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    pub fn loss_fn(
        self,
        loss: impl Fn(&Tensor, &Tensor) -> Tensor + Send + Sync + 'static,
    ) -> Trainer<'m> {
        self.loss(Loss::from(loss))
    }

    /// Measures something beside the loss, on the training data (while it trains, as part of the
    /// step) and on the validation data.
    pub fn metric(mut self, metric: impl Metric + 'static) -> Trainer<'m> {
        self.metrics.push(Arc::new(metric));
        self
    }

    /// Samples a step; default 32. The last step of an epoch takes what is left.
    pub fn batch_size(mut self, batch_size: usize) -> Trainer<'m> {
        self.batch_size = batch_size;
        self
    }

    /// Mixed precision: with [`Precision::Bf16`], products of matrices, convolutions, recurrence and
    /// attention in training steps round their operands to bf16, forward and backward
    /// ([`autocast`](gradus_core::autocast)). Weights, optimizer, loss and validation stay f32. Default: f32.
    ///
    /// ```
    /// use gradus_core::Precision;
    /// use gradus_nn::{Linear, Sgd};
    /// use gradus_train::{Epochs, Trainer};
    /// let data = gradus_data::noisy_line(64, 0.1, 0)?;
    /// let model = Linear::new(1, 1);
    /// let report = Trainer::new(&model, Sgd::new(&model, 0.1))
    ///     .loss_fn(|prediction, target| (prediction - target).square().mean())
    ///     .precision(Precision::Bf16)
    ///     .fit(&data, None, Epochs(20))?;
    /// assert!(report.last("train.loss") < report.history[0].metrics.get("train.loss"));
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    pub fn precision(mut self, precision: Precision) -> Trainer<'m> {
        self.precision = precision;
        self
    }

    /// Scales the gradients of a step down so that their common 2-norm is at most `max_norm`: one bad
    /// batch then cannot throw the weights far away. Default: no clipping.
    pub fn clip_norm(mut self, max_norm: impl Into<Option<f64>>) -> Trainer<'m> {
        self.clipping.norm = max_norm.into();
        self
    }

    /// Cuts every element of a gradient to `-limit..=limit`. Default: no clipping. With other clipping
    /// too this one comes first, then the adaptive one, then the norm.
    pub fn clip_value(mut self, limit: impl Into<Option<f64>>) -> Trainer<'m> {
        self.clipping.value = limit.into();
        self
    }

    /// Adaptive clipping: the gradient of each row of a weight is at most `clipping` times as long as
    /// the row; 0.01 is usual, good for large batches without normalisation. Default: no clipping. See
    /// [`clip_adaptive`](gradus_nn::optim::clip_adaptive).
    ///
    /// ```
    /// use gradus_nn::{Linear, Sgd};
    /// use gradus_train::{Epochs, Loss, Trainer};
    /// let data = gradus_data::noisy_line(64, 0.1, 0)?;
    /// let model = Linear::new(1, 1);
    /// let report = Trainer::new(&model, Sgd::new(&model, 0.5))
    ///     .loss(Loss::Mse)
    ///     .clip_adaptive(0.1)
    ///     .fit(&data, None, Epochs(5))?;
    /// assert!(report.last("train.loss") < report.history[0].metrics.get("train.loss"));
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    pub fn clip_adaptive(mut self, clipping: impl Into<Option<f64>>) -> Trainer<'m> {
        self.clipping.adaptive = clipping.into();
        self
    }

    /// Adds a penalty on the parameters to the loss of each step; `train.loss` has it in it, what is
    /// measured on validation data has not. See [`gradus_nn::penalty`].
    ///
    /// ```
    /// use gradus_nn::{Linear, Sgd, penalty};
    /// use gradus_train::{Epochs, Loss, Trainer};
    /// let data = gradus_data::noisy_line(64, 0.1, 0)?;
    /// let model = Linear::new(1, 1);
    /// Trainer::new(&model, Sgd::new(&model, 0.1))
    ///     .loss(Loss::Mse)
    ///     .penalty(|| penalty::l1(&model, 1e-3, penalty::weights))
    ///     .fit(&data, None, Epochs(2))?;
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    pub fn penalty(mut self, penalty: impl Fn() -> Tensor + 'm) -> Trainer<'m> {
        self.penalty = Some(Box::new(penalty));
        self
    }

    /// Seeds the training when it starts: the order of the samples, dropout and other noise.
    ///
    /// Initial weights were drawn before; call `gradus_core::seed` before the model is made. By
    /// default the order comes from the global seed, and noise goes on from where it is.
    pub fn seed(mut self, seed: u64) -> Trainer<'m> {
        self.seed = Some(seed);
        self
    }

    /// Adds a callback. They see each event in the order in which they were added.
    pub fn callback(mut self, callback: impl Callback + 'm) -> Trainer<'m> {
        self.callbacks.push(Box::new(callback));
        self
    }

    /// Adds a closure that sees every event.
    ///
    /// ```
    /// use gradus_nn::{Linear, Sgd};
    /// use gradus_train::{Epochs, Event, Loss, Trainer};
    /// let digits = gradus_data::digits()?.take(100);
    /// let model = Linear::new(64, 10);
    /// let mut losses = Vec::new();
    /// Trainer::new(&model, Sgd::new(&model, 0.1))
    ///     .loss(Loss::CrossEntropy)
    ///     .batch_size(50)
    ///     .watch(|event| {
    ///         if let Event::StepEnd { loss, .. } = event {
    ///             losses.push(*loss);
    ///         }
    ///     })
    ///     .fit(&digits, None, Epochs(3))?;
    /// assert_eq!(losses.len(), 6);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    pub fn watch(self, watch: impl FnMut(&Event<'_>) + 'm) -> Trainer<'m> {
        self.callback(Watch(watch))
    }

    /// Keeps the training in a folder, made by [`Run::create`]: configuration, numbers of each
    /// epoch, the best weights, the report, and all that [`Trainer::resume`] needs.
    ///
    /// The best weights are those with the smallest `valid.loss` (without validation data,
    /// `train.loss`), unless a callback watches another metric, as [`EarlyStopping`] and
    /// [`Checkpoint`] do; then it is the first one's.
    ///
    /// [`EarlyStopping`]: crate::EarlyStopping
    /// [`Checkpoint`]: crate::Checkpoint
    pub fn run(mut self, run: Run) -> Trainer<'m> {
        self.run = Some(run);
        self
    }

    /// Goes on with a run that was stopped or killed, with the same model, data and settings: bit
    /// for bit as if it had not been. [`Epochs`] count from its beginning. A run of [`Run::open`]
    /// that ended is not trained further, unless it ended because all epochs were made and there
    /// are more now.
    ///
    /// ```
    /// use gradus_nn::{Adam, Linear};
    /// use gradus_train::{Epochs, Loss, Run, RunConfig, Trainer};
    /// # let folder = std::env::temp_dir().join("gradus_doc_resume");
    /// # std::fs::remove_dir_all(&folder).ok();
    /// let digits = gradus_data::digits()?;
    /// let train = |run: Run, epochs| {
    ///     let model = Linear::new(64, 10);
    ///     Trainer::new(&model, Adam::new(&model, 1e-2))
    ///         .loss(Loss::CrossEntropy)
    ///         .resume(run)
    ///         .fit(&digits, None, Epochs(epochs))
    /// };
    /// train(Run::create(&folder, &RunConfig::for_data(&digits))?, 1)?;
    /// let report = train(Run::open(&folder)?, 3)?;
    /// assert_eq!(report.epochs, 3);
    /// # std::fs::remove_dir_all(folder).ok();
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    pub fn resume(self, run: Run) -> Trainer<'m> {
        // Whether there is something to go on from is known by how the run was made.
        self.run(run)
    }

    /// A way to stop the training from elsewhere.
    pub fn stop_token(mut self, token: impl Into<StopToken>) -> Trainer<'m> {
        self.stop = token.into();
        self
    }

    /// Trains.
    ///
    /// The validation data (`&valid` or `None`) is measured after each epoch and never trained on.
    /// A step that fails changes nothing, so after an error the model has the weights before it.
    ///
    /// # Errors
    /// Before the first step: [`Code::Data`] for data that is empty or does not fit the loss or
    /// the model, [`Code::Argument`] and [`Code::Config`] for settings, [`Code::Shape`] for a
    /// model that does not fit together. While training: [`Code::NonFinite`] when the loss or a
    /// gradient is infinite or NaN, with the step and the file that has the best weights so far;
    /// [`Code::Io`] when a file cannot be written; the error of a callback.
    #[track_caller]
    pub fn fit<'d>(
        self,
        train: &Dataset,
        valid: impl Into<Option<&'d Dataset>>,
        epochs: impl Into<Epochs>,
    ) -> Result<Report> {
        // The scope keeps the caller's line for messages.
        static TAG: LazyLock<Tag> = LazyLock::new(|| Tag::new("Trainer::fit"));
        let _scope = TAG.enter();
        let Epochs(epochs) = epochs.into();
        Session::new(self, train, valid.into(), epochs).run()
    }

    /// The settings, or what is wrong with them.
    pub(crate) fn settle(&self, epochs: usize) -> Result<Loss> {
        if epochs == 0 {
            return Err(Error::new(Code::Argument, "0 epochs").help("train for at least 1 epoch"));
        }
        self.clipping.check()?;
        let mut names: Vec<&str> = self.metrics.iter().map(|m| m.name()).collect();
        names.push("loss");
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find_map(|w| (w[0] == w[1]).then_some(w[0])) {
            let text = format!("there are two metrics with the name `{twice}`");
            return Err(Error::new(Code::Config, text));
        }
        self.loss.clone().ok_or_else(|| {
            Error::new(Code::Config, "the trainer has no loss").help(
                "add `.loss(Loss::CrossEntropy)` to tell classes apart, or `.loss(Loss::Mse)` to \
                 predict values",
            )
        })
    }
}
