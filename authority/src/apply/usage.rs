//! When recorded tokens were last used.

use crate::{command::NoteUse, limits::USES_MAX, outcome::Outcome, state::State};

impl State {
    /// A node's clock may be ahead: no use is later than the state's time. Tokens that are gone are passed over.
    pub(super) fn note_use(&mut self, note: &NoteUse) -> Outcome {
        let now = self.now_secs();
        for (id, at) in note.uses.iter().take(USES_MAX) {
            self.tokens.note_use(*id, (*at).min(now));
        }
        Outcome::Done
    }
}
