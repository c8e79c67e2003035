//! The one error type of every Gradus crate: a code, a sentence, and where it happened.
//!
//! An error is data first (a stable [`Code`], labelled lines) and text second, so programs can
//! match on it and people can read it. It is cheap to clone: a failed tensor carries its error.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;

/// What went wrong, as a stable name that `gradus explain <name>` expands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Code {
    /// Sizes do not fit together.
    Shape,
    /// An element type is not what the operation takes.
    DType,
    /// An index or class id is out of range.
    Index,
    /// A value that must be finite is infinite or NaN.
    NonFinite,
    /// The history of a tensor was already used by a `backward` or `step`.
    History,
    /// There is no gradient to compute.
    Gradient,
    /// An argument is outside what the operation accepts.
    Argument,
    /// A plan needs more memory than is allowed.
    Memory,
    /// A file cannot be read or written.
    Io,
    /// A file is not what its format says.
    Format,
    /// Data does not fit the task or the model.
    Data,
    /// A setting is wrong.
    Config,
    /// The state of a model and a file do not line up.
    State,
    /// The user asked to stop.
    Interrupted,
    /// A user's own operation or closure failed.
    Custom,
    /// Gradus contradicts itself; please report it.
    Internal,
}

impl Code {
    /// All codes, in order.
    pub const ALL: [Code; 16] = [
        Code::Shape,
        Code::DType,
        Code::Index,
        Code::NonFinite,
        Code::History,
        Code::Gradient,
        Code::Argument,
        Code::Memory,
        Code::Io,
        Code::Format,
        Code::Data,
        Code::Config,
        Code::State,
        Code::Interrupted,
        Code::Custom,
        Code::Internal,
    ];

    /// The name shown in brackets.
    pub fn name(self) -> &'static str {
        match self {
            Code::Shape => "shape",
            Code::DType => "dtype",
            Code::Index => "index",
            Code::NonFinite => "non-finite",
            Code::History => "history",
            Code::Gradient => "gradient",
            Code::Argument => "argument",
            Code::Memory => "memory",
            Code::Io => "io",
            Code::Format => "format",
            Code::Data => "data",
            Code::Config => "config",
            Code::State => "state",
            Code::Interrupted => "interrupted",
            Code::Custom => "custom",
            Code::Internal => "internal",
        }
    }

    /// The code of that name.
    pub fn parse(name: &str) -> Option<Code> {
        Code::ALL.into_iter().find(|c| c.name() == name)
    }

    /// A paragraph for a newcomer: what the error means, why it happens, what to do.
    pub fn explain(self) -> &'static str {
        match self {
            Code::Shape => {
                "Every operation has a rule for the sizes of its operands. The message shows both \
                 shapes, where each operand was made and which layer asked. Shapes are listed from \
                 the slowest axis to the fastest: a batch of 64 rows with 784 features is \
                 [64, 784]. Sizes broadcast as in NumPy (an axis of size 1, or a missing leading \
                 axis, repeats), but losses never broadcast: a prediction [64, 1] against a target \
                 [64] would silently compare every pair. Use `reshape`, `unsqueeze` or `flatten` \
                 to make the shapes agree, or change the layer's `in_features`."
            }
            Code::DType => {
                "Tensors have an element type: f32 (the default for real numbers), f64, i64 (class \
                 ids, indices), i32, u8 (pixels), bool (masks), and bf16 and f16, which only store \
                 real numbers. Use `cast` to convert; to compute with bf16 or f16, `cast` to f32 \
                 first. Operands of two types meet in the wider one, as in PyTorch, but an f64 \
                 tensor that meets an f32 parameter is an error, because the model would silently \
                 run in f64."
            }
            Code::Index => {
                "An index lies outside the axis it selects from. For a classifier with C outputs \
                 the class ids must be 0..C; the message gives the first bad position and value."
            }
            Code::NonFinite => {
                "The loss or a gradient became infinite or NaN. The step was not applied: \
                 parameters and optimizer state are as before it. Usual causes: a learning rate \
                 that is too high, inputs that are not scaled, the log of zero, a division by \
                 zero. The message names the first operation with a non-finite result whose \
                 operands were all finite."
            }
            Code::History => {
                "`backward` and `step` use up the history of the tensors they differentiate. The \
                 message shows both calls. Add the losses before one `backward`, or call \
                 `detach()` on a tensor that should count as data (the hidden state carried from \
                 one batch to the next)."
            }
            Code::Gradient => {
                "The loss does not depend on the parameters that should be trained, or only \
                 through operations without a gradient (comparison, argmax, detach, no_grad), or \
                 it is not a single number."
            }
            Code::Argument => "An argument is outside the range that its documentation gives.",
            Code::Memory => {
                "The plan's memory was computed before running and exceeds what is allowed or \
                 addressable. The message lists the largest tensors. Use a smaller batch."
            }
            Code::Io => {
                "The operating system refused to read or write a file; nothing was changed."
            }
            Code::Format => {
                "The bytes of a file do not follow its format: a wrong magic number, a header that \
                 promises more than the file holds, a broken compression stream. Copy or download \
                 it again."
            }
            Code::Data => "The data cannot be used for this task as it is; the message says where.",
            Code::Config => "A command-line argument or a setting in a file is wrong.",
            Code::State => {
                "The names, shapes or types of a saved state and of the model differ. The message \
                 lists what is missing, what is left over and what differs in shape."
            }
            Code::Interrupted => "The run was stopped on request. Its best checkpoint was kept.",
            Code::Custom => "A custom operation or a user's closure reported an error or panicked.",
            Code::Internal => {
                "A check inside Gradus failed. The result was not used. This is our bug: please \
                 report it with the message."
            }
        }
    }
}

