//! Named arrays: what is saved of a model or an optimizer, and how it is fitted back.
//!
//! Knows no modules and no files' bytes (those are in `file`). [`fit`] is the one place that
//! decides whether a state belongs to something, and writes the message if not.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::path::Path;

use gradus_core::{Array, Code, DType, Error, Result, Shape};

use crate::file;

/// Arrays by name, in order; with text metadata. `Send + Sync`, cheap to clone (arrays share).
///
/// ```
/// use gradus_core::{Array, DType};
/// use gradus_nn::StateDict;
/// let mut state = StateDict::new();
/// state.insert("weight", Array::zeros([2, 3], DType::F32)?);
/// assert_eq!(state.get("weight").map(|a| a.numel()), Some(6));
/// # Ok::<(), gradus_core::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct StateDict {
    entries: Vec<(String, Array)>,
    index: HashMap<String, usize>,
    metadata: BTreeMap<String, String>,
}

impl StateDict {
    /// An empty state.
    pub fn new() -> StateDict {
        StateDict::default()
    }

    /// Adds an array, or replaces the one of that name.
    pub fn insert(&mut self, name: impl Into<String>, value: Array) {
        let name = name.into();
        match self.index.get(&name).and_then(|&i| self.entries.get_mut(i)) {
            Some(entry) => entry.1 = value,
            None => {
                self.index.insert(name.clone(), self.entries.len());
                self.entries.push((name, value));
            }
        }
    }

    /// Takes an array out.
    pub fn remove(&mut self, name: &str) -> Option<Array> {
        let at = self.index.remove(name)?;
        let (_, value) = self.entries.remove(at);
        for i in self.index.values_mut().filter(|i| **i > at) {
            *i -= 1;
        }
        Some(value)
    }

    /// The array of that name.
    pub fn get(&self, name: &str) -> Option<&Array> {
        self.index.get(name).and_then(|&i| self.entries.get(i)).map(|(_, value)| value)
    }

    /// Names and arrays, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Array)> {
        self.entries.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(name, _)| name.as_str())
    }

    /// Number of arrays.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Sets a metadata entry.
    pub fn set_metadata(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.metadata.insert(key.into(), value.into());
    }

    /// The metadata, by key. A key that is no array's name but has one as value is another name
    /// of that (shared) array.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// Writes a safetensors file, complete or not at all.
    ///
    /// The same state always gives the same bytes.
    ///
    /// # Errors
    /// [`Code::Io`] when it cannot be written; an existing file is then as before.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        file::write(self, path.as_ref())
    }

    /// Reads a safetensors file. Types that an [`Array`] has are kept (also F16 and BF16); integers of
    /// other widths become i64. What is fitted to a model is converted there: see
    /// [`ModuleExt::load_state_dict`](crate::ModuleExt::load_state_dict).
    ///
    /// # Errors
    /// [`Code::Io`] when it cannot be read, [`Code::Format`] when it is not such a file or is
    /// damaged.
    pub fn load(path: impl AsRef<Path>) -> Result<StateDict> {
        file::read(path.as_ref())
    }

    /// The bytes of a safetensors file.
    pub fn to_bytes(&self) -> Vec<u8> {
        file::to_bytes(self)
    }

    /// Reads the bytes of a safetensors file; see [`StateDict::load`].
    ///
    /// # Errors
    /// [`Code::Format`] when they are not.
    pub fn from_bytes(bytes: &[u8]) -> Result<StateDict> {
        file::parse(bytes, "these bytes")
    }
}

impl<S: Into<String>> FromIterator<(S, Array)> for StateDict {
    fn from_iter<I: IntoIterator<Item = (S, Array)>>(entries: I) -> StateDict {
        let mut state = StateDict::new();
        for (name, value) in entries {
            state.insert(name, value);
        }
        state
    }
}

/// One line an array: name, type and shape.
impl fmt::Display for StateDict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.names().map(|n| n.chars().count()).max().unwrap_or(0);
        for (i, (name, value)) in self.iter().enumerate() {
            let end = if i == 0 { "" } else { "\n" };
            write!(f, "{end}{name:width$}  {} {}", value.dtype(), value.shape())?;
        }
        Ok(())
    }
}

/// A place that wants a value.
pub(crate) struct Slot {
    name: String,
    shape: Shape,
    dtype: DType,
}

impl Slot {
    pub(crate) fn new(name: &str, shape: Shape, dtype: DType) -> Slot {
        Slot { name: name.to_string(), shape, dtype }
    }
}

/// How many names a message lists of each kind.
const LISTED: usize = 8;

