//! What the bodies hold, in the words of JSON Schema (draft 2020-12, which OpenAPI 3.1 uses).

mod circle;
mod recovery;
mod system;
mod turnover;

use serde_json::{Map, Value, json};

use crate::usecase::failure::Code;

/// A field: its name, its schema, and whether it is always there.
type Field = (&'static str, Value, Presence);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Presence {
    Always,
    Maybe,
}
use Presence::{Always, Maybe};

/// Every schema, by its name.
pub(super) fn all() -> Value {
    let mut schemas = Map::new();
    for (name, schema) in errors()
        .into_iter()
        .chain(tokens())
        .chain(legacy_tokens())
        .chain(revoking_and_expiry())
        .chain(people())
        .chain(legacy_people())
        .chain(own())
        .chain(circle::schemas())
        .chain(imports())
        .chain(limits_of_tokens())
        .chain(keys())
        .chain(node())
        .chain(system::all())
        .chain(recovery::all())
        .chain(turnover::all())
    {
        schemas.insert(name.to_owned(), schema);
    }
    schemas.into()
}

fn object(fields: impl IntoIterator<Item = Field>) -> Value {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for (name, schema, presence) in fields {
        properties.insert(name.to_owned(), schema);
        if presence == Always {
            required.push(name);
        }
    }
    json!({"type": "object", "properties": properties, "required": required})
}

fn text() -> Value {
    json!({"type": "string"})
}

fn flag() -> Value {
    json!({"type": "boolean"})
}

fn whole() -> Value {
    json!({"type": "integer"})
}

fn list(items: &Value) -> Value {
    json!({"type": "array", "items": items})
}

