//! The OpenAPI 3.1 document, made from the table of routes and served at `/circlet/v1/openapi.json`.
//!
//! An [`Operation`] is said beside its route: what it reads, what it gives, what it may refuse. Which status a refusal
//! has, and in which shape, follows from the failure's kind and the path, as it does when it is answered.

mod schemas;

use std::collections::BTreeSet;
use std::sync::LazyLock;

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::answer;
use super::body::Reads;
use super::call::Call;
use super::errors::Shape;
use super::routes::Route;
use super::{path, router};
use crate::metrics::CONTENT_TYPE;
use crate::usecase::failure::Code;

/// Of an answer that needs two requests at a time.
const OVERTAKEN: &str = "Another request came in between; look, and ask again";

/// What is said of a route.
#[derive(Debug, Clone)]
pub(super) struct Operation {
    id: &'static str,
    summary: &'static str,
    query: Vec<Parameter>,
    body: Option<(Reads, &'static str)>,
    gives: Vec<(StatusCode, Content)>,
    refuses: Vec<Code>,
    /// What it refuses only if another request has come between its reading and its deciding.
    overtaken: Vec<Code>,
}

/// What an answer holds.
#[derive(Debug, Clone, Copy)]
enum Content {
    Nothing,
    Text,
    /// The page of metrics.
    Metrics,
    Bytes,
    /// JSON of this schema.
    Json(&'static str),
}

/// A parameter in the query.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parameter {
    /// Its name.
    pub(super) name: &'static str,
    /// `string`, `integer` or `boolean`.
    pub(super) kind: &'static str,
    /// What it means.
    pub(super) doc: &'static str,
}

/// Refusals that any request may meet: a header that can't be read, a node that can't answer, our own fault.
const ALWAYS: [Code; 3] = [Code::BadRequest, Code::Internal, Code::Unavailable];
/// And any that shows a credential.
const WITH_CREDENTIAL: [Code; 3] = [Code::Unauthorized, Code::Forbidden, Code::TooManyRequests];
/// And any but GET: what comes with it is received, whether it is read or not.
const WITH_BODY: [Code; 2] = [Code::Timeout, Code::TooLarge];

/// An operation that takes a credential; `id` is unique, `summary` one line.
pub(super) fn does(id: &'static str, summary: &'static str) -> Operation {
    let refuses = ALWAYS.into_iter().chain(WITH_CREDENTIAL).collect();
    Operation {
        id,
        summary,
        query: Vec::new(),
        body: None,
        gives: Vec::new(),
        refuses,
        overtaken: Vec::new(),
    }
}

/// An operation for everybody.
pub(super) fn tells(id: &'static str, summary: &'static str) -> Operation {
    Operation { refuses: ALWAYS.to_vec(), ..does(id, summary) }
}

impl Operation {
    /// It reads a body of this schema.
    pub(super) fn reads(mut self, reads: Reads, schema: &'static str) -> Self {
        self.body = Some((reads, schema));
        self.may(&[Code::UnsupportedMediaType])
    }

    /// It reads this from the query.
    pub(super) fn query(mut self, name: &'static str, kind: &'static str, doc: &'static str) -> Self {
        self.query.push(Parameter { name, kind, doc });
        self
    }

    /// It answers 200 with JSON of this schema.
    pub(super) fn gives(self, schema: &'static str) -> Self {
        self.answers(StatusCode::OK, Content::Json(schema))
    }

    /// It answers 201 with JSON of this schema.
    pub(super) fn creates(self, schema: &'static str) -> Self {
        self.answers(StatusCode::CREATED, Content::Json(schema))
    }

    /// It answers 200 with a text.
    pub(super) fn gives_text(self) -> Self {
        self.answers(StatusCode::OK, Content::Text)
    }

    /// It answers 200 with the page of metrics.
    pub(super) fn gives_metrics(self) -> Self {
        self.answers(StatusCode::OK, Content::Metrics)
    }

    /// It answers 200 with bytes.
    pub(super) fn gives_bytes(self) -> Self {
        self.answers(StatusCode::OK, Content::Bytes)
    }

