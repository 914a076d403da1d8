//! The OpenAPI document of a running node, and whether what it lists is shown by the transcripts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use reqwest::Method;
use serde_json::Value;

use crate::server::Server;
use crate::transcript::{As, Body, Transcript};

/// Successes that no transcript shows: this document, the metrics, a backup and a feed's bytes are not for eyes, removing a
/// node takes more than one, and how far a new member has been followed differs from run to run.
const NOT_IN_TRANSCRIPTS: [&str; 9] = [
    "get /circlet/v1/openapi.json",
    "get /metrics",
    "delete /circlet/v1/cluster/nodes/{node}",
    "post /circlet/v1/backup",
    "get /circlet/v1/feed",
    "get /circlet/v1/feed/head",
    "get /circlet/v1/feed/list",
    "post /circlet/v1/circle/members",
    "post /circlet/v1/cluster/nodes/{node}/lost",
];

const ACCESS: [&str; 4] = ["/artifactory/api/access", "/artifactory/access", "/api/access", "/access"];
const ARTIFACTORY: [&str; 3] = ["/artifactory/api", "/artifactory", "/api"];

/// Every exchange in every transcript: method, path, status.
fn exchanges() -> Vec<(String, String, u16)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/http/snapshots");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for pair in lines.windows(2) {
            let Some(asked) = pair[0].strip_prefix("> ") else { continue };
            let mut words = asked.split(' ');
            let (method, path) = (words.next().unwrap(), words.next().unwrap());
            let status = pair[1].strip_prefix("< ").and_then(|rest| rest.get(..3)?.parse().ok());
            let path = path.split('?').next().unwrap();
            found.push((
                method.to_lowercase(),
                at_home(path),
                status.unwrap_or_else(|| panic!("{}", pair[1])),
            ));
        }
    }
    found
}

/// The path under the prefix that the document uses.
fn at_home(path: &str) -> String {
    let path = path.trim_end_matches('/');
    let below = |prefixes: &[&str], home: &str| {
        let rest = prefixes.iter().find_map(|prefix| path.strip_prefix(prefix))?;
        rest.starts_with('/').then(|| format!("{home}{rest}"))
    };
    below(&ACCESS, "/access")
        .or_else(|| below(&ARTIFACTORY, "/artifactory/api"))
        .unwrap_or_else(|| path.to_owned())
}

/// The documented path that a path takes: what is written out goes before what is a name.
fn route<'a>(paths: impl Iterator<Item = &'a String>, path: &str) -> Option<&'a String> {
    let fits = |template: &&String| {
        let (template, path): (Vec<&str>, Vec<&str>) =
            (template.split('/').collect(), path.split('/').collect());
        let same = |(part, found): (&&str, &&str)| part == found || part.starts_with('{');
        template.len() == path.len() && template.iter().zip(&path).all(same)
    };
    paths.filter(fits).min_by_key(|template| template.matches('{').count())
}

async fn document() -> Value {
    let server = Server::start();
    let t = Transcript::of(&server);
    let answer = t.quietly(Method::GET, "/circlet/v1/openapi.json", As::Nobody, Body::Empty).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()
}

#[tokio::test]
async fn every_endpoint_has_a_success_in_a_transcript_and_every_answer_is_documented() {
    let document = document().await;
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().unwrap();
    let mut shown: BTreeMap<String, BTreeSet<u16>> = BTreeMap::new();
    let mut undocumented = Vec::new();
    for (method, path, status) in exchanges() {
        let documented = if method == "head" { "get" } else { &method };
        let route = route(paths.keys(), &path);
        let Some(operation) = route.and_then(|route| paths[route].get(documented)) else {
            assert!(matches!(status, 400 | 404 | 405), "{method} {path} is answered with {status}");
            continue;
        };
        // A path whose escapes can't be read is refused before it takes a route.
        if operation["responses"].get(status.to_string()).is_none() {
            undocumented.push(format!("{method} {path}: {status}"));
        }
        shown.entry(format!("{documented} {}", route.unwrap())).or_default().insert(status);
    }
    assert!(undocumented.is_empty(), "answers that the document doesn't list: {undocumented:#?}");
    let mut missing: BTreeSet<String> = BTreeSet::new();
    for (path, methods) in paths {
        for method in methods.as_object().unwrap().keys() {
            let operation = format!("{method} {path}");
            let succeeded =
                shown.get(&operation).is_some_and(|statuses| statuses.iter().any(|status| *status < 300));
            if !succeeded {
                missing.insert(operation);
            }
        }
    }
    for operation in NOT_IN_TRANSCRIPTS {
        assert!(missing.remove(operation), "{operation} is shown by a transcript now");
    }
    assert!(missing.is_empty(), "endpoints without a success in any transcript: {missing:#?}");
}

#[tokio::test]
async fn every_error_code_is_in_a_transcript() {
    let document = document().await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/http/snapshots");
    let all: String = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    let schemas = &document["components"]["schemas"];
    let oauth = &schemas["OAuthError"]["properties"]["error"]["enum"];
    let access = &schemas["AccessError"]["properties"]["errors"]["items"]["properties"]["code"]["enum"];
    let codes: Vec<&str> = [oauth, access]
        .into_iter()
        .flat_map(|list| list.as_array().unwrap())
        .map(|code| code.as_str().unwrap())
        .collect();
    assert!(codes.len() >= 20, "{codes:?}");
    for code in codes {
        assert!(all.contains(&format!("\"{code}\"")), "no transcript shows {code}");
    }
}
