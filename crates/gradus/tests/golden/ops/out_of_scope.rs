//! Functions and layers that Gradus does not have, or not in a form that can be compared, and why.

/// Name of PyTorch's function and the reason.
pub(super) const REASONS: &[(&str, &str)] = &[];

/// Parts of the names of functions of networks and of layers, in lower case, and the reason.
const KINDS: &[(&str, &str)] = &[("dropout", "a draw of random numbers is compared with nothing")];

/// Why there is no function or layer of that name.
pub(crate) fn missing(name: &str) -> &'static str {
    if let Some((_, why)) = REASONS.iter().find(|(n, _)| *n == name) {
        return why;
    }
    let lower = name.to_lowercase();
    let of_networks =
        lower.starts_with("nn.functional.") || lower.chars().next() != name.chars().next();
    let kind = KINDS.iter().find(|(part, _)| of_networks && lower.contains(part));
    kind.map_or("Gradus has no such thing", |(_, why)| why)
}
