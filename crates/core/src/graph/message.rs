//! What messages say about nodes: operands with shape, origin and line; layer path; the user's line.

use std::panic::Location;

use super::dtype::DType;
use super::place;
use super::recorder::{Recorder, Side, Slot};
use super::scope::ScopeId;
use crate::error::{self, Error};
use crate::ops::Op;

impl Recorder {
    /// Adds operands, layer and the user's line to the error of a rule.
    #[cold]
    pub(super) fn explain(
        &self,
        op: &Op,
        inputs: &[Slot],
        error: Error,
        at: &'static Location<'static>,
    ) -> Error {
        let mut error = error;
        let labels: &[&str] = match (op, inputs.len()) {
            (_, 1) => &["input"],
            (Op::Ternary(crate::ops::Ternary::Where), _) => &["if", "then", "else"],
            (Op::Rows(_), _) => &["logits", "target"],
            (_, 2) => &["left", "right"],
            _ => &["first", "second", "third"],
        };
        for (i, &input) in inputs.iter().enumerate().take(4) {
            let label = labels.get(i).copied().unwrap_or("next");
            error = error.cells(label, self.describe(input));
        }
        self.locate(error, self.scopes.current, at)
    }

    /// Adds operands to an error.
    #[cold]
    pub(crate) fn operands(&self, error: Error, inputs: &[Slot]) -> Error {
        let labels = ["left", "right", "third"];
        inputs
            .iter()
            .zip(labels)
            .fold(error, |e, (&slot, label)| e.cells(label, self.describe(slot)))
    }

    /// Shape, origin and line of a node, as the cells of a message line.
    pub(crate) fn describe(&self, slot: Slot) -> Vec<String> {
        let mut node = self.node(slot);
        let shape = match node.dtype {
            DType::F32 => format!("{:?}", node.shape),
            other => format!("{other} {:?}", node.shape),
        };
        let mut stored = String::new();
        while let (Op::Permute(_), None, Some(&input)) =
            (&node.op, node.called, node.inputs.first())
        {
            stored = format!("(stored as {:?})", self.node(input).shape);
            node = self.node(input);
        }
        if let Side::Param(p) = &node.side {
            return vec![shape, format!("parameter {}", p.cell.name()), stored];
        }
        let node = self.node(slot);
        let (what, line) = match &node.op {
            Op::Leaf if node.consumed.is_some() => ("earlier result".to_string(), node.place),
            Op::Leaf if node.called.is_none() => ("data".to_string(), node.place),
            Op::Slot | Op::Const(_) => ("number".to_string(), node.place),
            _ => (format!("output of `{}`", node.name()), node.place),
        };
        let line = self.user_line(line, node.scope).map(error::place).unwrap_or_default();
        vec![shape, what, line]
    }

    /// The innermost line outside the library, from a node's own line outwards.
    pub(crate) fn user_line(
        &self,
        at: &'static Location<'static>,
        scope: ScopeId,
    ) -> Option<&'static Location<'static>> {
        if !place::is_library(at) {
            return Some(at);
        }
        let mut id = scope;
        while let Some(entry) = self.scopes.get(id) {
            if !place::is_library(entry.place) {
                return Some(entry.place);
            }
            id = entry.parent;
        }
        None
    }

    /// Adds the layer path and the user's line.
    pub(crate) fn locate(
        &self,
        error: Error,
        scope: ScopeId,
        at: &'static Location<'static>,
    ) -> Error {
        let line = self.user_line(at, scope).map(error::place);
        match (self.scopes.get(scope), line) {
            (Some(entry), Some(line)) => {
                error.cells("in", vec![entry.tag.describe(), format!("called at {line}")])
            }
            (Some(entry), None) => error.line("in", entry.tag.describe()),
            (None, Some(line)) => error.line("at", line),
            (None, None) => error,
        }
    }
}