    /// It answers with this status alone.
    pub(super) fn gives_nothing(self, status: StatusCode) -> Self {
        self.answers(status, Content::Nothing)
    }

    /// It answers 503 with JSON of this schema, or as any failure.
    pub(super) fn gives_unavailable(self, schema: &'static str) -> Self {
        self.answers(StatusCode::SERVICE_UNAVAILABLE, Content::Json(schema))
    }

    /// It takes tokens away: a password is looked at, however long that takes, and nobody is told to come again.
    pub(super) fn waits(mut self) -> Self {
        self.refuses.retain(|code| *code != Code::TooManyRequests);
        self
    }

    /// It may also refuse for these reasons.
    pub(super) fn may(mut self, codes: &[Code]) -> Self {
        self.refuses.extend(codes);
        self
    }

    /// It may refuse for these reasons if another request overtakes it, and for no other cause.
    pub(super) fn overtaken(mut self, codes: &[Code]) -> Self {
        self.overtaken.extend(codes);
        self
    }

    fn answers(mut self, status: StatusCode, content: Content) -> Self {
        self.gives.push((status, content));
        self
    }
}

/// The document's text.
static DOCUMENT: LazyLock<String> = LazyLock::new(|| document().to_string());

/// `GET /circlet/v1/openapi.json`. Nothing in it is of this cluster.
pub(super) async fn serve(_call: Call) -> Response {
    answer::json_text(DOCUMENT.as_str())
}

fn document() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for route in router::documented().iter() {
        let methods = paths.entry(route.path.clone()).or_insert_with(|| json!({}));
        if let Some(methods) = methods.as_object_mut() {
            methods.insert(route.method.to_owned(), describe(route));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "circlet",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "A highly available access-token authority",
            "description": "The Access API is also found below /artifactory/api/access, /artifactory/access and \
                /api/access, the older one also below /artifactory and /api. Every answer has the header X-Request-Id; \
                a request may bring one. Every GET answers HEAD as well. A path or a method that is not listed is \
                answered with 404 or 405, in the shape of the API that the path belongs to.",
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": schemas::all(),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "An access token or a reference token"},
                "basic": {"type": "http", "scheme": "basic", "description": "A user's name with the password, or with a token of the user"},
                "key": {"type": "apiKey", "in": "header", "name": "X-JFrog-Art-Api"},
            },
        },
        "security": [{"bearer": []}, {"basic": []}, {"key": []}, {}],
    })
}

fn describe(route: &Route) -> Value {
    let operation = &route.operation;
    let shape = path::shape(&route.path);
    let in_path = route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let mut parameters: Vec<Value> = in_path
        .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string", "minLength": 1}}))
        .collect();
    parameters.extend(operation.query.iter().map(|parameter| {
        json!({
            "name": parameter.name, "in": "query", "description": parameter.doc, "schema": {"type": parameter.kind},
        })
    }));
    let mut described = json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "tags": [tag(shape)],
        "parameters": parameters,
        "responses": responses(route, shape),
    });
    if let (Some((reads, schema)), Some(object)) = (operation.body, described.as_object_mut()) {
        object.insert("requestBody".to_owned(), request_body(reads, schema));
    }
    described
}

fn tag(shape: Shape) -> &'static str {
    match shape {
        Shape::OAuth => "legacy tokens",
        Shape::Artifactory => "legacy",
        Shape::Access => "access",
        Shape::Circlet => "circlet",
    }
}

fn request_body(reads: Reads, schema: &str) -> Value {
    let media_types: &[&str] = match reads {
        Reads::Form => &["application/x-www-form-urlencoded"],
        Reads::FormOrJson => &["application/json", "application/x-www-form-urlencoded"],
        Reads::Json => &["application/json"],
    };
    let content: Map<String, Value> =
        media_types.iter().map(|name| ((*name).to_owned(), json!({"schema": reference(schema)}))).collect();
    json!({ "content": content })
}

