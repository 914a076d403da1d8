//! Tables for people: columns as wide as their widest cell, two spaces apart, no lines, no colour.

use serde_json::Value;

/// Lays out rows of equal length under their headings.
#[must_use]
pub fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = headings.iter().map(|heading| heading.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> =
            cells.zip(&widths).map(|(cell, width)| format!("{cell:<width$}", width = *width)).collect();
        padded.join("  ").trim_end().to_owned()
    };
    let mut lines = vec![line(&mut headings.iter().copied())];
    lines.extend(rows.iter().map(|row| line(&mut row.iter().map(String::as_str))));
    lines.join("\n")
}

/// The rows of a list of JSON objects: the cells are the values under `keys`, empty where there is none.
#[must_use]
pub fn rows(list: &Value, keys: &[&str]) -> Vec<Vec<String>> {
    let items = list.as_array().map(Vec::as_slice).unwrap_or_default();
    items.iter().map(|item| keys.iter().map(|key| cell(&item[*key])).collect()).collect()
}

/// The members of one JSON object, a line each.
#[must_use]
pub fn members(object: &Value) -> String {
    let members =
        object.as_object().map(|members| members.iter().map(|(key, value)| (key.clone(), cell(value))));
    let members: Vec<(String, String)> = members.into_iter().flatten().collect();
    let width = members.iter().map(|(key, _)| key.chars().count()).max().unwrap_or(0);
    let lines: Vec<String> = members.iter().map(|(key, value)| format!("{key:<width$}  {value}")).collect();
    lines.join("\n")
}

/// One JSON value as the content of a cell.
#[must_use]
pub fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::{members, rows, table};
    use serde_json::json;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let list = json!([{"id": "long-one", "n": 1}, {"id": "b", "groups": ["x", "y"]}]);
        let text = table(&["ID", "N", "GROUPS"], &rows(&list, &["id", "n", "groups"]));
        assert_eq!(text, "ID        N  GROUPS\nlong-one  1\nb            x,y");
    }

    #[test]
    fn an_object_is_a_line_for_each_member() {
        assert_eq!(members(&json!({"a": true, "name": "n"})), "a     true\nname  n");
    }
}
