//! From a YAML value or an environment variable's text to a typed value.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::Value;

use super::{LogFormat, Network, TlsChoice};
use crate::audit::OnFailure;

pub(super) fn text(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) if !text.trim().is_empty() => Ok(text.trim().to_owned()),
        Value::Number(number) => Ok(number.to_string()),
        other => Err(format!("expected a text, found {other}")),
    }
}

/// A name is part of certificates, audit lines and file names.
pub(super) fn name(value: &Value) -> Result<String, String> {
    let name = text(value)?;
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
    if name.len() <= 64 && name.chars().all(is_plain) {
        Ok(name)
    } else {
        Err(format!("expected up to 64 of a-z, A-Z, 0-9, `-`, `_` and `.`, found `{name}`"))
    }
}

pub(super) fn flag(value: &Value) -> Result<bool, String> {
    match value {
        Value::Bool(flag) => Ok(*flag),
        Value::String(text) if text == "true" => Ok(true),
        Value::String(text) if text == "false" => Ok(false),
        other => Err(format!("expected true or false, found {other}")),
    }
}

/// A whole number from 1 to `max`.
pub(super) fn number(value: &Value, max: u64) -> Result<u64, String> {
    let number = match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    match number {
        Some(number) if (1..=max).contains(&number) => Ok(number),
        _ => Err(format!("expected a whole number from 1 to {max}, found {value}")),
    }
}

/// A whole number from 1 to `max`, of things in memory.
pub(super) fn size(value: &Value, max: u32) -> Result<usize, String> {
    let number = number(value, u64::from(max))?;
    usize::try_from(number).map_err(|_| format!("expected a whole number from 1 to {max}, found {value}"))
}

/// A whole number from 0 to `max`.
pub(super) fn count(value: &Value, max: u16) -> Result<usize, String> {
    let number = match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    match number.and_then(|number| u16::try_from(number).ok()) {
        Some(number) if number <= max => Ok(usize::from(number)),
        _ => Err(format!("expected a whole number from 0 to {max}, found {value}")),
    }
}

pub(super) fn path(value: &Value) -> Result<PathBuf, String> {
    text(value).map(PathBuf::from)
}

pub(super) fn socket_address(value: &Value) -> Result<SocketAddr, String> {
    let text = text(value)?;
    text.parse().map_err(|_| format!("expected an address and a port such as 127.0.0.1:8040, found `{text}`"))
}

pub(super) fn host_and_port(value: &Value) -> Result<String, String> {
    let text = text(value)?;
    let is_one =
        text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    if is_one {
        Ok(text)
    } else {
        Err(format!("expected a host and a port such as node1:8041, found `{text}`"))
    }
}

pub(super) fn hosts_and_ports(value: &Value) -> Result<Vec<String>, String> {
    match value {
        Value::Array(items) => items.iter().map(host_and_port).collect(),
        Value::String(list) => {
            let items = list.split(',').map(str::trim).filter(|item| !item.is_empty());
            items.map(|item| host_and_port(&Value::from(item))).collect()
        }
        other => Err(format!("expected a list of hosts and ports, found {other}")),
    }
}

pub(super) fn url(value: &Value) -> Result<String, String> {
    let text = text(value)?;
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    match rest {
        Some(rest) if !rest.trim_end_matches('/').is_empty() => Ok(text.trim_end_matches('/').to_owned()),
        _ => Err(format!("expected a URL such as https://node1:8040, found `{text}`")),
    }
}

pub(super) fn networks(value: &Value) -> Result<Vec<Network>, String> {
    match value {
        Value::Array(items) => items.iter().map(|item| text(item)?.parse()).collect(),
        Value::String(list) => {
            list.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::parse).collect()
        }
        other => Err(format!("expected a list of addresses and ranges, found {other}")),
    }
}

pub(super) fn tls(value: &Value) -> Result<TlsChoice, String> {
    match value {
        // YAML 1.1 reads a bare `off` as false.
        Value::Bool(false) => Ok(TlsChoice::Off),
        Value::String(text) if text == "off" => Ok(TlsChoice::Off),
        Value::String(text) if text == "auto" => Ok(TlsChoice::Auto),
        Value::String(text) if text == "cluster" => Ok(TlsChoice::Cluster),
        other => Err(format!("expected auto, cluster, off, or a certificate and a key, found {other}")),
    }
}

pub(super) fn log_format(value: &Value) -> Result<LogFormat, String> {
    match value {
        Value::String(text) if text == "text" => Ok(LogFormat::Text),
        Value::String(text) if text == "json" => Ok(LogFormat::Json),
        other => Err(format!("expected text or json, found {other}")),
    }
}

pub(super) fn on_failure(value: &Value) -> Result<OnFailure, String> {
    match value {
        Value::String(text) if text == "refuse" => Ok(OnFailure::Refuse),
        Value::String(text) if text == "continue" => Ok(OnFailure::Continue),
        other => Err(format!("expected refuse or continue, found {other}")),
    }
}
