//! A page of the operator's guide: its blocks of shell, and what is shown below each as its output.

use std::path::Path;

use super::cluster::Cluster;

/// Who is told "not now" asks again; a doctor is asked again whether the disk is still slow, and until it knows of the node
/// that has just joined. What is said to people is shown on a page as well as data is.
const PATIENT: &str = r#"
exec 2>&1
circlet() {
  local status=0 try said
  for try in $(seq 60); do
    status=0
    if [ "$1" = doctor ]; then
      said=$(command circlet "$@") || status=$?
      if [ $status -eq 0 ] && [[ $said == *node-4* ]]; then break; fi
    else
      command circlet "$@" || status=$?
      if [ $status -ne 2 ]; then break; fi
    fi
    sleep 1
  done
  if [ "$1" = doctor ]; then printf '%s\n' "$said"; fi
  return $status
}
"#;

/// Stands between what two blocks print.
const NEXT_BLOCK: &str = "== the next block";

/// Before these words a number is a promise: how many end, answer or are kept. So it is in `3 of 4`.
const COUNTED: [&str; 4] = ["recorded", "voting", "users", "groups"];

/// After these words a number is a promise as well.
const PROMISED: [&str; 9] = [
    "level",
    "accepted",
    "lost",
    "twice",
    "status",
    "response",
    "lost_acks",
    "stale_accepts",
    "double_refreshes",
];

/// In the row of such a node the last number is the feature level that it supports.
const ROLES: [&str; 2] = ["voter", "learner"];

/// They belong to the number before them.
const UNITS: [&str; 4] = ["s", "min", "h", "d"];

/// A block of shell, with the lines that are shown below it.
struct Step {
    block: String,
    shown: Vec<String>,
}

/// A page, and how many nodes it begins with.
pub(super) struct Page {
    pub(super) document: &'static str,
    pub(super) nodes: u16,
    /// So many blocks of shell are run, and so many are for machines that a test has not.
    pub(super) tested: usize,
    pub(super) untested: usize,
}

impl Page {
    /// Runs the page from its first line to its last, and holds what it shows against what is said.
    pub(super) fn follow(&self) {
        let steps = self.steps();
        let cluster = Cluster::start(self.nodes);
        let blocks: Vec<&str> = steps.iter().map(|step| step.block.as_str()).collect();
        let script = blocks.join(&format!("printf '\\n%s\\n' '{NEXT_BLOCK}'\n"));
        let said = cluster.run(&format!("{PATIENT}\n{script}"));
        if let Some(folder) = std::env::var_os("GUIDE_SAYS") {
            let name = Path::new(self.document).file_name().expect("a document has a name");
            std::fs::write(Path::new(&folder).join(name), &said).expect("what was said is written down");
        }
        let parts: Vec<&str> = said.split(&format!("{NEXT_BLOCK}\n")).collect();
        assert_eq!(parts.len(), steps.len());
        for (step, said) in steps.iter().zip(parts) {
            step.assert_shown_was_said(said);
        }
    }

    fn steps(&self) -> Vec<Step> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(self.document);
        let text = std::fs::read_to_string(path).expect("a document");
        let steps: Vec<Step> = text.split("```sh tested\n").skip(1).map(Step::read).collect();
        assert_eq!(steps.len(), self.tested, "{}: each section has its lines", self.document);
        assert_eq!(text.matches("```sh\n").count(), self.untested, "{}: and a test runs them", self.document);
        steps
    }
}

impl Step {
    /// Reads what follows the opening of a block.
    fn read(rest: &str) -> Self {
        let (block, after) = rest.split_once("```\n").expect("a block has an end");
        let after = after.trim_start();
        let output = ["```text\n", "```json\n"].iter().find_map(|opening| after.strip_prefix(opening));
        let shown = output.map(|output| output.split("```").next().expect("split yields one part at least"));
        Self {
            block: block.to_owned(),
            shown: shown.unwrap_or_default().lines().map(str::to_owned).collect(),
        }
    }

