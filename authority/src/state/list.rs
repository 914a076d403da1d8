//! Listing recorded tokens, page by page.

use std::{collections::BTreeMap, sync::Arc};

use circlet_token::{TokenId, UserName};

use super::State;
use crate::{judge::Facts, limits::PAGE_ENTRIES_MAX, record::TokenRecord};

/// Which tokens to list. Empty: all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenFilter {
    /// Created by or speaking for this user.
    pub user: Option<UserName>,
    /// With this id.
    pub id: Option<TokenId>,
    /// With this description; a trailing `*` stands for anything.
    pub description: Option<String>,
    /// Refreshable, or not.
    pub refreshable: Option<bool>,
    /// The node's time, seconds: what has expired by then is left out. The state's own time counts in any case.
    pub now_secs: u64,
}

/// What to order by. Equal keys are ordered by id.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TokenOrder {
    /// By the time of issue.
    #[default]
    Created,
    /// By id.
    Id,
    /// By the user who created it.
    Owner,
    /// By subject.
    Subject,
    /// By expiry; what never expires comes last.
    Expiry,
}

/// Where a page ended; the next one starts behind it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TokenCursor {
    /// The order's key as text that sorts like it.
    pub key: String,
    /// The last token of the page.
    pub id: TokenId,
}

/// A page of tokens.
#[derive(Debug, Clone)]
pub struct TokenPage {
    /// In the order asked for.
    pub tokens: Vec<Arc<TokenRecord>>,
    /// Where the next page starts; `None` after the last.
    pub next: Option<TokenCursor>,
}

impl TokenFilter {
    fn accepts(&self, state: &State, record: &TokenRecord) -> bool {
        let described = self.description.as_ref().is_none_or(|wanted| {
            let found = record.description.as_deref().unwrap_or_default();
            wanted.strip_suffix('*').map_or(found == wanted, |start| found.starts_with(start))
        });
        described
            && self.id.is_none_or(|id| id == record.id)
            && self.refreshable.is_none_or(|wanted| state.is_refreshable(record) == wanted)
    }
}

impl TokenOrder {
    fn key(self, record: &TokenRecord) -> String {
        match self {
            Self::Created => format!("{:020}", record.index),
            Self::Id => String::new(),
            Self::Owner => record.owner.as_ref().map(ToString::to_string).unwrap_or_default(),
            Self::Subject => record.subject.to_string(),
            Self::Expiry => format!("{:020}", record.expiry()),
        }
    }
}

impl State {
    /// Whether a recorded token can still be used: it has not expired, and no watermark refuses it.
    #[must_use]
    pub fn is_live(&self, record: &TokenRecord, now_secs: u64) -> bool {
        record.expiry() > now_secs && !self.below_watermark(&Facts::of_record(record), Some(record.index))
    }

    /// A page of live recorded tokens: at most `limit`, behind `cursor`. What has expired, or lies below a watermark, is left out.
    /// Looks at every token of the filter's user, or at every token; holds one page.
    #[must_use]
    pub fn tokens(
        &self,
        filter: &TokenFilter,
        order: TokenOrder,
        descending: bool,
        cursor: Option<&TokenCursor>,
        limit: usize,
    ) -> TokenPage {
        let limit = limit.clamp(1, PAGE_ENTRIES_MAX);
        let all: Box<dyn Iterator<Item = &Arc<TokenRecord>>> = match &filter.user {
            Some(user) => Box::new(self.tokens.of_user(user)),
            None => Box::new(self.tokens.iter()),
        };
        let now = filter.now_secs.max(self.now_secs());
        let mut page: BTreeMap<TokenCursor, &Arc<TokenRecord>> = BTreeMap::new();
        for record in all.filter(|record| self.is_live(record, now) && filter.accepts(self, record)) {
            let place = TokenCursor { key: order.key(record), id: record.id };
            let behind =
                cursor.is_none_or(|cursor| if descending { place < *cursor } else { place > *cursor });
            if !behind {
                continue;
            }
            page.insert(place, record);
            // One more than the page holds tells whether there is a next one.
            if page.len() > limit.saturating_add(1) {
                if descending {
                    page.pop_first()
                } else {
                    page.pop_last()
                };
            }
        }
        let mut rows: Vec<_> = page.into_iter().collect();
        if descending {
            rows.reverse();
        }
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| more).map(|(place, _)| place.clone());
        TokenPage { tokens: rows.into_iter().map(|(_, record)| Arc::clone(record)).collect(), next }
    }
}
