//! How a cluster is, in a few sentences: what is wrong, worst first, and what to do; or that all is well.

use serde_json::Value;

/// A follower that lacks more entries than this is behind.
const BEHIND_ENTRIES: u64 = 1_000;
/// A clock that is off by more, in milliseconds, is to be set; by five seconds its node may not lead.
const CLOCK_OFF_MS: u64 = 1_000;

/// The sentences, one a line.
pub(super) fn of(status: &Value) -> String {
    let nodes = status["nodes"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut wrong = quorum(nodes);
    wrong.extend(lacks(status));
    wrong.extend(nodes.iter().flat_map(|node| of_node(node, status)));
    wrong.extend(problems(status));
    wrong.extend(upgrade(status, nodes));
    if wrong.is_empty() { well(status, nodes) } else { wrong.join("\n") }
}

fn voters(nodes: &[Value]) -> impl Iterator<Item = &Value> {
    nodes.iter().filter(|node| node["role"] == "voter")
}

fn name(node: &Value) -> &str {
    node["name"].as_str().unwrap_or("a node without a name")
}

/// Whether a majority answers, and how many more may be lost.
fn quorum(nodes: &[Value]) -> Vec<String> {
    let all = voters(nodes).count();
    let silent: Vec<&str> = voters(nodes).filter(|node| node["answers"] == false).map(name).collect();
    if silent.is_empty() {
        return Vec::new();
    }
    let (there, majority) = (all - silent.len(), all / 2 + 1);
    let who = silent.join(", ");
    if there < majority {
        return vec![format!(
            "NO MAJORITY: of {all} voting nodes {there} can be reached from here. Plain tokens are issued and verified; nothing is \
             recorded, refreshed or revoked until {} of these is back: {who}",
            majority - there,
        )];
    }
    let spare = match there - majority {
        0 => "no other may be lost".to_owned(),
        1 => "one more may be lost".to_owned(),
        more => format!("{more} more may be lost"),
    };
    vec![format!(
        "SILENT: {who} has not answered for ten seconds; {spare}. Start it, or see to the network: circlet doctor there"
    )]
}

/// What the node that was asked says it lacks.
fn lacks(status: &Value) -> Vec<String> {
    let lacks = status["missing"].as_array().map(Vec::as_slice).unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let line = |lacks: &Value| {
        format!("NODE {}: {}. {}", status["node"], text(&lacks["why"]), sentence(&text(&lacks["hint"])))
    };
    lacks.iter().map(line).collect()
}

fn of_node(node: &Value, status: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let who = name(node);
    if node["set_back"] == true {
        wrong.push(format!("SET BACK: {who} lacks what it had acknowledged; remove it and let it join anew"));
    }
    if node["role"] == "admitted" {
        wrong.push(format!("NOT THERE YET: {who} was admitted and has never come; start it, or remove it"));
    }
    let last = status["last_log"].as_u64().unwrap_or(0);
    let behind = node["matched"].as_u64().map_or(0, |matched| last.saturating_sub(matched));
    if behind > BEHIND_ENTRIES {
        wrong.push(format!(
            "BEHIND: {who} lacks {behind} entries of the log; is its disk or its network slow?"
        ));
    }
    let off = node["clock_offset_ms"].as_i64().unwrap_or(0);
    if off.unsigned_abs() > CLOCK_OFF_MS {
        wrong.push(format!("CLOCK: that of {who} is {off} ms ahead of that of the node asked; see to chrony or systemd-timesyncd"));
    }
    wrong
}

/// Which nodes run an older version than others.
fn upgrade(status: &Value, nodes: &[Value]) -> Option<String> {
    let supports = |node: &Value| node["supports"].as_u64().unwrap_or(0);
    let newest = nodes.iter().map(supports).max()?;
    let older: Vec<&str> = nodes.iter().filter(|node| supports(node) < newest).map(name).collect();
    (!older.is_empty()).then(|| {
        format!(
            "UPGRADE: the cluster writes at feature level {} until {} run the newer version, which supports {newest}; until \
             then every node may go back to the older one",
            status["feature_level"],
            older.join(", "),
        )
    })
}

fn problems(status: &Value) -> Vec<String> {
    let problems = status["problems"].as_array().map(Vec::as_slice).unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let line = |problem: &Value| {
        format!(
            "FILE: problem on node {}: {}: {}",
            status["node"],
            text(&problem["file"]),
            text(&problem["problem"])
        )
    };
    problems.iter().map(line).collect()
}

fn well(status: &Value, nodes: &[Value]) -> String {
    let all = voters(nodes).count();
    let leader = nodes.iter().find(|node| node["id"] == status["leader"]).map_or("nobody", name);
    let may = match all.saturating_sub(1) / 2 {
        0 => "none may be lost".to_owned(),
        1 => "one may be lost".to_owned(),
        many => format!("{many} may be lost"),
    };
    format!("ALL IS WELL: {leader} leads, {all} of {all} voting nodes answer, {may}")
}

/// With a capital letter and a full stop.
fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}", characters.as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::of;

    fn node(id: u64, answers: bool) -> Value {
        json!({"id": id, "name": format!("node-{id}"), "role": "voter", "answers": answers, "matched": 100})
    }

    fn status(nodes: &[Value]) -> Value {
        json!({"node": 1, "leader": 1, "last_log": 100, "nodes": nodes, "missing": [], "problems": []})
    }

    #[test]
    fn what_is_wrong_is_said_first_and_what_it_costs() {
        let well = of(&status(&[node(1, true), node(2, true), node(3, true)]));
        assert_eq!(well, "ALL IS WELL: node-1 leads, 3 of 3 voting nodes answer, one may be lost");
        let silent = of(&status(&[node(1, true), node(2, true), node(3, false)]));
        assert!(
            silent.starts_with("SILENT: node-3 has not answered for ten seconds; no other may be lost"),
            "{silent}"
        );
        let mut lost = status(&[node(1, true), node(2, false), node(3, false)]);
        lost["missing"] =
            json!([{"condition": "no_leader", "why": "no node is known to lead", "hint": "see who runs"}]);
        let lost = of(&lost);
        let lines: Vec<&str> = lost.lines().collect();
        assert!(lines[0].starts_with("NO MAJORITY: of 3 voting nodes 1 can be reached"), "{lost}");
        assert_eq!(lines[1], "NODE 1: no node is known to lead. See who runs");
    }

    #[test]
    fn what_is_wrong_with_a_node_is_said_of_it() {
        let mut second = node(2, true);
        second["matched"] = json!(5);
        second["clock_offset_ms"] = json!(-4_000);
        let mut all =
            status(&[node(1, true), second, json!({"id": 3, "name": "node-3", "role": "admitted"})]);
        all["last_log"] = json!(5_000);
        all["nodes"][0]["matched"] = Value::Null;
        all["problems"] = json!([{"file": "root.crt", "problem": "has no key"}]);
        let said = of(&all);
        for part in [
            "BEHIND: node-2 lacks 4995",
            "CLOCK: that of node-2 is -4000 ms",
            "NOT THERE YET: node-3",
            "root.crt: has no key",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
}