    /// Every line that is shown was printed, whatever else was.
    fn assert_shown_was_said(&self, said: &str) {
        assert!(!self.shown.is_empty(), "nothing is shown of\n{}\nwhich said\n{said}", self.block);
        let mut left: Vec<String> = said.lines().map(lasting).collect();
        for line in self.shown.iter().filter(|line| !line.is_empty()) {
            let wanted = lasting(line);
            assert!(!wanted.is_empty(), "nothing of {line} could be wrong, below\n{}", self.block);
            let at = left.iter().position(|said| *said == wanted).unwrap_or(left.len());
            assert!(at < left.len(), "below\n{}\nis shown\n{line}\nand was said\n{said}", self.block);
            left.remove(at);
        }
    }
}

/// A line without what differs from run to run: ids, times, numbers that count nothing, who happens to lead, and how wide the
/// columns are.
fn lasting(line: &str) -> String {
    let spaced: String = line.chars().map(|c| if "\"{}[],:@/=|".contains(c) { ' ' } else { c }).collect();
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let is_number = |word: &str| word.starts_with(|c: char| c.is_ascii_digit() || c == '-');
    let lasts = |at: usize| {
        let following = |steps: usize| words.get(at + steps).copied().unwrap_or_default();
        let (word, next) = (words[at], following(1));
        let drawn = word.len() > 15 && word.chars().any(|c| c.is_ascii_digit());
        let before = at.checked_sub(1).map_or("", |before| words[before]);
        let is_level = at + 1 == words.len() && ROLES.iter().any(|role| words.contains(role));
        let counts = COUNTED.contains(&next)
            || next == "of" && is_number(following(2))
            || PROMISED.contains(&before)
            || is_level;
        let measures = UNITS.contains(&word) && is_number(before);
        !drawn && !measures && next != "leads" && (!is_number(word) || counts)
    };
    let lasting = (0..words.len()).filter(|at| lasts(*at)).map(|at| words[at]);
    lasting.collect::<Vec<_>>().join(" ")
}

#[test]
fn what_is_counted_must_be_as_shown_and_what_is_measured_need_not() {
    for (shown, said) in [
        ("node-1 leads, 3 of 3 voting nodes answer", "node-2 leads, 3 of 3 voting nodes answer"),
        ("2026-11-30T03:53:05.032Z|admin|C|TKN", "2027-01-01T00:00:00.000Z|admin|C|TKN"),
        (r#"{"node":7,"ready":true}"#, r#"{"node":9,"ready":true}"#),
        ("issue   16  0  333 ms", "issue  15  0  1 ms"),
        ("P7QOIy4BWOLEHzqe  active  59 s  EdDSA", "NtzAxMmbOoj8YKRC  active  1 min  EdDSA"),
    ] {
        assert_eq!(lasting(shown), lasting(said));
    }
    for (shown, said) in [
        ("3 of 3 voting nodes answer", "2 of 3 voting nodes answer"),
        ("would revoke it: 4 recorded tokens", "would revoke it: 3 recorded tokens"),
        ("0 of 96 asked for", "1 of 96 asked for"),
        (r#"{"node":7,"ready":true}"#, r#"{"node":7,"ready":false}"#),
        ("fresh as of 230 ms ago, feature level 2", "fresh as of 230 ms ago, feature level 3"),
        (
            "16  node-4  voter  no  yes  http://h:1  h:2  19  2",
            "16  node-4  voter  no  yes  http://h:1  h:2  19  3",
        ),
        ("revoked tokens accepted         0", "revoked tokens accepted         5"),
        (
            "acknowledgements lost           0 of 96 asked for",
            "acknowledgements lost           1 of 96 asked for",
        ),
        ("refresh tokens used twice       0", "refresh tokens used twice       1"),
        (r#""stale_accepts":0"#, r#""stale_accepts":5"#),
        ("error: server response: 409 Conflict", "error: server response: 400 Conflict"),
        ("exit status 1", "exit status 2"),
    ] {
        assert_ne!(lasting(shown), lasting(said));
    }
}
