//! PEM (RFC 7468), as far as keys and certificates need it.
use crate::limits::PEM_BYTES_MAX;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";

/// One block: its label, and its bytes, which are wiped when dropped. `encrypted` tells of the headers of OpenSSL's
/// traditional encryption.
pub(crate) struct Block {
    pub(crate) label: String,
    pub(crate) bytes: Zeroizing<Vec<u8>>,
    pub(crate) encrypted: bool,
}

/// All blocks of a text; what stands between them is ignored. `None` if a block is not closed or not base64.
pub(crate) fn blocks(text: &str) -> Option<Vec<Block>> {
    if text.len() > PEM_BYTES_MAX {
        return None;
    }
    let mut blocks = Vec::new();
    let mut lines = text.lines().map(str::trim);
    while let Some(line) = lines.next() {
        let Some(label) = line.strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(DASHES)) else {
            continue;
        };
        let mut body = Zeroizing::new(String::with_capacity(text.len()));
        let mut encrypted = false;
        loop {
            let line = lines.next()?;
            if let Some(end) = line.strip_prefix(END) {
                (end.strip_suffix(DASHES)? == label).then_some(())?;
                break;
            }
            if line.contains(':') {
                encrypted |= line.contains("ENCRYPTED");
            } else {
                body.push_str(line);
            }
        }
        let bytes = if encrypted { Vec::new() } else { STANDARD.decode(body.as_bytes()).ok()? };
        blocks.push(Block { label: label.to_owned(), bytes: Zeroizing::new(bytes), encrypted });
    }
    Some(blocks)
}

/// The DER in a text that is base64 and nothing else, as `GET /access/api/v1/cert/root` answers.
pub(crate) fn bare_base64(text: &str) -> Option<Vec<u8>> {
    (text.len() <= PEM_BYTES_MAX).then_some(())?;
    let joined: String = text.split_ascii_whitespace().collect();
    STANDARD.decode(joined.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_found_between_other_text() {
        let text = "subject: x\n-----BEGIN A-----\nQUJD\r\nREVG\n-----END A-----\n\n-----BEGIN B-----\n-----END B-----";
        let blocks = blocks(text).unwrap();
        let seen: Vec<_> =
            blocks.iter().map(|block| (block.label.as_str(), block.bytes.as_slice())).collect();
        assert_eq!(seen, [("A", b"ABCDEF".as_slice()), ("B", b"")]);
    }

    #[test]
    fn a_damaged_block_is_refused() {
        for text in [
            "-----BEGIN A-----\nQUJD",
            "-----BEGIN A-----\nQUJD\n-----END B-----",
            "-----BEGIN A-----\nQU*D\n-----END A-----",
            "-----BEGIN A-----\nQUJ\n-----END A-----",
        ] {
            assert!(blocks(text).is_none(), "{text}");
        }
        assert!(blocks(&"x".repeat(PEM_BYTES_MAX + 1)).is_none());
    }
}
