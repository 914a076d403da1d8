//! Tokens of the installation whose key was adopted. There, revoking meant forgetting, so what can be revoked is honoured
//! only if it is on that installation's list.

use circlet_token::{Audience, Lifetime};

use super::{Applied, below_limit};
use crate::{
    command::{ImportTokens, ImportedToken},
    judge::Facts,
    limits::IMPORT_ENTRIES_MAX,
    outcome::{Imported, Outcome},
    policy::fits,
    record::{Generation, KeyOrigin, KeyState, TokenRecord},
    refusal::Refusal,
    state::State,
};

impl State {
    pub(super) fn import_tokens(&mut self, import: &ImportTokens) -> Applied {
        let kid = &import.kid;
        let key = self.keyring.get(kid).ok_or_else(|| Refusal::KeyUnknown { kid: kid.clone() })?;
        let verifies = !matches!(key.state, KeyState::Retired | KeyState::Tainted);
        if key.origin != KeyOrigin::Adopted || !verifies {
            let why = "only a key that was adopted and still verifies has tokens to import".to_owned();
            return Err(Refusal::KeyState { kid: kid.clone(), state: key.state.as_str().to_owned(), why });
        }
        let (found, max) = (import.tokens.len(), i64::try_from(IMPORT_ENTRIES_MAX).unwrap_or(i64::MAX));
        fits("the list of tokens", found, "one command", max)?;
        let most = self.tokens.len().saturating_add(found).saturating_sub(1);
        below_limit(most, "limits.recorded-tokens-max", self.config.recorded_tokens_max)?;
        let mut counts = Imported::default();
        for token in &import.tokens {
            let count = self.import_token(import, token, &mut counts);
            *count = count.saturating_add(1);
        }
        Ok(Outcome::Imported(counts))
    }

    /// Returns what to count it as.
    fn import_token<'a>(
        &mut self,
        import: &ImportTokens,
        token: &ImportedToken,
        counts: &'a mut Imported,
    ) -> &'a mut u64 {
        let life = token.expires_at.map(|at| at.saturating_sub(token.issued_at));
        if !self.is_us(token.subject.service()) {
            return &mut counts.foreign;
        }
        if life == Some(0) || token.expires_at.is_some_and(|at| at <= self.now_secs()) {
            return &mut counts.expired;
        }
        if self.tokens.get(&token.id).is_some() {
            return &mut counts.known;
        }
        if self.was_revoked(&token.id)
            || self.revocations.is_listed(&token.id, token.expires_at.unwrap_or(u64::MAX))
        {
            return &mut counts.revoked;
        }
        let mut record = TokenRecord {
            id: token.id,
            subject: token.subject.clone(),
            scope: token.scope.clone(),
            audience: Audience::any(),
            lifetime: Lifetime::from_secs(life.unwrap_or(0)),
            revocable: false,
            issued_at: token.issued_at,
            expires_at: token.expires_at,
            index: self.index,
            kid: import.kid.clone(),
            owner: None,
            owner_external: false,
            parent: None,
            origin: None,
            description: token.description.clone(),
            family: None,
            reference: None,
            generation: Generation::Legacy,
            request_digest: [0; 32],
        };
        // As whoever presents it will be judged: its claims carry no log index, and maybe not what it says of itself.
        record.revocable =
            self.revocable(&Facts { index: None, says_revocable: None, ..Facts::of_record(&record) });
        self.tokens.insert(record);
        &mut counts.recorded
    }
}
