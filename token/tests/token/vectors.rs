//! The vectors in `tests/vectors`: tokens that stay in the repository, each with the verdict it must get.
use crate::data;
use crate::themes;
use circlet_token::{Check, Reject, ServiceId, verify};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// One token and its verdict: `accepted`, the code of a reject, or `parse/` and the code of what is unreadable.
#[derive(Clone)]
pub(crate) struct Vector {
    pub(crate) name: &'static str,
    pub(crate) token: String,
    pub(crate) expect: &'static str,
    pub(crate) now: u64,
    pub(crate) verifier: &'static str,
}

impl Vector {
    pub(crate) fn new(name: &'static str, expect: &'static str, token: String) -> Self {
        Self { name, token, expect, now: data::NOW, verifier: data::OWN }
    }

    pub(crate) fn at(self, now: u64) -> Self {
        Self { now, ..self }
    }

    fn to_json(&self) -> Value {
        json!({"name": self.name, "now": self.now, "verifier": self.verifier, "token": self.token, "expect": self.expect})
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

fn verdict(token: &str, now: u64, verifier: &str) -> String {
    let verifier = ServiceId::parse(verifier).unwrap();
    match verify(token, &data::trusted(), &Check::new(now, &verifier)) {
        Ok(_) => "accepted".to_owned(),
        Err(Reject::Parse { why }) => format!("parse/{}", why.code()),
        Err(reject) => reject.code().to_owned(),
    }
}

#[test]
fn every_vector_gets_the_verdict_that_it_names() {
    let mut rejected = 0;
    let mut wrong = Vec::new();
    let mut files: Vec<_> = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let theme: Value = serde_json::from_str(&text).unwrap();
        for vector in theme["vectors"].as_array().unwrap() {
            let field = |name: &str| vector[name].as_str().unwrap();
            let found = verdict(field("token"), vector["now"].as_u64().unwrap(), field("verifier"));
            rejected += usize::from(found != "accepted");
            if found != field("expect") {
                wrong.push(format!(
                    "{}: {}: {found}, not {}",
                    file.display(),
                    field("name"),
                    field("expect")
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(rejected >= 40, "only {rejected} hostile vectors");
}

#[test]
fn the_vectors_are_what_the_forge_makes() {
    let made = Path::new(env!("CARGO_TARGET_TMPDIR")).join("vectors");
    std::fs::create_dir_all(&made).unwrap();
    let mut drifted = Vec::new();
    for (name, about, vectors) in themes::all() {
        let vectors: Vec<Value> = vectors.iter().map(Vector::to_json).collect();
        let mut text = serde_json::to_string_pretty(&json!({"about": about, "vectors": vectors})).unwrap();
        text.push('\n');
        let file = format!("{name}.json");
        std::fs::write(made.join(&file), &text).unwrap();
        if std::fs::read_to_string(folder().join(&file)).ok().as_ref() != Some(&text) {
            drifted.push(file);
        }
    }
    assert!(drifted.is_empty(), "{drifted:?} differ from what the forge makes: see {}", made.display());
}
