//! Recorded tokens that end soon, by who owns them: whom to tell before their jobs fail.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use circlet_authority::{State, TokenFilter, TokenOrder};

/// A token ends soon if it ends within this, in seconds: a week.
pub(super) const SOON_SECS: u64 = 7 * 24 * 60 * 60;
/// So many owners are named; the others are counted together.
const OWNERS_MAX: usize = 20;
/// So many tokens are looked at; those that end later than them are not counted.
const TOKENS_MAX: usize = 50_000;
/// Tokens that are looked at in one go.
const PAGE: usize = 1_000;
/// What was counted is good for so long, in milliseconds.
const KEPT_MS: u64 = 15_000;
/// Under this name the others are counted.
const OTHERS: &str = "(others)";
/// And under this what nobody here owns.
const NOBODY: &str = "(none)";

/// The last count, and when it was made, on the boot clock.
#[derive(Debug, Default)]
pub(super) struct Expiring(Mutex<Option<(u64, Owners)>>);

/// Owners and how many of their tokens end soon.
pub(super) type Owners = Vec<(String, u64)>;

impl Expiring {
    /// Those of this view, or of one a little older.
    pub(super) fn by_owner(&self, view: &State, now_secs: u64, boot_ms: u64) -> Owners {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at_ms, owners)) =
            kept.as_ref().filter(|(at_ms, _)| boot_ms.saturating_sub(*at_ms) < KEPT_MS)
        {
            debug_assert!(*at_ms <= boot_ms, "the boot clock never goes back");
            return owners.clone();
        }
        let owners = largest(count(view, now_secs));
        *kept = Some((boot_ms, owners.clone()));
        owners
    }
}

fn count(view: &State, now_secs: u64) -> BTreeMap<String, u64> {
    let filter = TokenFilter { now_secs, ..TokenFilter::default() };
    let until = now_secs.saturating_add(SOON_SECS);
    let mut counted: BTreeMap<String, u64> = BTreeMap::new();
    let (mut cursor, mut looked) = (None, 0);
    loop {
        let page = view.tokens(&filter, TokenOrder::Expiry, false, cursor.as_ref(), PAGE);
        for token in &page.tokens {
            if token.expiry() > until {
                return counted;
            }
            let owner = token.owner.as_ref().map_or_else(|| NOBODY.to_owned(), ToString::to_string);
            *counted.entry(owner).or_default() += 1;
        }
        looked += page.tokens.len();
        cursor = page.next;
        if cursor.is_none() || looked >= TOKENS_MAX {
            return counted;
        }
    }
}

/// The owners with the most tokens by name, and all the others together.
fn largest(counted: BTreeMap<String, u64>) -> Owners {
    let mut owners: Owners = counted.into_iter().collect();
    owners.sort_by(|(name, tokens), (other, more)| more.cmp(tokens).then_with(|| name.cmp(other)));
    let others: u64 = owners.iter().skip(OWNERS_MAX).map(|(_, tokens)| tokens).sum();
    owners.truncate(OWNERS_MAX);
    if others > 0 {
        owners.push((OTHERS.to_owned(), others));
    }
    owners
}

#[cfg(test)]
mod tests {
    use super::{OTHERS, OWNERS_MAX, largest};

    #[test]
    fn the_number_of_owners_on_the_page_is_bounded() {
        let counted = (1..=30_u64).map(|tokens| (format!("owner-{tokens:02}"), tokens)).collect();
        let owners = largest(counted);
        assert_eq!(owners.len(), OWNERS_MAX + 1);
        assert_eq!(owners.first(), Some(&("owner-30".to_owned(), 30)));
        assert_eq!(owners.last(), Some(&(OTHERS.to_owned(), (1..=10).sum())));
    }
}
