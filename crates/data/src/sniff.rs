//! Says in words what bytes look like, for messages about a file that is something else.

/// First bytes of well-known formats.
const KNOWN: &[(&[u8], &str)] = &[
    (b"\x1f\x8b", "gzip data"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"BM", "a BMP image"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"BZh", "bzip2 data"),
    (b"\xfd7zXZ", "xz data"),
    (b"\x28\xb5\x2f\xfd", "zstd data"),
    (b"7z\xbc\xaf", "a 7-Zip archive"),
    (b"\x93NUMPY", "a NumPy array (.npy)"),
    (b"\x89HDF", "an HDF5 file"),
    (b"PAR1", "a Parquet file"),
    (b"\x80\x02", "a Python pickle"),
    (b"\x80\x04", "a Python pickle"),
    (b"\x80\x05", "a Python pickle"),
    (b"%PDF", "a PDF document"),
    (b"\x7fELF", "a program"),
    (b"version https://git-lfs", "a Git LFS pointer: the file itself was not downloaded"),
];

/// What a file that starts with `head` looks like. `head` should be some hundred bytes.
pub(crate) fn looks_like(head: &[u8]) -> String {
    if head.is_empty() {
        return "nothing: it is empty".to_owned();
    }
    if let Some((_, name)) = KNOWN.iter().find(|(magic, _)| head.starts_with(magic)) {
        return (*name).to_owned();
    }
    if let [0, 0, 8 | 9 | 11..=14, 1..=8, ..] = head {
        return "an IDX file".to_owned();
    }
    if head.get(257..262) == Some(b"ustar") {
        return "a tar archive".to_owned();
    }
    if head.iter().all(|&byte| byte == 0) {
        return "zeros only".to_owned();
    }
    // A multi-byte character may be cut at the end of what was read.
    let text = match std::str::from_utf8(head) {
        Ok(text) => Some(text),
        Err(e) if e.error_len().is_none() => {
            head.get(..e.valid_up_to()).and_then(|b| std::str::from_utf8(b).ok())
        }
        Err(_) => None,
    };
    let plain = |c: char| !c.is_control() || matches!(c, '\n' | '\r' | '\t');
    match text.map(|t| t.trim_start_matches('\u{feff}').trim_start()) {
        Some(text) if !text.is_empty() && text.chars().all(plain) => {
            let lower = text.get(..14).unwrap_or(text).to_ascii_lowercase();
            if lower.starts_with("<!doctype html") || lower.starts_with("<html") {
                return "an HTML page: perhaps an error page saved by a download".to_owned();
            }
            if lower.starts_with('<') {
                return "XML or HTML text".to_owned();
            }
            let line: String = text.lines().next().unwrap_or("").chars().take(40).collect();
            format!("text, starting with {line:?}")
        }
        _ => {
            let bytes: Vec<String> = head.iter().take(8).map(|b| format!("{b:02x}")).collect();
            format!("unknown binary data, starting with {}", bytes.join(" "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::looks_like;

    #[test]
    fn names_what_people_have() {
        for (head, word) in [
            (&b""[..], "empty"),
            (b"\x89PNG\r\n\x1a\n", "PNG"),
            (b"\x1f\x8b\x08", "gzip"),
            (b"<!DOCTYPE html><html>", "HTML page"),
            (b"\n <html>", "HTML page"),
            (b"<?xml version", "XML"),
            (b"version https://git-lfs.github.com/spec/v1", "LFS"),
            (b"5,0,0,1\n", "text, starting with \"5,0,0,1\""),
            ("caf\u{e9} \u{e9}".as_bytes().split_last().unwrap().1, "text"),
            (b"\0\0\x08\x03\0\0\0\0", "IDX"),
            (b"\0\0\0\0\0", "zeros"),
            (b"\x01\x02\xff", "01 02 ff"),
            (b" \n ", "binary"),
        ] {
            let said = looks_like(head);
            assert!(said.contains(word), "{head:?}: {said}");
        }
    }
}