fn or_null(kind: &str) -> Value {
    json!({"type": [kind, "null"]})
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// Clients send booleans as text, in any case, and so they are read.
fn loose_flag() -> Value {
    json!({"type": ["boolean", "string", "null"]})
}

/// And whole numbers too.
fn loose_whole() -> Value {
    json!({"type": ["integer", "string", "null"]})
}

fn loose_text() -> Value {
    or_null("string")
}

/// A list, or one text with commas.
fn loose_list() -> Value {
    json!({"type": ["array", "string", "null"], "items": {"type": "string"}})
}

fn words(of: fn(Code) -> &'static str) -> Value {
    let mut words: Vec<&str> = Code::ALL.iter().map(|code| of(*code)).collect();
    words.sort_unstable();
    words.dedup();
    json!({"type": "string", "enum": words})
}

fn errors() -> Vec<(&'static str, Value)> {
    let code = || words(|code| code.words().0);
    let oauth = || words(|code| code.words().1);
    let around = |error: Value| {
        object([
            ("errors", list(&error), Always),
            ("error", oauth(), Always),
            ("error_description", text(), Always),
            ("message", text(), Always),
            ("request_id", text(), Always),
        ])
    };
    let access = [("code", code(), Always), ("message", text(), Always), ("detail", text(), Maybe)];
    let own = access.clone().into_iter().chain([("reason", text(), Always), ("retryable", flag(), Always)]);
    let artifactory = object([("status", whole(), Always), ("message", text(), Always)]);
    vec![
        ("OAuthError", object([("error", oauth(), Always), ("error_description", text(), Always)])),
        ("ArtifactoryError", object([("errors", list(&artifactory), Always)])),
        ("CircletError", around(object(own))),
        ("AccessError", around(object(access))),
    ]
}

fn tokens() -> Vec<(&'static str, Value)> {
    let seconds = || json!({"type": "integer", "minimum": 0});
    vec![
        (
            "NewToken",
            object([
                ("grant_type", json!({"enum": ["client_credentials", "refresh_token", ""]}), Maybe),
                ("username", loose_text(), Maybe),
                ("scope", loose_text(), Maybe),
                ("expires_in", loose_whole(), Maybe),
                ("refreshable", loose_flag(), Maybe),
                ("description", loose_text(), Maybe),
                ("audience", loose_text(), Maybe),
                ("include_reference_token", loose_flag(), Maybe),
                ("force_revocable", loose_flag(), Maybe),
                ("refresh_token", loose_text(), Maybe),
                ("access_token", loose_text(), Maybe),
            ]),
        ),
        (
            "CreatedToken",
            object([
                ("token_id", text(), Always),
                ("access_token", text(), Always),
                ("refresh_token", text(), Maybe),
                ("reference_token", text(), Maybe),
                ("expires_in", seconds(), Maybe),
                ("scope", text(), Always),
                ("token_type", json!({"const": "Bearer"}), Always),
                ("description", text(), Maybe),
                ("persisted", flag(), Always),
                ("revocable", flag(), Always),
            ]),
        ),
        (
            "Token",
            object([
                ("token_id", text(), Maybe),
                ("subject", text(), Always),
                ("issued_at", seconds(), Always),
                ("expiry", seconds(), Maybe),
                ("issuer", text(), Always),
                ("scope", text(), Always),
                ("audience", text(), Always),
                ("refreshable", flag(), Always),
                ("revocable", flag(), Always),
                ("persisted", flag(), Always),
                ("description", text(), Maybe),
                ("owner", text(), Maybe),
                ("parent", text(), Maybe),
                ("last_used", seconds(), Maybe),
                ("username", text(), Maybe),
            ]),
        ),
        ("Tokens", object([("tokens", list(&reference("Token")), Always), ("cursor", text(), Maybe)])),
    ]
}

fn revoking_and_expiry() -> Vec<(&'static str, Value)> {
    vec![
        ("TokenValue", object([("token", text(), Always), ("cascade", loose_flag(), Maybe)])),
        ("Descendants", object([("ended", whole(), Always), ("living", whole(), Always)])),
        (
            "RevokedById",
            object([
                ("token_id", text(), Always),
                ("revoked", flag(), Always),
                ("note", or_null("string"), Always),
                ("descendants", reference("Descendants"), Maybe),
            ]),
        ),
        (
            "RevokedByValue",
            object([
                ("revoked-token-id", or_null("string"), Always),
                ("revoked_token_id", or_null("string"), Always),
                ("note", or_null("string"), Always),
                ("descendants", reference("Descendants"), Maybe),
            ]),
        ),
        (
            "DefaultExpiry",
            object([("default_token_expiration", whole(), Always), ("default_expiry", whole(), Always)]),
        ),
        (
            "NewDefaultExpiry",
            object([
                ("default_token_expiration", loose_whole(), Maybe),
                ("default_expiry", loose_whole(), Maybe),
            ]),
        ),
    ]
}

fn legacy_tokens() -> Vec<(&'static str, Value)> {
    let item = object([
        ("token_id", text(), Always),
        ("issuer", text(), Always),
        ("subject", text(), Always),
        ("issued_at", whole(), Always),
        ("expiry", whole(), Maybe),
        ("refreshable", flag(), Always),
    ]);
    let fields = [
        "grant_type",
        "username",
        "scope",
        "expires_in",
        "refreshable",
        "audience",
        "refresh_token",
        "access_token",
    ];
    vec![
        ("LegacyNewToken", object(fields.map(|name| (name, text(), Maybe)))),
        ("LegacyTokens", object([("tokens", list(&item), Always)])),
        (
            "LegacyCreatedToken",
            object([
                ("scope", text(), Always),
                ("access_token", text(), Always),
                ("expires_in", whole(), Maybe),
                ("token_type", json!({"const": "Bearer"}), Always),
                ("refresh_token", text(), Maybe),
            ]),
        ),
        ("LegacyRevoke", {
            let texts = ["token", "token_id", "token_type_hint"].map(|name| (name, text(), Maybe));
            object(texts.into_iter().chain([("cascade", loose_flag(), Maybe)]))
        }),
    ]
}

/// What can be said of a user; the two generations spell some of it differently.
fn user_changes(flags: [&'static str; 4]) -> Vec<Field> {
    let flags = flags.map(|name| (name, loose_flag(), Maybe));
    let texts = ["email", "password", "realm"].map(|name| (name, loose_text(), Maybe));
    flags.into_iter().chain(texts).chain([("groups", loose_list(), Maybe)]).collect()
}

/// Fields that are always there: texts, flags and lists of texts.
fn always(texts: &[&'static str], flags: &[&'static str], lists: &[&'static str]) -> Vec<Field> {
    let texts = texts.iter().map(|name| (*name, text(), Always));
    let flags = flags.iter().map(|name| (*name, flag(), Always));
    texts.chain(flags).chain(lists.iter().map(|name| (*name, list(&text()), Always))).collect()
}

fn entries(names: &[&'static str]) -> Value {
    list(&object(always(names, &[], &[])))
}

fn with(mut fields: Vec<Field>, field: Field) -> Vec<Field> {
    fields.push(field);
    fields
}

fn people() -> Vec<(&'static str, Value)> {
    let flags = ["admin", "profile_updatable", "internal_password_disabled", "disable_ui_access"];
    let status = json!({"enum": ["enabled", "disabled", "locked", "invited", null]});
    let user = || with(user_changes(flags), ("status", status.clone(), Maybe));
    let group = || {
        vec![
            ("description", loose_text(), Maybe),
            ("auto_join", loose_flag(), Maybe),
            ("admin_privileges", loose_flag(), Maybe),
            ("external_id", loose_text(), Maybe),
            ("members", loose_list(), Maybe),
        ]
    };
    let page = |name, items| object([(name, items, Always), ("cursor", or_null("string"), Always)]);
    let user_texts = ["username", "email", "realm", "status"];
    let user_flags =
        ["admin", "effective_admin", "profile_updatable", "disable_ui_access", "internal_password_disabled"];
    let group_texts = ["name", "description", "realm", "external_id"];
    vec![
        ("NewUser", object(with(user(), ("username", text(), Always)))),
        ("UserChanges", object(user())),
        ("User", object(always(&user_texts, &user_flags, &["groups"]))),
        ("Users", page("users", entries(&["username", "uri", "realm", "status"]))),
        ("NewGroup", object(with(group(), ("name", text(), Always)))),
        ("GroupChanges", object(group())),
        ("Group", object(always(&group_texts, &["auto_join", "admin_privileges"], &["members"]))),
        ("Groups", page("groups", entries(&["group_name", "uri"]))),
    ]
}

fn legacy_people() -> Vec<(&'static str, Value)> {
    let flags = ["admin", "profileUpdatable", "internalPasswordDisabled", "disableUIAccess"];
    let group_texts = ["name", "description", "realm", "realmAttributes"];
    let group = always(&group_texts, &["autoJoin", "adminPrivileges"], &[]);
    let group_changes = [
        ("name", loose_text(), Maybe),
        ("description", loose_text(), Maybe),
        ("autoJoin", loose_flag(), Maybe),
        ("adminPrivileges", loose_flag(), Maybe),
        ("realmAttributes", loose_text(), Maybe),
        ("userNames", loose_list(), Maybe),
    ];
    vec![
        ("LegacyUserChanges", object(with(user_changes(flags), ("name", loose_text(), Maybe)))),
        ("LegacyUser", object(always(&["name", "email", "realm"], &flags, &["groups"]))),
        ("LegacyUsers", entries(&["name", "uri", "realm"])),
        ("LegacyGroupChanges", object(group_changes)),
        ("LegacyGroup", object(with(group, ("userNames", list(&text()), Maybe)))),
        ("LegacyGroups", entries(&["name", "uri"])),
    ]
}

fn own() -> Vec<(&'static str, Value)> {
    let limits = object([
        ("admin", flag(), Maybe),
        (
            "groups",
            json!({"anyOf": [list(&text()), {"type": "object", "additionalProperties": text()}, {"type": "null"}]}),
            Maybe,
        ),
        ("max_lifetime", or_null("integer"), Maybe),
        ("audiences", json!({"type": ["array", "null"], "items": {"type": "string"}}), Maybe),
        ("revoke", flag(), Maybe),
    ]);
    let issuer_texts = ["name", "service_id", "kid", "algorithm", "common_name", "not_after"];
    let issuer = issuer_texts
        .map(|name| (name, text(), Always))
        .into_iter()
        .chain([("by_feed", flag(), Always), ("limits", limits.clone(), Always)]);
    vec![
        ("Anything", json!({"type": "object"})),
        (
            "Worth",
            object([
                ("subject", or_null("string"), Always),
                ("user", text(), Always),
                ("groups", list(&text()), Always),
                ("admin", flag(), Always),
                ("expires_at", or_null("integer"), Always),
                ("revocable", flag(), Always),
                ("transient", flag(), Always),
                ("foreign", flag(), Always),
                ("index", whole(), Always),
            ]),
        ),
        (
            "NewIssuer",
            object([
                ("certificate", text(), Always),
                ("name", loose_text(), Maybe),
                ("service_id", loose_text(), Maybe),
                ("limits", json!({"anyOf": [limits.clone(), {"type": "null"}]}), Maybe),
            ]),
        ),
        ("IssuerChange", object([("limits", limits, Always)])),
        ("Issuer", object(issuer)),
        ("Issuers", object([("issuers", list(&reference("Issuer")), Always)])),
    ]
}

fn imports() -> Vec<(&'static str, Value)> {
    let counts = ["recorded", "known", "revoked", "expired", "foreign"].map(|name| (name, whole(), Always));
    let unreadable = object([("token_id", json!({}), Always), ("why", text(), Always)]);
    vec![
        ("ListedTokens", object([("tokens", list(&json!({"type": "object"})), Always)])),
        ("ImportedTokens", object(counts.into_iter().chain([("unreadable", list(&unreadable), Always)]))),
    ]
}

fn limits_of_tokens() -> Vec<(&'static str, Value)> {
    vec![
        (
            "Lifetimes",
            object([
                ("default_expiry", whole(), Always),
                ("max_expiry", whole(), Always),
                ("revocable_from", or_null("integer"), Always),
            ]),
        ),
        (
            "TokenLimits",
            object(
                ["admin", "creates_tokens", "refreshable"]
                    .map(|name| (name, flag(), Always))
                    .into_iter()
                    .chain(["legacy", "access"].map(|name| (name, reference("Lifetimes"), Always)))
                    .chain(
                        [
                            "persisted_from",
                            "refresh_expiry",
                            "scope_bytes_max",
                            "audience_bytes_max",
                            "description_bytes_max",
                        ]
                        .map(|name| (name, whole(), Always)),
                    ),
            ),
        ),
    ]
}

fn keys() -> Vec<(&'static str, Value)> {
    let texts =
        ["kid", "state", "algorithm", "origin", "since", "certificate"].map(|name| (name, text(), Always));
    let wholes = ["age", "recorded_tokens"].map(|name| (name, whole(), Always));
    let perhaps = ["common_name", "not_after", "waits"].map(|name| (name, or_null("string"), Always));
    let key = texts
        .into_iter()
        .chain(wholes)
        .chain(perhaps)
        .chain([("unconfirmed", list(&text()), Always), ("unaware", list(&text()), Always)]);
    vec![
        ("Key", object(key)),
        ("Keys", object([("keys", list(&reference("Key")), Always)])),
        (
            "KeyRotation",
            object([("algorithm", or_null("string"), Maybe), ("overlap", or_null("integer"), Maybe)]),
        ),
    ]
}

fn node() -> Vec<(&'static str, Value)> {
    let value = || json!({"type": ["integer", "boolean", "string"]});
    vec![
        (
            "Settings",
            object([
                ("version", whole(), Always),
                ("settings", json!({"type": "object", "additionalProperties": value()}), Always),
            ]),
        ),
        ("SettingChanges", json!({"type": "object", "additionalProperties": value()})),
        (
            "Setting",
            object([
                ("name", text(), Always),
                ("value", value(), Always),
                ("default", value(), Maybe),
                ("unit", text(), Maybe),
                ("allowed", text(), Maybe),
                ("doc", text(), Maybe),
            ]),
        ),
        ("SettingsHistory", object([("changes", list(&json!({"type": "object"})), Always)])),
        ("SettingValue", object([("value", value(), Always)])),
        (
            "ClusterStatus",
            object([
                ("service_id", or_null("string"), Always),
                ("generation", whole(), Always),
                ("feature_level", whole(), Always),
                ("node", whole(), Always),
                ("role", text(), Always),
                ("leader", or_null("integer"), Always),
                ("view_age_ms", or_null("integer"), Always),
                ("ca_expires", or_null("integer"), Always),
                ("master_key", or_null("string"), Always),
                ("next_master_key", json!({"type": ["object", "null"]}), Always),
                ("lost", list(&json!({"type": "object"})), Always),
                ("nodes", list(&json!({"type": "object"})), Always),
                ("problems", list(&json!({"type": "object"})), Always),
            ]),
        ),
        ("JoinToken", object([("token", text(), Always), ("expires_at", whole(), Always)])),
        ("Transfer", object([("to", text(), Always)])),
    ]
}
