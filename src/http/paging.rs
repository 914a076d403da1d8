//! Pages of a list of tokens. The original has none, so a request that doesn't ask for one gets the largest; where that
//! is not all, the answer says so.

use axum::http::header::{HeaderName, HeaderValue};
use axum::response::Response;
use circlet_authority::TokenCursor;
use circlet_token::TokenId;

use super::answer;
use super::body::Parameters;
use crate::percent;
use crate::usecase::failure::Failure;
use crate::usecase::list::PAGE_ENTRIES;

/// Where the next page starts, for `?cursor=`.
const X_CIRCLET_CURSOR: HeaderName = HeaderName::from_static("x-circlet-cursor");

/// How many entries are asked for, and behind which.
pub(super) fn page(query: &Parameters) -> Result<(usize, Option<TokenCursor>), Failure> {
    let bad = |text: String| Failure::bad_request("bad_parameter", text);
    let limit = match query.whole("limit")? {
        None => PAGE_ENTRIES,
        Some(limit) => usize::try_from(limit)
            .ok()
            .filter(|limit| (1..=PAGE_ENTRIES).contains(limit))
            .ok_or_else(|| bad(format!("Invalid limit value: {limit} (1 to {PAGE_ENTRIES} expected)")))?,
    };
    let cursor = match query.text("cursor")? {
        Some(text) => Some(read(text).ok_or_else(|| bad(format!("Invalid cursor value: {text}")))?),
        None => None,
    };
    Ok((limit, cursor))
}

/// The same answer, which says that it is not the last page.
pub(super) fn with_more(response: Response, entries: usize, next: &TokenCursor) -> Response {
    let text = text(next);
    let warning = format!("these are {entries} of more; ask for the next with ?cursor={text}");
    let mut response = answer::with_warning(response, Some(&warning));
    let value = HeaderValue::from_str(&text).expect("a cursor is percent-encoded");
    response.headers_mut().insert(X_CIRCLET_CURSOR, value);
    response
}

/// The last id, then the order's key.
pub(super) fn text(cursor: &TokenCursor) -> String {
    format!("{}.{}", cursor.id, percent::encode(&cursor.key))
}

fn read(text: &str) -> Option<TokenCursor> {
    let (id, key) = text.split_once('.')?;
    let key = percent::decode(key, percent::Plus::Literal).ok()?;
    Some(TokenCursor { key, id: TokenId::parse(id).ok()? })
}
