//! The OpenAPI document of a running node, and whether what it lists is shown by the transcripts.

use std::collections::BTreeSet;
use std::path::Path;

use reqwest::Method;
use serde_json::Value;

use crate::decoded;
use crate::server::Server;
use crate::transcript::{As, Body, Transcript};
use crate::transcript_test;

/// A fault of ours, which no request brings about, and what only two at a time do: `error_codes.snap` has what is said then.
fn is_by_one_request((status, answer): &(&String, &Value)) -> bool {
    *status != "500"
        && !answer["description"].as_str().unwrap().starts_with("Another request came in between")
}

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

transcript_test!(openapi_document, async |t: &mut Transcript<'_>| {
    let path = "/circlet/v1/openapi.json";
    t.ask_read(Method::GET, path, As::Nobody, Body::Empty, decoded::document).await;
});

#[tokio::test]
async fn every_answer_in_a_transcript_is_documented_and_every_documented_one_is_in_a_transcript() {
    let document = document().await;
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().unwrap();
    let mut shown: BTreeSet<String> = BTreeSet::new();
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
        shown.insert(format!("{documented} {}: {status}", route.unwrap()));
    }
    assert!(undocumented.is_empty(), "answers that the document doesn't list: {undocumented:#?}");
    let mut missing = Vec::new();
    for (path, methods) in paths {
        for (method, operation) in methods.as_object().unwrap() {
            let answers = operation["responses"].as_object().unwrap().iter().filter(is_by_one_request);
            let answers = answers.map(|(status, _)| format!("{method} {path}: {status}"));
            missing.extend(answers.filter(|answer| !shown.contains(answer)));
        }
    }
    assert!(missing.is_empty(), "answers of endpoints that no transcript shows: {missing:#?}");
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
