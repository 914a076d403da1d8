//! What a path says before it is routed: which API it belongs to, and whether it can be read at all.

use axum::http::Uri;
use axum::http::uri::PathAndQuery;

use super::errors::Shape;
use crate::percent::{self, Plus};
use crate::usecase::failure::Failure;

/// Where the Access API is found: by itself, and the ways to reach it through Artifactory.
pub(super) const ACCESS: [&str; 4] =
    ["/artifactory/api/access", "/artifactory/access", "/api/access", "/access"];
/// Where the older API is found: with the context path before `/api`, or with either of the two left out.
pub(super) const ARTIFACTORY: [&str; 3] = ["/artifactory/api", "/artifactory", "/api"];

/// How errors are said at this path, whether or not anything is there.
pub(super) fn shape(path: &str) -> Shape {
    if below(&ACCESS, path).is_some() {
        return Shape::Access;
    }
    match below(&ARTIFACTORY, path) {
        Some("/security/token" | "/security/token/revoke") => Shape::OAuth,
        Some(_) => Shape::Artifactory,
        None => Shape::Circlet,
    }
}

/// What follows the first of the prefixes that the path has.
fn below<'a>(prefixes: &[&str], path: &'a str) -> Option<&'a str> {
    let ends_a_segment = |rest: &&str| rest.is_empty() || rest.starts_with('/');
    prefixes.iter().find_map(|prefix| path.strip_prefix(prefix).filter(ends_a_segment))
}

/// Takes the slashes out of the path that mean nothing: those at its end and all but one in a row, which come from
/// joined base URLs.
pub(super) fn fold_slashes(uri: &mut Uri) {
    let path = uri.path();
    if path == "/" || !(path.ends_with('/') || path.contains("//")) {
        return;
    }
    let mut folded = String::with_capacity(path.len());
    for segment in path.split('/').filter(|segment| !segment.is_empty()) {
        folded.push('/');
        folded.push_str(segment);
    }
    if folded.is_empty() {
        folded.push('/');
    }
    if let Some(query) = uri.query() {
        folded.push('?');
        folded.push_str(query);
    }
    let folded = PathAndQuery::try_from(folded).expect("a path with fewer slashes is a path");
    let mut parts = std::mem::take(uri).into_parts();
    parts.path_and_query = Some(folded);
    *uri = Uri::from_parts(parts).expect("only the path was replaced, by a path");
}

/// Refuses a path whose percent-encoding is broken: which name it means can't be known.
pub(super) fn readable(path: &str) -> Result<(), Failure> {
    if !path.contains('%') {
        return Ok(());
    }
    percent::decode(path, Plus::Literal).map(drop).map_err(|why| {
        Failure::bad_request("malformed_path", format!("the path {path} can't be read: {why}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_alias_has_the_shape_of_its_api() {
        for prefix in ACCESS {
            assert_eq!(shape(&format!("{prefix}/api/v1/tokens")), Shape::Access, "{prefix}");
        }
        for prefix in ARTIFACTORY {
            assert_eq!(shape(&format!("{prefix}/security/token")), Shape::OAuth, "{prefix}");
            assert_eq!(shape(&format!("{prefix}/security/token/revoke")), Shape::OAuth, "{prefix}");
            assert_eq!(shape(&format!("{prefix}/security/users")), Shape::Artifactory, "{prefix}");
        }
        assert_eq!(shape("/circlet/v1/verify"), Shape::Circlet);
    }

    #[test]
    fn unknown_paths_keep_the_shape_of_their_prefix() {
        assert_eq!(shape("/access/api/v1/nothing"), Shape::Access);
        assert_eq!(shape("/artifactory/nothing"), Shape::Artifactory);
        assert_eq!(shape("/artifactory"), Shape::Artifactory);
        assert_eq!(shape("/accessible"), Shape::Circlet);
        assert_eq!(shape("/"), Shape::Circlet);
    }

    #[test]
    fn slashes_of_joined_base_urls_mean_nothing() {
        for (asked, meant) in [
            ("/", "/"),
            ("//", "/"),
            ("/access/api/v1/tokens", "/access/api/v1/tokens"),
            ("/access/api/v1/tokens/", "/access/api/v1/tokens"),
            ("//access/api/v1/tokens", "/access/api/v1/tokens"),
            ("/access//api/v1/tokens//", "/access/api/v1/tokens"),
            ("/api/security/users/?a=b//c/", "/api/security/users?a=b//c/"),
            ("/api/security/users/a%2F%2Fb", "/api/security/users/a%2F%2Fb"),
        ] {
            let mut uri = PathAndQuery::try_from(asked).map(Uri::from).unwrap();
            fold_slashes(&mut uri);
            assert_eq!(uri.to_string(), meant, "{asked}");
        }
        let mut absolute: Uri = "http://host:8081/access/".parse().unwrap();
        fold_slashes(&mut absolute);
        assert_eq!(absolute, "http://host:8081/access");
    }

    #[test]
    fn broken_escapes_are_refused() {
        assert!(readable("/access/api/v2/users/dev%2Fops").is_ok());
        assert!(readable("/access/api/v2/users/%zz").is_err());
        assert!(readable("/access/api/v2/users/%ff").is_err());
    }
}
