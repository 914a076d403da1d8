//! A scope's words: separated by white space, except within quotes.
use crate::malformed::Malformed;

/// Splits at ASCII white space outside of double quotes. The quotes stay in the words.
pub(super) fn words(text: &str) -> Result<Vec<&str>, Malformed> {
    let malformed = |allowed: &str| Malformed::new("scope", text, allowed);
    let mut words = Vec::new();
    let mut quoted = false;
    let mut start = None;
    for (at, c) in text.char_indices() {
        if c == '"' {
            quoted = !quoted;
        }
        let space = matches!(c, ' ' | '\t' | '\r' | '\n');
        if c.is_control() && (!space || quoted) {
            return Err(malformed("items without control characters"));
        }
        if space && !quoted {
            words.extend(start.take().and_then(|start| text.get(start..at)));
        } else if start.is_none() {
            start = Some(at);
        }
    }
    if quoted {
        return Err(malformed("items whose double quotes are closed"));
    }
    words.extend(start.and_then(|start| text.get(start..)));
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_keep_spaces_together() {
        assert_eq!(words(" a  b:\"c d\",\"e\" f\t").unwrap(), ["a", "b:\"c d\",\"e\"", "f"]);
        assert!(words("").unwrap().is_empty());
        assert!(words("a \"b").is_err());
        assert!(words("a\u{0}b").is_err());
        assert!(words("\"a\nb\"").is_err());
    }
}