fn responses(route: &Route, shape: Shape) -> Value {
    let operation = &route.operation;
    let mut responses = Map::new();
    let received = WITH_BODY.iter().filter(|_| route.method != "get");
    let failures: BTreeSet<StatusCode> =
        operation.refuses.iter().chain(received).map(|code| code.status_in(shape)).collect();
    for status in failures {
        let mut schemas: Vec<Value> = error_schemas(shape).iter().map(|name| reference(name)).collect();
        let own = operation.gives.iter().filter(|(given, _)| *given == status);
        schemas.extend(own.filter_map(|(_, content)| match content {
            Content::Json(name) => Some(reference(name)),
            Content::Nothing | Content::Text | Content::Bytes | Content::Metrics => None,
        }));
        insert(&mut responses, status, any_of(schemas));
    }
    for status in operation.overtaken.iter().map(|code| code.status_in(shape)) {
        if !responses.contains_key(status.as_str()) {
            insert(
                &mut responses,
                status,
                any_of(error_schemas(shape).iter().map(|name| reference(name)).collect()),
            );
            responses[status.as_str()]["description"] = OVERTAKEN.into();
        }
    }
    for (status, content) in &operation.gives {
        match content {
            _ if responses.contains_key(status.as_str()) => {}
            Content::Nothing => insert(&mut responses, *status, Value::Null),
            Content::Text => {
                insert(&mut responses, *status, json!({"text/plain": {"schema": {"type": "string"}}}));
            }
            Content::Metrics => {
                insert(&mut responses, *status, json!({CONTENT_TYPE: {"schema": {"type": "string"}}}));
            }
            Content::Bytes => {
                insert(&mut responses, *status, json!({"application/octet-stream": {}}));
            }
            Content::Json(name) => {
                insert(&mut responses, *status, json!({"application/json": {"schema": reference(name)}}));
            }
        }
    }
    responses.into()
}

fn any_of(mut schemas: Vec<Value>) -> Value {
    let schema = if schemas.len() == 1 { schemas.remove(0) } else { json!({ "anyOf": schemas }) };
    json!({"application/json": {"schema": schema}})
}

fn insert(responses: &mut Map<String, Value>, status: StatusCode, content: Value) {
    let description = status.canonical_reason().unwrap_or_default();
    let headers = json!({"X-Request-Id": {"description": "The request's id", "required": true, "schema": {"type": "string"}}});
    let mut response = json!({"description": description, "headers": headers});
    if let (false, Some(object)) = (content.is_null(), response.as_object_mut()) {
        object.insert("content".to_owned(), content);
    }
    responses.insert(status.as_str().to_owned(), response);
}

/// The shapes that a failure may have there: authentication comes before the legacy token endpoints' own errors.
fn error_schemas(shape: Shape) -> &'static [&'static str] {
    match shape {
        Shape::OAuth => &["OAuthError", "ArtifactoryError"],
        Shape::Artifactory => &["ArtifactoryError"],
        Shape::Access => &["AccessError"],
        Shape::Circlet => &["CircletError"],
    }
}

fn reference(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every value of a key, anywhere in the document.
    fn values<'a>(value: &'a Value, key: &str, into: &mut Vec<&'a str>) {
        match value {
            Value::Object(entries) => {
                for (name, value) in entries {
                    if name == key {
                        into.extend(value.as_str());
                    }
                    values(value, key, into);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| values(item, key, into)),
            _ => {}
        }
    }

    #[test]
    fn every_schema_is_defined_and_used_and_every_id_is_unique() {
        let document = document();
        let mut used = Vec::new();
        values(&document, "$ref", &mut used);
        let used: BTreeSet<&str> = used.iter().map(|name| name.rsplit('/').next().unwrap()).collect();
        let schemas = schemas::all();
        let defined: BTreeSet<&str> = schemas.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(used, defined);
        let routes = router::documented();
        let ids: BTreeSet<&str> = routes.iter().map(|route| route.operation.id).collect();
        assert_eq!(ids.len(), routes.iter().count());
    }

    #[test]
    fn every_route_says_what_it_gives_when_all_is_well() {
        for route in router::documented().iter() {
            let successes = route.operation.gives.iter().filter(|(status, _)| status.is_success()).count();
            assert!(successes > 0, "{} {}", route.method, route.path);
        }
    }
}