/// The values of a state for all slots, in their order, or one error with all differences.
///
/// `aliases` are other names of slots: `(alias, name)`.
pub(crate) fn fit(
    slots: &[Slot],
    aliases: &[(String, String)],
    state: &StateDict,
    what: &str,
) -> Result<Vec<Array>> {
    let mut other: HashMap<&str, Vec<&str>> = HashMap::new();
    for (alias, name) in aliases {
        other.entry(name).or_default().push(alias);
    }
    let known: HashSet<&str> = slots
        .iter()
        .map(|slot| slot.name.as_str())
        .chain(aliases.iter().map(|(alias, _)| alias.as_str()))
        .collect();
    let (mut values, mut missing, mut differing) = (Vec::new(), Vec::new(), Vec::new());
    for slot in slots {
        let names = std::iter::once(slot.name.as_str())
            .chain(other.get(slot.name.as_str()).into_iter().flatten().copied());
        let found = names.into_iter().find_map(|name| state.get(name));
        match found {
            None => missing.push(slot),
            Some(value) if value.shape() != slot.shape => differing.push((slot, value)),
            Some(value) => match converted(value, slot.dtype) {
                Some(value) => values.push(value),
                None => differing.push((slot, value)),
            },
        }
    }
    let unexpected: Vec<(&str, &Array)> =
        state.iter().filter(|(name, _)| !known.contains(name)).collect();
    if missing.is_empty() && differing.is_empty() && unexpected.is_empty() {
        return Ok(values);
    }
    Err(difference(&missing, &unexpected, &differing, state, what))
}

#[cold]
fn difference(
    missing: &[&Slot],
    unexpected: &[(&str, &Array)],
    differing: &[(&Slot, &Array)],
    state: &StateDict,
    what: &str,
) -> Error {
    let counts = [
        (missing.len(), "missing"),
        (unexpected.len(), "unexpected"),
        (differing.len(), "of another shape or type"),
    ];
    let counts: Vec<String> =
        counts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    let title = format!("the saved state does not fit the {what}: {}", counts.join(", "));
    let mut error = Error::new(Code::State, title);
    let kind = |shape: Shape, dtype: DType| match dtype {
        DType::F32 => format!("{shape}"),
        other => format!("{other} {shape}"),
    };
    let more = |error: Error, label: &str, n: usize| match n.checked_sub(LISTED) {
        Some(rest) if rest > 0 => error.line(label, format!("and {rest} more")),
        _ => error,
    };
    for slot in missing.iter().take(LISTED) {
        let similar = nearest(slot, unexpected)
            .map_or_else(String::new, |name| format!("the state has `{name}`"));
        let cells = vec![slot.name.clone(), kind(slot.shape, slot.dtype), similar];
        error = error.cells("missing", cells);
    }
    error = more(error, "missing", missing.len());
    for (name, value) in unexpected.iter().take(LISTED) {
        let cells = vec![name.to_string(), kind(value.shape(), value.dtype())];
        error = error.cells("unexpected", cells);
    }
    error = more(error, "unexpected", unexpected.len());
    for (slot, value) in differing.iter().take(LISTED) {
        let have = kind(value.shape(), value.dtype());
        let cells =
            vec![slot.name.clone(), kind(slot.shape, slot.dtype), format!("the state has {have}")];
        error = error.cells("differs", cells);
    }
    error = more(error, "differs", differing.len());
    let help = if state.is_empty() {
        format!("the state is empty; the {what} was not changed")
    } else {
        format!("the {what} was not changed; build it with the sizes and names it was saved with")
    };
    error.help(help)
}

/// The left-over name most like a missing one: close in spelling, or of the same shape with the
/// same last part.
fn nearest<'a>(slot: &Slot, unexpected: &[(&'a str, &Array)]) -> Option<&'a str> {
    let last = |name: &str| name.rsplit('.').next().map(str::to_string);
    unexpected
        .iter()
        .take(256)
        .map(|&(name, value)| {
            let fits = value.shape() == slot.shape && last(name) == last(&slot.name);
            (distance(&slot.name, name), !fits, name)
        })
        .filter(|(distance, misfit, name)| {
            !misfit || *distance * 3 <= slot.name.len().max(name.len())
        })
        .min_by_key(|&(distance, misfit, _)| (misfit, distance))
        .map(|(_, _, name)| name)
}

/// Edit distance (Levenshtein, 1966), of the first 128 bytes.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.bytes().take(128), b.bytes().take(128).collect::<Vec<u8>>());
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (&cb, cell) in b.iter().zip(row.iter_mut().skip(1)) {
            let above = *cell;
            let best = (diagonal + usize::from(ca != cb)).min(above + 1).min(left + 1);
            diagonal = above;
            *cell = best;
            left = best;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

/// The value as `dtype`: real numbers of another width are converted (a bf16 checkpoint fits f32
/// parameters), integers to a wider type; anything else is not.
fn converted(value: &Array, dtype: DType) -> Option<Array> {
    let from = value.dtype();
    let wider = from.is_int() && dtype.is_int() && from.size() < dtype.size();
    if from == dtype || from.is_real() && dtype.is_real() || wider {
        value.cast(dtype).ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_edit_distance_counts_insertions_deletions_and_changes() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("l1.weight", "l1.weight"), 0);
        assert_eq!(distance("l1.weight", "fc1.weight"), 2);
    }

    #[test]
    fn removing_an_entry_keeps_the_order_and_the_others() -> Result<()> {
        let value = |n: usize| Array::zeros([n], DType::F32);
        let mut state: StateDict =
            [("a", value(1)?), ("b", value(2)?), ("c", value(3)?)].into_iter().collect();
        state.insert("b", value(5)?);
        assert_eq!(state.remove("a").map(|a| a.numel()), Some(1));
        assert_eq!(state.names().collect::<Vec<_>>(), ["b", "c"]);
        assert_eq!(state.get("b").map(Array::numel), Some(5));
        assert_eq!(state.get("c").map(Array::numel), Some(3));
        assert!(state.get("a").is_none() && state.remove("a").is_none());
        Ok(())
    }
}
