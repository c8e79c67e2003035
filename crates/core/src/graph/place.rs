//! Which source lines are the user's.
//!
//! Operations record the line that called them. Inside a layer of ours that line is in the
//! library; messages then show the line that called the layer. Decided only when a message is
//! made, from the file name.

use std::panic::Location;

/// Crates whose lines are never shown.
const OURS: [&str; 9] =
    ["kernels", "core", "derive", "linalg", "nn", "data", "train", "gradus", "cli"];

/// The samples of operations and layers are written as a user would, and tests look for their
/// lines.
const SAMPLES: [&str; 2] = ["ops/registry/", "registry/"];

/// Whether a line is inside Gradus itself.
pub(crate) fn is_library(location: &Location<'_>) -> bool {
    in_library(location.file(), file!())
}

fn in_library(file: &str, own: &str) -> bool {
    // A function that is passed to one of the standard library's is called from there.
    if file.starts_with("/rustc/") {
        return true;
    }
    // A checkout: `<root>core/src/graph/place.rs`; from a registry: `<root>gradus-core-x.y.z/...`.
    if let Some(root) = own.strip_suffix("core/src/graph/place.rs") {
        let Some(rest) = file.strip_prefix(root) else { return false };
        return OURS.iter().any(|c| {
            rest.strip_prefix(c).and_then(|r| r.strip_prefix("/src/")).is_some_and(|r| {
                !r.starts_with("tests") && !SAMPLES.iter().any(|s| r.starts_with(s))
            })
        });
    }
    let Some(version) = own.strip_suffix("/src/graph/place.rs") else { return false };
    let Some(at) = version.rfind("gradus-core-") else { return false };
    let (root, _) = version.split_at(at);
    file.strip_prefix(root)
        .is_some_and(|rest| rest.starts_with("gradus") && !rest.contains("/registry/"))
}

#[cfg(test)]
mod tests {
    use super::in_library;

    #[test]
    fn lines_of_the_library_are_told_from_the_users() {
        let own = "crates/core/src/graph/place.rs";
        assert!(in_library("crates/nn/src/linear.rs", own));
        assert!(!in_library("examples/04_custom_layer.rs", own));
        assert!(!in_library("crates/nn/tests/layers.rs", own));
        assert!(!in_library("crates/core/src/ops/registry/loss.rs", own));
        assert!(!in_library("crates/nn/src/registry/affine.rs", own));
        assert!(!in_library("src/main.rs", own));
        let own = "/h/.cargo/registry/src/x/gradus-core-0.1.0/src/graph/place.rs";
        assert!(in_library("/h/.cargo/registry/src/x/gradus-nn-0.1.0/src/linear.rs", own));
        assert!(!in_library("/h/work/src/main.rs", own));
    }
}
