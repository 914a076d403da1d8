//! The administrator, whose token ends with the key that signed it, and who then gets another one with the password.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use circlet_sim::house;
use circlet_token::{KeyId, Parsed, ServiceId, Subject};
use reqwest::Method;
use serde_json::{Value, json};

use super::held::number;
use super::{TOKENS, Workload};
use crate::client::{Answer, Shown};

pub(super) const NAME: &str = "admin";

/// A token lives longer than any run.
const LIFETIME_SECS: u64 = 14_400;

/// Between two attempts to get a token.
const RETRY: Duration = Duration::from_millis(200);

/// What the administrator shows.
#[derive(Debug)]
pub(crate) struct Pass {
    pub(crate) text: String,
    pub(crate) kid: KeyId,
    pub(crate) index: u64,
    pub(crate) issued_at: u64,
    pub(crate) subject: u64,
}

impl Pass {
    fn of(text: &str) -> Option<Self> {
        let parsed = Parsed::parse(text).ok()?;
        let kid = KeyId::parse(parsed.kid()?).ok()?;
        let claims = parsed.claims();
        let subject = number(claims.subject.as_str());
        Some(Self { text: text.to_owned(), kid, index: claims.index?, issued_at: claims.issued_at, subject })
    }
}

/// The administrator of the cluster.
pub(crate) struct Administrator {
    /// What the cluster is called.
    pub(crate) service: ServiceId,
    pass: Mutex<Arc<Pass>>,
    password: String,
    /// The lab lets nodes join with what is in here.
    file: PathBuf,
    is_out: AtomicBool,
}

impl Administrator {
    /// Whoever `scripts/lab` has made in this folder.
    pub(crate) fn of_lab(folder: &Path) -> Result<Self, String> {
        let file = folder.join("admin-token");
        let read = |file: &Path| {
            std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))
        };
        let text = read(&file)?;
        let pass = Pass::of(text.trim()).ok_or("the administrator's token can't be read")?;
        let service = Parsed::parse(text.trim()).map(|parsed| parsed.into_claims().issuer);
        let made: Value =
            serde_json::from_str(&read(&folder.join("admin.json"))?).map_err(|error| error.to_string())?;
        let password = made["admin"]["password"].as_str().ok_or("the administrator has no password")?;
        Ok(Self {
            service: service.map_err(|error| error.to_string())?,
            pass: Mutex::new(Arc::new(pass)),
            password: password.to_owned(),
            file,
            is_out: AtomicBool::new(false),
        })
    }

    fn take(&self, pass: Pass) {
        // Whoever reads the file sees the one or the other.
        let fresh = self.file.with_extension("new");
        let written = std::fs::write(&fresh, &pass.text).and_then(|()| std::fs::rename(&fresh, &self.file));
        drop(written);
        *self.pass.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(pass);
    }
}

impl Workload {
    /// What the cluster is called.
    pub(crate) fn service(&self) -> &ServiceId {
        &self.administrator.service
    }

    /// Asks some node as the administrator, with the password.
    pub(crate) async fn ask_as_administrator(&self, path: &str, body: &Value) -> Option<Answer> {
        let node = self.dice.pick(&self.lab.running()).cloned()?;
        let shown = Shown::Password(NAME, &self.administrator.password);
        self.client.send(Method::POST, format!("{}{path}", node.url), shown, Some(body)).await
    }

    /// What a user is called in tokens; what names that begin so have in common.
    pub(super) fn name_of(&self, user: &str) -> String {
        Subject::user(&self.administrator.service, &house::name(user)).to_string()
    }

    /// What counts as the subject of a user.
    pub(super) fn subject_of(&self, user: &str) -> u64 {
        number(&self.name_of(user))
    }

    /// What the administrator shows at present.
    pub(crate) fn admin(&self) -> Arc<Pass> {
        Arc::clone(&self.administrator.pass.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What the administrator logs in with.
    pub(super) fn admin_password(&self) -> &str {
        &self.administrator.password
    }

    /// Whether somebody tried to end this pass.
    pub(crate) fn may_be_out(&self, pass: &Pass) -> bool {
        self.touched.ends_key(&pass.kid, pass.index) || self.touched.ends_second(pass.subject, pass.issued_at)
    }

    /// Whether it is a pass that was refused since somebody tried to end it. Then another one is on its way.
    pub(super) fn explains_refusal(&self, shown: Shown<'_>) -> bool {
        let Shown::Token(text) = shown else { return false };
        let is_out = Pass::of(text).is_some_and(|pass| self.may_be_out(&pass));
        if is_out {
            self.admin_is_out();
        }
        is_out
    }

    /// The administrator was refused, or will be: another token is needed if somebody tried to end the present one.
    pub(super) fn admin_is_out(&self) {
        self.administrator.is_out.store(true, Ordering::SeqCst);
    }

    /// Gets another token for the administrator whenever the present one has been ended; for ever.
    pub(crate) async fn keep_admin(self: Arc<Self>) {
        loop {
            tokio::time::sleep(RETRY).await;
            if self.administrator.is_out.swap(false, Ordering::SeqCst) && self.may_be_out(&self.admin()) {
                while !self.renew_admin().await {
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    /// Gets a token for the administrator; whether some node gave one.
    pub(crate) async fn renew_admin(&self) -> bool {
        let Some(node) = self.dice.pick(&self.lab.running()).cloned() else { return false };
        let order = json!({
            "username": NAME, "scope": "applied-permissions/admin", "expires_in": LIFETIME_SECS,
        });
        let shown = Shown::Password(NAME, &self.administrator.password);
        let url = format!("{}{TOKENS}", node.url);
        let answer = self.client.send(Method::POST, url, shown, Some(&order)).await;
        let given = answer.filter(|answer| answer.status == 200);
        let given = given.and_then(|answer| answer.text("access_token").and_then(Pass::of));
        let is_given = given.is_some();
        if let Some(pass) = given {
            self.administrator.take(pass);
            self.judge.count("administrator's token renewed");
        }
        is_given
    }
}
