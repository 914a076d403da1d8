//! Listing and fetching recorded tokens.
//!
//! A list may look at every token there is, so it is made on a thread that may block, and a few at a time.

use std::sync::Arc;

use circlet_authority::{Rights, State, TokenCursor, TokenFilter, TokenOrder, TokenRecord};
use circlet_raft::Published;
use circlet_token::{Claims, TokenId};
use tokio::sync::Semaphore;

use super::failure::{Code, Failure};
use super::{Session, reading};
use crate::authenticate::Caller;

/// Entries on a page unless the request says otherwise: the Access API has no pages, so all that fit.
pub(crate) const PAGE_ENTRIES: usize = 10_000;

/// So many lists are made at the same time; others wait.
static MAKING: Semaphore = Semaphore::const_new(2);

/// Which tokens, in which order, from where on.
pub(crate) struct ListOrder {
    pub(crate) filter: TokenFilter,
    pub(crate) order: TokenOrder,
    pub(crate) descending: bool,
    pub(crate) cursor: Option<TokenCursor>,
    pub(crate) limit: usize,
}

/// A page of tokens, and the view that it was read from.
pub(crate) struct Listed {
    pub(crate) view: Arc<Published<State>>,
    pub(crate) tokens: Vec<Arc<TokenRecord>>,
    pub(crate) next: Option<TokenCursor>,
}

/// One token: recorded, or only known from its own claims.
pub(crate) enum Found {
    /// The log knows it.
    Recorded(Arc<Published<State>>, Arc<TokenRecord>),
    /// It presented itself.
    Presented(Box<Claims>),
}

/// Lists tokens: an administrator all of them, a user the own ones.
pub(crate) async fn list(session: &Session<'_>, mut order: ListOrder) -> Result<Listed, Failure> {
    session.actor()?;
    refuse_foreign(session, &session.published())?;
    let lists =
        |view: &State| session.rights(view).is_some_and(|rights| rights.admin || rights.user.is_some());
    let published = reading::holding(session.cluster, lists).await?.ok_or_else(|| {
        Failure::new(Code::Forbidden, "admin_required", "Forbidden")
            .with_detail("only administrators list all tokens, and only users their own")
    })?;
    let rights = session.rights(&published.view).filter(|rights| !rights.admin);
    if let Some(own) = rights.as_ref().and_then(|rights| rights.user.clone()) {
        match &order.filter.user {
            Some(user) if *user != own => {
                return Ok(Listed { view: published, tokens: Vec::new(), next: None });
            }
            _ => order.filter.user = Some(own),
        }
    }
    order.filter.now_secs = session.cluster.now_at(&published).secs();
    let _made = MAKING.acquire().await.expect("nobody closes it");
    let page = tokio::task::spawn_blocking(move || page(published, &order, rights.as_ref())).await;
    let page = page.map_err(|_stopped| Failure::new(Code::Internal, "internal", "Internal error"))?;
    // Only now, since the node may have slept while the page was made, or waited for.
    if !reading::may_read(session.cluster, &page.view) {
        return Err(reading::stale(session.cluster, "making the page took too long"));
    }
    Ok(page)
}

fn page(published: Arc<Published<State>>, order: &ListOrder, owner: Option<&Rights>) -> Listed {
    let view = &published.view;
    let ListOrder { filter, order, descending, cursor, limit } = order;
    let mut page = view.tokens(filter, *order, *descending, cursor.as_ref(), *limit);
    if let Some(owner) = owner {
        // What an earlier user of the name had is not the present one's.
        page.tokens.retain(|record| view.owns(owner, record));
    }
    Listed { view: published, tokens: page.tokens, next: page.next }
}

/// One token by id; to its user and to administrators.
pub(crate) async fn find(session: &Session<'_>, id: TokenId) -> Result<Found, Failure> {
    session.actor()?;
    refuse_foreign(session, &session.published())?;
    let published = reading::holding(session.cluster, |view| view.token(&id).is_some()).await?;
    let found = published.and_then(|published| {
        let record = Arc::clone(published.view.token(&id)?);
        Some((published, record))
    });
    let Some((published, record)) = found else {
        // Only an administrator learns that an id is unknown rather than another's.
        session.require_admin("read tokens of others").await?;
        return Err(unknown(&id));
    };
    let own = session.rights(&published.view).is_some_and(|rights| published.view.owns(&rights, &record));
    let itself = matches!(&session.caller, Caller::Token(bearer) if bearer.verified.claims.id == Some(id));
    if !own && !itself {
        session.require_admin("read tokens of others").await?;
    }
    Ok(Found::Recorded(published, record))
}

/// The caller's own token, recorded or not.
pub(crate) async fn me(session: &Session<'_>) -> Result<Found, Failure> {
    session.actor()?;
    let Caller::Token(bearer) = &session.caller else {
        return Err(Failure::bad_request(
            "no_token",
            "'me' stands for the token that the request is made with",
        )
        .with_detail("authenticate with a token, not with a password"));
    };
    let published = reading::current(session.cluster).await?;
    let id = bearer.verified.claims.id.filter(|_| {
        // Another issuer may have drawn the same id.
        session.rights(&published.view).is_some_and(|rights| !rights.foreign)
    });
    let record = id.and_then(|id| published.view.token(&id)).cloned();
    Ok(match record {
        Some(record) => Found::Recorded(published, record),
        None => Found::Presented(Box::new(bearer.verified.claims.clone())),
    })
}

/// Whoever another cluster vouches for sees no tokens of this one, administrator or not.
fn refuse_foreign(session: &Session<'_>, published: &Published<State>) -> Result<(), Failure> {
    if session.rights(&published.view).is_some_and(|rights| rights.foreign) {
        return Err(Failure::new(Code::Forbidden, "foreign_principal", "Forbidden")
            .with_detail("only principals of this cluster read its tokens"));
    }
    Ok(())
}

/// 404 for this token.
pub(crate) fn unknown(id: &TokenId) -> Failure {
    Failure::not_found("HTTP 404 Not Found").with_detail(format!(
        "token {id} is not known here: it was never recorded (a short-lived one), has expired, or was revoked"
    ))
}
