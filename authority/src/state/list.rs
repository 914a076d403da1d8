//! Listing recorded tokens, page by page.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use circlet_token::{TokenId, UserName};

use super::{Order, State, users_of};
use crate::{judge::Facts, limits::PAGE_ENTRIES_MAX, record::TokenRecord};

/// Which tokens to list. Empty: all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenFilter {
    /// Created by or speaking for this user.
    pub user: Option<UserName>,
    /// With this id.
    pub id: Option<TokenId>,
    /// Created with this token.
    pub parent: Option<TokenId>,
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
        // Those that a filter names are all that is looked at; the rest of it holds for them as well.
        let of_user = self.user.as_ref().is_none_or(|user| users_of(record).any(|one| one == *user));
        described
            && of_user
            && self.parent.is_none_or(|parent| record.parent == Some(parent))
            && self.id.is_none_or(|id| id == record.id)
            && self.refreshable.is_none_or(|wanted| state.is_refreshable(record) == wanted)
    }
}

impl TokenOrder {
    fn place(self, record: &TokenRecord) -> TokenCursor {
        TokenCursor { key: self.key(record), id: record.id }
    }

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

    /// A page of live recorded tokens: at most `limit`, behind `cursor`. What has expired, or lies below a watermark, is
    /// left out. Walks from the cursor as far as it takes where the order is that of an index (time of issue, id, expiry)
    /// and the filter names neither user nor parent; otherwise looks at every token of these, or at every token. Holds one
    /// page.
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
        let now = filter.now_secs.max(self.now_secs());
        let accepts = |record: &&Arc<TokenRecord>| self.is_live(record, now) && filter.accepts(self, record);
        // One more than the page holds tells whether there is a next one.
        let most = limit.saturating_add(1);
        let mut rows: Vec<&Arc<TokenRecord>> = match self.candidates(filter) {
            Some(some) => gather(some.filter(accepts), order, descending, cursor, most),
            None => match self.walk(order, descending, cursor) {
                Some(walk) => walk.filter(accepts).take(most).collect(),
                None => gather(self.tokens.iter().filter(accepts), order, descending, cursor, most),
            },
        };
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| more).map(|record| order.place(record));
        TokenPage { tokens: rows.into_iter().map(Arc::clone).collect(), next }
    }

    /// The few tokens that a filter can mean; `None` if it can mean any.
    fn candidates<'a>(
        &'a self,
        filter: &TokenFilter,
    ) -> Option<Box<dyn Iterator<Item = &'a Arc<TokenRecord>> + 'a>> {
        if let Some(id) = filter.id {
            return Some(Box::new(self.tokens.get(&id).into_iter()));
        }
        if let Some(parent) = filter.parent {
            let children = self.tokens.created_with(self.origin_of(parent), None);
            return Some(Box::new(children.filter_map(|id| self.tokens.get(&id))));
        }
        let user = filter.user.as_ref()?;
        Some(Box::new(self.tokens.of_user(user)))
    }

    /// Every token behind the cursor, in an order that has an index.
    fn walk<'a>(
        &'a self,
        order: TokenOrder,
        descending: bool,
        cursor: Option<&TokenCursor>,
    ) -> Option<Box<dyn Iterator<Item = &'a Arc<TokenRecord>> + 'a>> {
        let number = |cursor: &TokenCursor| cursor.key.parse::<u64>().ok().map(|key| (key, cursor.id));
        let places = match order {
            TokenOrder::Created => self.tokens.places(Order::Issue),
            TokenOrder::Expiry => self.tokens.places(Order::Expiry),
            TokenOrder::Id => return Some(self.tokens.behind(cursor.map(|cursor| cursor.id), descending)),
            TokenOrder::Owner | TokenOrder::Subject => return None,
        };
        let place = match cursor {
            Some(cursor) => Bound::Excluded(number(cursor)?),
            None => Bound::Unbounded,
        };
        let record = |(_, id): &(u64, TokenId)| self.tokens.get(id);
        Some(if descending {
            Box::new(places.range((Bound::Unbounded, place)).rev().filter_map(record))
        } else {
            Box::new(places.range((place, Bound::Unbounded)).filter_map(record))
        })
    }
}

/// The first `most` behind the cursor, of records in any order.
fn gather<'a>(
    records: impl Iterator<Item = &'a Arc<TokenRecord>>,
    order: TokenOrder,
    descending: bool,
    cursor: Option<&TokenCursor>,
    most: usize,
) -> Vec<&'a Arc<TokenRecord>> {
    let mut page: BTreeMap<TokenCursor, &Arc<TokenRecord>> = BTreeMap::new();
    for record in records {
        let place = order.place(record);
        let behind = cursor.is_none_or(|cursor| if descending { place < *cursor } else { place > *cursor });
        if !behind {
            continue;
        }
        page.insert(place, record);
        if page.len() > most {
            if descending {
                page.pop_first()
            } else {
                page.pop_last()
            };
        }
    }
    if descending { page.into_values().rev().collect() } else { page.into_values().collect() }
}
