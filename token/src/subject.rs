//! Whom a token speaks for.
use crate::limits::SUBJECT_BYTES_MAX;
use crate::malformed::Malformed;
use crate::service_id::ServiceId;
use crate::text::serde_as_text;
use crate::user_name::UserName;
use std::sync::Arc;

const USERS: &str = "users/";

/// The claim `sub`: `<service-id>/users/<name>` for a user, `<service-id>/<anything>` or the bare service id for what is
/// not one. A name may contain `/`. A copy shares the text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject {
    text: Arc<str>,
    service: ServiceId,
}

impl Subject {
    /// The subject of a user of `service`.
    #[must_use]
    pub fn user(service: &ServiceId, name: &UserName) -> Self {
        Self { text: format!("{service}/{USERS}{name}").into(), service: service.clone() }
    }

    /// Reads a subject. The part after the service id may hold anything but control characters, because foreign
    /// tokens are read with this as well.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let malformed =
            || Malformed::new("subject", text, "<service-id>/users/<name> or <service-id>/<name>");
        let (service, rest) =
            text.split_once('/').map_or((text, None), |(service, rest)| (service, Some(rest)));
        let service = ServiceId::parse(service).map_err(|_| malformed())?;
        let nameless = matches!(rest, Some("" | USERS));
        if nameless || text.len() > SUBJECT_BYTES_MAX || text.contains(char::is_control) {
            return Err(malformed());
        }
        Ok(Self { text: text.into(), service })
    }

    /// The service that the subject belongs to.
    #[must_use]
    pub fn service(&self) -> &ServiceId {
        &self.service
    }

    /// The user's name, if the subject is a user: all that follows `/users/`.
    #[must_use]
    pub fn user_name(&self) -> Option<&str> {
        self.name().strip_prefix(USERS)
    }

    /// All that follows the service id and its `/`; empty for a bare service id.
    #[must_use]
    pub fn name(&self) -> &str {
        self.text.split_once('/').map_or("", |(_, rest)| rest)
    }

    /// The whole subject.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

serde_as_text!(Subject, Subject::parse);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_whatever_the_name_contains() {
        let service = ServiceId::parse("jfrt@01h2").unwrap();
        for name in ["alice", "a/b", "users/x", "é 🦀"] {
            let subject = Subject::user(&service, &UserName::parse(name).unwrap());
            assert_eq!(Subject::parse(subject.as_str()).unwrap(), subject);
            assert_eq!(subject.user_name(), Some(name));
            assert_eq!(subject.service(), &service);
        }
    }

    #[test]
    fn what_is_not_a_user_has_no_user_name() {
        for (text, name) in
            [("jfrt@01h2", ""), ("jfrt@01h2/pipeline", "pipeline"), ("jfrt@01h2/user/x", "user/x")]
        {
            let subject = Subject::parse(text).unwrap();
            assert_eq!((subject.user_name(), subject.name()), (None, name));
        }
    }

    #[test]
    fn a_subject_needs_a_service_id_and_a_name_after_its_slash() {
        for text in [
            "",
            "alice",
            "/users/alice",
            "jfrt@01h2/",
            "jfrt@01h2/users/",
            "github/mapping",
            "jfrt@01h2/users/a\nb",
        ] {
            assert!(Subject::parse(text).is_err(), "{text:?}");
        }
        assert!(Subject::parse(&format!("jfrt@01h2/{}", "x".repeat(SUBJECT_BYTES_MAX))).is_err());
    }
}
