//! JSON lines: one event a line, fields in the order in which they were added.

use std::fmt;

use serde_json::Value;

/// One line.
#[derive(Clone, Debug, Default)]
pub(crate) struct Line(Vec<(&'static str, Value)>);

impl Line {
    pub(crate) fn new() -> Line {
        Line::default()
    }

    /// A line that starts with `"event": name`.
    pub(crate) fn event(name: &str) -> Line {
        Line::new().with("event", name)
    }

    /// Adds a field; a number that is not finite becomes `null`.
    pub(crate) fn with(mut self, key: &'static str, value: impl Into<Value>) -> Line {
        self.0.push((key, value.into()));
        self
    }

    /// Adds all fields of another line.
    pub(crate) fn and(mut self, other: Line) -> Line {
        self.0.extend(other.0);
        self
    }

    /// A number in the line; NaN if there is none.
    pub(crate) fn number(&self, key: &str) -> f64 {
        let value = self.0.iter().find(|(k, _)| *k == key).and_then(|(_, v)| v.as_f64());
        value.unwrap_or(f64::NAN)
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (i, (key, value)) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            write!(f, "{comma}{}:{value}", Value::from(*key))?;
        }
        f.write_str("}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_keep_their_order_and_are_valid() {
        let line = Line::event("done").with("b", 1).with("a", f64::NAN).with("t", "x\"y");
        assert_eq!(line.to_string(), r#"{"event":"done","b":1,"a":null,"t":"x\"y"}"#);
        assert!(serde_json::from_str::<Value>(&line.to_string()).is_ok());
        assert_eq!(line.number("b"), 1.0);
    }
}