/// An error of any Gradus crate. Cheap to clone.
#[derive(Clone, PartialEq)]
pub struct Error(Arc<Inner>);

#[derive(Clone, Debug, PartialEq)]
struct Inner {
    code: Code,
    title: String,
    lines: Vec<(String, Vec<String>)>,
    help: Option<String>,
}

/// A result with Gradus' [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error with a one-sentence title: what happened, with the numbers.
    pub fn new(code: Code, title: impl Into<String>) -> Error {
        Error(Arc::new(Inner { code, title: title.into(), lines: Vec::new(), help: None }))
    }

    /// A failed self-check.
    pub fn internal(title: impl Into<String>) -> Error {
        Error::new(Code::Internal, title)
            .help("this is a bug in Gradus, please report it with this message")
    }

    /// An operating-system error about a file.
    pub fn io(what: &str, path: impl AsRef<std::path::Path>, cause: &std::io::Error) -> Error {
        Error::new(Code::Io, format!("{what} {}: {cause}", path.as_ref().display()))
    }

    /// Adds a labelled line, for example `("in", "Mlp > l1: Linear(784 -> 128)")`.
    pub fn line(self, label: impl Into<String>, text: impl Into<String>) -> Error {
        self.cells(label, vec![text.into()])
    }

    /// Adds a labelled line of cells; cells of neighbouring lines are aligned in columns.
    pub fn cells(mut self, label: impl Into<String>, cells: Vec<String>) -> Error {
        Arc::make_mut(&mut self.0).lines.push((label.into(), cells));
        self
    }

    /// Sets the last line: what to do about it.
    pub fn help(mut self, help: impl Into<String>) -> Error {
        Arc::make_mut(&mut self.0).help = Some(help.into());
        self
    }

    /// The same with the name that the user called instead of the operation's own.
    pub(crate) fn called(mut self, name: Option<&'static str>) -> Error {
        if let (Some(name), Some((own, rest))) = (name, self.0.title.split_once(": "))
            && own.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_')
        {
            let title = format!("{name}: {rest}");
            Arc::make_mut(&mut self.0).title = title;
        }
        self
    }

    /// The stable code.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The first sentence.
    pub fn title(&self) -> &str {
        &self.0.title
    }

    /// The text of the first line with this label.
    pub fn get(&self, label: &str) -> Option<String> {
        let (_, cells) = self.0.lines.iter().find(|(l, _)| l == label)?;
        Some(cells.join("  "))
    }

    /// The advice.
    pub fn advice(&self) -> Option<&str> {
        self.0.help.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error[{}]: {}", self.0.code.name(), self.0.title)?;
        let width = |s: &str| s.chars().count();
        // Lines with the same number of cells are a table; others keep their own widths.
        let column = |cells: usize, i: usize| {
            let same = self.0.lines.iter().filter(|(_, c)| c.len() == cells);
            same.filter_map(|(_, c)| c.get(i)).map(|c| width(c)).max().unwrap_or(0)
        };
        let labels = self.0.lines.iter().map(|(l, _)| width(l)).max().unwrap_or(0).max(6);
        for (label, cells) in &self.0.lines {
            let mut row = String::new();
            for (i, cell) in cells.iter().enumerate() {
                row.push_str(cell);
                if i + 1 < cells.len() {
                    let target = column(cells.len(), i);
                    row.extend(std::iter::repeat_n(' ', target - width(cell).min(target) + 2));
                }
            }
            write!(f, "\n  {label:labels$}  {}", row.trim_end())?;
        }
        if let Some(help) = &self.0.help {
            write!(f, "\n  {:labels$}  {help}", "help")?;
        }
        Ok(())
    }
}

/// The same text as `Display`, so that `fn main() -> gradus::Result<()>` prints it well.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Error {}

/// A source position as `file:line`, without detours such as `a/../`.
pub fn place(location: &Location<'_>) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in location.file().split('/') {
        match parts.last() {
            Some(&last) if part == ".." && last != ".." && !last.is_empty() => {
                parts.pop();
            }
            _ if part == "." => {}
            _ => parts.push(part),
        }
    }
    format!("{}:{}", parts.join("/"), location.line())
}
