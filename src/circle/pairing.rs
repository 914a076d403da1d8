//! How two clusters pair by an invitation: what whoever accepts it says to whom, whom the cluster that made it lets in, and
//! which certificates are trusted then. No clock, no socket, no node, so that the simulator's clusters do it by the same
//! lines.

use std::future::Future;
use std::sync::Arc;

use circlet_authority::{ApproveMember, Approved, IssuerLimits, Member, State};
use circlet_token::{CertificateFacts, ServiceId, read_certificate};

use crate::invitation::{Introduction, Invitation, MalformedInvitation, Side, hash_of, is_proof, prove};
use crate::secret::Secret;

/// What whoever accepts an invitation says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guest {
    /// The invitation's id.
    pub id: [u8; 16],
    /// Its introduction.
    pub introduction: String,
    /// That it knows the secret.
    pub proof: String,
}

impl Guest {
    /// What somebody with an invitation says who introduces itself so.
    #[must_use]
    pub fn with(invitation: &Invitation, introduction: String) -> Self {
        let proof = prove(&invitation.secret, Side::Guest, &introduction);
        Self { id: invitation.id, introduction, proof }
    }
}

/// The hosts of the cluster that invites, as whoever accepts has them.
pub trait Hosts: Sync {
    /// Tells a host of a guest; its proof of the secret.
    fn pair(&self, host: &str, guest: &Guest) -> impl Future<Output = Result<String, Untold>> + Send;
}

/// Why whoever invites doesn't follow the guest, as far as that knows.
#[derive(Debug, thiserror::Error)]
pub enum Untold {
    /// A host was reached and refuses.
    #[error("{0}")]
    Refused(String),
    /// No host gave an answer that counts.
    #[error("{0}")]
    Unanswered(String),
}

/// Tells one host after the other of us, until one proves that it knows the secret: then its cluster follows us.
///
/// # Errors
/// One refuses, or none gives an answer that counts.
pub async fn tell<H: Hosts>(
    hosts: &H,
    names: &[String],
    invitation: &Invitation,
    introduction: &str,
) -> Result<(), Untold> {
    let guest = Guest::with(invitation, introduction.to_owned());
    let mut last = "it has no hosts".to_owned();
    for host in names {
        match hosts.pair(host, &guest).await {
            Ok(proof) if is_proof(&proof, &invitation.secret, Side::Host, introduction) => return Ok(()),
            Ok(_) => last = format!("{host} doesn't know the invitation"),
            Err(Untold::Unanswered(why)) => last = format!("{host}: {why}"),
            Err(Untold::Refused(why)) => return Err(Untold::Refused(format!("{host} {why}"))),
        }
    }
    Err(Untold::Unanswered(last))
}

/// Why nobody is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unheard {
    /// The proof is not one of the secret, over this introduction.
    #[error("the invitation is not known; make one with `circlet circle invite`")]
    Unproved,
    /// Whoever has the secret says what can't be read.
    #[error("{0}")]
    Malformed(#[from] MalformedInvitation),
}

/// Whom to approve that says this, where `secret` is that of the invitation which is named: whether that may be used is for
/// the log to say.
///
/// # Errors
/// Why it is not heard.
pub fn heard(secret: &Secret, guest: &Guest) -> Result<(Introduction, ApproveMember), Unheard> {
    if !is_proof(&guest.proof, secret, Side::Guest, &guest.introduction) {
        return Err(Unheard::Unproved);
    }
    let theirs = Introduction::parse(&guest.introduction)?;
    let approved = theirs.to_approve(&name_of(&theirs))?;
    Ok((theirs, ApproveMember { approved, invite: Some(hash_of(secret)), mutual: true }))
}

/// What a cluster is called unless somebody says: the unique part of its service id.
#[must_use]
pub fn name_of(introduction: &Introduction) -> String {
    introduction.service_id.rsplit('@').next().unwrap_or_default().to_owned()
}

/// Whether another member goes by the name that this one is to have. By its name a member is dismissed and limited: it has to
/// mean one.
#[must_use]
pub fn name_is_taken(view: &State, approved: &Approved) -> bool {
    let of_another = |member: &Arc<Member>| {
        member.approved.name == approved.name && !member.approved.issuer.same_service(&approved.issuer)
    };
    view.members_followed().any(of_another)
}

/// Why the certificates of an introduction can't be trusted.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadCertificate {
    /// The introduction is garbled.
    #[error("{0}")]
    Malformed(#[from] MalformedInvitation),
    /// One is none.
    #[error("a certificate can't be used: {0}")]
    Unusable(String),
    /// One names somebody else.
    #[error("a certificate speaks for another issuer")]
    OfAnother,
}

/// The certificates with which this issuer introduces itself.
///
/// # Errors
/// One of them is none, or not its own.
pub fn certificates(
    theirs: &Introduction,
    issuer: &ServiceId,
) -> Result<Vec<CertificateFacts>, BadCertificate> {
    let facts = theirs.certificates_der()?.into_iter().map(|der| {
        let facts = read_certificate(&der).map_err(|error| BadCertificate::Unusable(error.to_string()))?;
        let is_own = facts.issuer.as_ref().is_none_or(|named| named.same_service(issuer));
        is_own.then_some(facts).ok_or(BadCertificate::OfAnother)
    });
    facts.collect()
}

/// Trusts the certificates of a member that was approved as of `index`, as far as they are not trusted yet, while it is the
/// member that was approved: whoever repeats what it said once comes back to nothing after it was dismissed. As of which index
/// that is done; `None` if it is that member no more.
///
/// # Errors
/// What `trust` said: then some of them may be trusted.
pub async fn trust_all<F, E>(
    approved: &Approved,
    index: u64,
    certificates: Vec<CertificateFacts>,
    view: impl Fn() -> Arc<State>,
    mut trust: impl FnMut(CertificateFacts, IssuerLimits) -> F,
) -> Result<Option<u64>, E>
where
    F: Future<Output = Result<u64, E>>,
{
    let mut index = index;
    for facts in certificates {
        let view = view();
        if !view.is_approved(approved) {
            return Ok(None);
        }
        // An invitation may be older than the end of a key.
        if view.trusted(&facts.key_id).is_some() || view.has_ended(&approved.issuer, &facts.key_id) {
            continue;
        }
        // A further certificate loosens nothing.
        let limits = view.shared_limits(&approved.issuer).unwrap_or_default();
        index = trust(facts, limits).await?;
    }
    Ok(view().is_approved(approved).then_some(index))
}
