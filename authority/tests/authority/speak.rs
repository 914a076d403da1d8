//! The words of the scripts: one line in, one outcome out.

mod circle;
mod keys;
mod secrets;
mod watermarks;

use std::{collections::BTreeSet, error::Error};

use circlet_authority::{
    Action, Actor, AdmitByKey, AdmitNode, DeleteGroup, DeleteUser, DistrustIssuer, FeatureLevel, Generation,
    Group, IssueRequest, IssueToken, Judgement, MintJoinToken, NoteUse, Outcome, PasswordChange,
    PresentedToken, Purge, PutGroup, PutMode, PutUser, RefreshOverrides, RefreshToken, RevokeTarget,
    RevokeToken, SetConfig, TokenClass, TokenFilter, TokenOrder, UserStatus,
};
use circlet_token::{Audience, Claims, Lifetime, Scope, Subject};
use goldenscript::{ArgumentConsumer, Command};

use crate::{
    house::{
        Held, House, OURS, OURS_AS_ACCESS, START_MS, THEIRS, family_id, hash, kid, name, node, service,
        token_id,
    },
    tell::{describe, tell},
};

type Said = Result<String, Box<dyn Error>>;

fn flag(args: &mut ArgumentConsumer<'_>, key: &str) -> Result<Option<bool>, Box<dyn Error>> {
    Ok(args.take_key(key).map(str::parse).transpose()?)
}

fn number(args: &mut ArgumentConsumer<'_>, key: &str) -> Result<Option<u64>, Box<dyn Error>> {
    Ok(args.take_key(key).map(str::parse).transpose()?)
}

fn set(text: &str) -> BTreeSet<String> {
    text.split(',').filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

fn generation(args: &mut ArgumentConsumer<'_>) -> Generation {
    if args.take_key("by-the").is_some_and(|word| word == "guide") {
        Generation::Legacy
    } else {
        Generation::Access
    }
}

impl House {
    pub(crate) fn say(&mut self, command: &Command) -> Said {
        let mut args = command.consume_args();
        let args = &mut args;
        let said = match command.name.as_str() {
            "advance" => self.advance(args),
            "issue" => self.issue(args),
            "refresh" => self.refresh(args),
            "revoke" => self.revoke(args),
            "revoke-before" => self.revoke_before(args),
            "would-end" => self.would_end(args),
            "judge" => self.judge(args),
            "rights" => self.rights(args),
            "foreign" => self.foreign(args),
            "put-user" => self.put_user(args),
            "put-group" => self.put_group(args),
            "delete-user" => {
                let action = Action::DeleteUser(DeleteUser { name: name(next(args)?) });
                self.act(args, action)
            }
            "delete-group" => {
                let action = Action::DeleteGroup(DeleteGroup { name: next(args)?.to_owned() });
                self.act(args, action)
            }
            "set-config" => self.set_config(args),
            "config" => Ok(self.state.config().get(next(args)?)?),
            "changes" => Ok(self.changes()),
            "publish" | "activate" | "taint" | "confirm" | "cancel" | "retire" => {
                self.rotate(&command.name, args)
            }
            "trust" => self.trust(args),
            "limit" => self.limit(args),
            "distrust" => {
                let action = Action::DistrustIssuer(DistrustIssuer { kid: kid(next(args)?) });
                self.act(args, action)
            }
            "mint" => {
                let action = Action::MintJoinToken(MintJoinToken { hash: hash(next(args)?) });
                self.act(args, action)
            }
            "join" => self.join(args),
            "members" => self.members(args),
            "supports" => {
                let (node, level) = (next(args)?.parse()?, next(args)?.parse()?);
                self.act(args, Action::FeatureLevel(FeatureLevel::Support { node, level }))
            }
            "raise" => {
                let to = next(args)?.parse()?;
                self.act(args, Action::FeatureLevel(FeatureLevel::Raise { to }))
            }
            "level" => Ok(self.level()),
            "purge" => self.purge(args),
            "list" => self.list(args),
            "use" => self.note_use(args),
            "used" => Ok(self.used(next(args)?)),
            "announce" | "hold" | "reseal" | "switch" => self.turn_master_key(&command.name, args),
            "lost" => self.declare_lost(args),
            "replace-secrets" => self.replace_secrets(args),
            "replace-ca" => self.replace_ca(args),
            "secrets" => Ok(self.secrets()),
            "holds" => Ok(self.holds()),
            "keys" => Ok(self.keys()),
            other => Err(format!("no such word: {other}").into()),
        }?;
        args.reject_next()?;
        Ok(self.label(&said))
    }

    fn held(&self, label: &str) -> Result<&Held, Box<dyn Error>> {
        self.held.get(label).ok_or_else(|| format!("nobody holds {label}").into())
    }

    /// `with=TOKEN`, or `by=USER|operator|system|pair`; an administrator's password otherwise.
    fn actor(&self, args: &mut ArgumentConsumer<'_>) -> Result<Actor, Box<dyn Error>> {
        if let Some(label) = args.take_key("with") {
            return Ok(self.held(label)?.actor());
        }
        Ok(match args.take_key("by").unwrap_or("admin") {
            "operator" => Actor::Operator,
            "system" => Actor::System,
            "pair" => Actor::RefreshPair,
            user => Actor::User { name: name(user) },
        })
    }

    fn act(&mut self, args: &mut ArgumentConsumer<'_>, action: Action) -> Said {
        let actor = self.actor(args)?;
        let outcome = self.apply(actor, action);
        Ok(tell(&outcome))
    }

    fn advance(&mut self, args: &mut ArgumentConsumer<'_>) -> Said {
        let seconds: u64 = next(args)?.parse()?;
        self.now_ms += seconds * 1_000;
        Ok(format!("now +{}", self.now_secs() - START_MS / 1_000))
    }

    fn issue(&mut self, args: &mut ArgumentConsumer<'_>) -> Said {
        let (label, subject) = (next(args)?, next(args)?);
        let actor = self.actor(args)?;
        let subject = subject_of(subject)?;
        let owner = match args.take_key("owner") {
            Some(owner) => Some(name(owner)),
            None => self.state.rights(&actor).user,
        };
        let issue = IssueToken {
            id: token_id(args.take_key("id").unwrap_or(label)),
            generation: generation(args),
            subject,
            scope: Scope::parse(
                &args.take_key("scope").unwrap_or("applied-permissions/user").replace("<us>", OURS),
            )?,
            audience: args.take_key("audience").map_or_else(|| Ok(Audience::any()), Audience::parse)?,
            lifetime: Lifetime::from_secs(number(args, "life")?.unwrap_or(3_600)),
            force_revocable: flag(args, "force")?.unwrap_or(false),
            description: args.take_key("description").map(str::to_owned),
            reference: flag(args, "reference")?.unwrap_or(false).then(|| hash(&format!("reference {label}"))),
            family: flag(args, "refreshable")?.unwrap_or(false).then(|| family_id(label)),
            owner,
            idempotency: args.take_key("key").map(hash),
            request_digest: hash(args.take_key("request").unwrap_or(label)),
        };
        let plan = self.state.plan_issue(&IssueRequest::of(&issue));
        let action = Action::IssueToken(Box::new(issue.clone()));
        if plan.class == TokenClass::Plain {
            // What the edge does without the log.
            if let Err(refusal) = self.state.authorize(&actor, &action) {
                return Ok(format!("refused: {refusal}"));
            }
            let record = self.state.draft(&actor, &issue, self.now_secs(), self.state.index())?;
            self.hold(label, &record);
            return Ok(format!("plain {}", describe(&record)));
        }
        let outcome = self.apply(actor, action);
        if let Outcome::Issued(record) = &outcome {
            self.hold(label, record);
        }
        Ok(tell(&outcome))
    }

    fn refresh(&mut self, args: &mut ArgumentConsumer<'_>) -> Said {
        let (old, label) = (next(args)?, next(args)?);
        let held = self.held(old)?.clone();
        let (family, sequence) = held.record.and_then(|record| record.family).ok_or("not refreshable")?;
        let access = match args.take_key("access") {
            Some("none") => None,
            Some(other) => self.held(other)?.verified.claims.id,
            None => held.verified.claims.id,
        };
        let sequence = match number(args, "sequence")? {
            Some(other) => u32::try_from(other)?,
            None => sequence,
        };
        let actor = match args.take_key("as") {
            Some("token") => self.held(old)?.actor(),
            _ => match self.actor(args)? {
                Actor::User { name } if name.as_str() == "admin" => Actor::RefreshPair,
                other => other,
            },
        };
        let actor =
            if flag(args, "admin")?.unwrap_or(false) { Actor::User { name: name("admin") } } else { actor };
        let overrides = RefreshOverrides {
            lifetime: number(args, "life")?.map(Lifetime::from_secs),
            scope: args.take_key("scope").map(Scope::parse).transpose()?,
            audience: args.take_key("audience").map(Audience::parse).transpose()?,
        };
        let request = args.take_key("request").map_or_else(|| format!("{old} {overrides:?}"), str::to_owned);
        let refresh = RefreshToken {
            family,
            sequence,
            access,
            request_digest: hash(&request),
            successor_id: token_id(args.take_key("id").unwrap_or(label)),
            reference: flag(args, "reference")?.unwrap_or(false).then(|| hash(&format!("reference {label}"))),
            overrides,
        };
        let outcome = self.apply(actor, Action::RefreshToken(Box::new(refresh)));
        if let Outcome::Refreshed { record, replay: false, .. } = &outcome {
            self.hold(label, record);
        }
        if let Outcome::Refreshed { record, replay: true, .. } = &outcome
            && !self.held.values().any(|held| held.verified.claims.id == Some(record.id))
        {
            self.hold(label, record);
        }
        Ok(tell(&outcome))
    }

    fn revoke(&mut self, args: &mut ArgumentConsumer<'_>) -> Said {
        let label = next(args)?;
        let target = match args.take_key("how").unwrap_or("id") {
            "value" => {
                let Held { verified, .. } = self.held(label)?;
                let claims = &verified.claims;
                RevokeTarget::Value(Box::new(PresentedToken {
                    id: claims.id.unwrap_or(token_id(label)),
                    subject: claims.subject.clone(),
                    key: verified.key.clone(),
                    issued_at: claims.issued_at,
                    expires_at: claims.expires_at,
                    revocable: claims.revocable,
                    index: claims.index,
                }))
            }
            "refresh" => {
                let record = self.held(label)?.record.clone();
                let (family, sequence) = record.and_then(|record| record.family).ok_or("not refreshable")?;
                RevokeTarget::Family { family, sequence }
            }
            _ => RevokeTarget::Id(token_id(label)),
        };
        let cascade = flag(args, "cascade")?.unwrap_or(false);
        self.act(args, Action::RevokeToken(Box::new(RevokeToken { target, cascade })))
    }

    fn judge(&mut self, args: &mut ArgumentConsumer<'_>) -> Said {
        let held = self.held(next(args)?)?;
        if held.verified.claims.expires_at.is_some_and(|at| at <= self.now_secs()) {
            return Ok("expired".to_owned());
        }
        Ok(match self.state.judge(&held.verified, self.now_secs()) {
            Judgement::Good { needs_freshness: true, .. } => "good, if fresh".to_owned(),
            Judgement::Good { .. } => "good".to_owned(),
            Judgement::Revoked(why) => format!("revoked: {why}"),
            Judgement::Distrusted { kid } => format!("key {kid} is not trusted"),
        })
    }

    fn rights(&mut self, args: &mut ArgumentConsumer<'_>) -> Said {
        let rights = self.state.rights_of(&self.held(next(args)?)?.verified);
        let groups: Vec<&str> = rights.groups.iter().map(String::as_str).collect();
        let kind = match (rights.foreign, rights.transient) {
            (true, _) => "foreign",
            (false, true) => "transient",
            (false, false) => "user",
        };
        let admin = if rights.admin { " admin" } else { "" };
        Ok(format!("{kind} {}{admin} groups [{}]", rights.principal.name, groups.join(" ")))
    }

    fn foreign(&mut self, args: &mut ArgumentConsumer<'_>) -> Said {
        let (label, user) = (next(args)?, next(args)?);
        let from = match args.take_key("from") {
            Some("us") => OURS,
            Some("access") => OURS_AS_ACCESS,
            _ => THEIRS,
        };
        let key = kid(args.take_key("key").unwrap_or("their-key"));
        let life = number(args, "life")?.unwrap_or(3_600);
        let issued_at = self.now_secs();
        let claims = Claims {
            revocable: flag(args, "revocable")?,
            subject: Subject::user(&service(from), &name(user)),
            scope: Scope::parse(
                &args.take_key("scope").unwrap_or("applied-permissions/user").replace("<us>", OURS),
            )?,
            audience: args.take_key("audience").map_or_else(|| Ok(Audience::any()), Audience::read)?,
            issuer: service(from),
            expires_at: Lifetime::from_secs(life).expires_at(issued_at),
            issued_at,
            not_before: None,
            id: Some(token_id(label)),
            index: None,
        };
        self.hold_foreign(label, claims, key);
        Ok("held".to_owned())
    }

    fn put_user(&mut self, args: &mut ArgumentConsumer<'_>) -> Said {
        let mut put = PutUser::new(name(next(args)?), PutMode::CreateOrUpdate);
        put.mode = match args.take_key("mode") {
            Some("create") => PutMode::Create,
            Some("update") => PutMode::Update,
            _ => PutMode::CreateOrUpdate,
        };
        put.email = args.take_key("email").map(str::to_owned);
        put.admin = flag(args, "admin")?;
        put.groups = args.take_key("groups").map(set);
        put.status = args
            .take_key("status")
            .map(|text| UserStatus::parse(text).ok_or("no such status"))
            .transpose()?;
        put.realm = args.take_key("realm").map(str::to_owned);
        put.profile_updatable = flag(args, "profile-updatable")?;
        if let Some(password) = args.take_key("password") {
            put.password = PasswordChange::Set(format!("hash of {password}"));
        }
        self.act(args, Action::PutUser(Box::new(put)))
    }

    fn put_group(&mut self, args: &mut ArgumentConsumer<'_>) -> Said {
        let mut group = Group::new(next(args)?);
        group.admin_privileges = flag(args, "admin")?.unwrap_or(false);
        group.auto_join = flag(args, "auto-join")?.unwrap_or(false);
        let members = args.take_key("members").map(|text| set(text).iter().map(|text| name(text)).collect());
        self.act(args, Action::PutGroup(Box::new(PutGroup { group, mode: PutMode::CreateOrUpdate, members })))
    }

    fn set_config(&mut self, args: &mut ArgumentConsumer<'_>) -> Said {
        let actor = self.actor(args)?;
        let if_version = number(args, "if-version")?;
        let mut config = self.state.config().as_ref().clone();
        while let Some((key, value)) = args.next_key() {
            if let Err(error) = config.set(key, value) {
                return Ok(format!("error: {error}"));
            }
        }
        let outcome = self.apply(actor, Action::SetConfig(Box::new(SetConfig { config, if_version })));
        Ok(tell(&outcome))
    }

    fn join(&mut self, args: &mut ArgumentConsumer<'_>) -> Said {
        let record = node(next(args)?, 0);
        let public_key = args.take_key("key").map_or(record.public_key, hash);
        let supports = args.take_key("supports").map_or(Ok(1), str::parse)?;
        let (name, peer_address, client_url) = (record.name, record.peer_address, record.client_url);
        let action = if let Some(secret) = args.next_pos() {
            let join_token = hash(secret);
            let admit =
                AdmitNode { join_token, name, peer_address, client_url, public_key, votes: true, supports };
            Action::AdmitNode(Box::new(admit))
        } else {
            let admit = AdmitByKey { name, peer_address, client_url, public_key, votes: true, supports };
            Action::AdmitByKey(Box::new(admit))
        };
        let outcome = self.apply(Actor::System, action);
        Ok(tell(&outcome))
    }

    /// The feature level, and what each node supports.
    fn level(&self) -> String {
        let nodes = self.state.nodes().map(|node| format!("{}:{}", node.record.name, node.supports));
        format!("{} of {}", self.state.feature_level(), nodes.collect::<Vec<_>>().join(" "))
    }

    /// `members n1:1 n2:5 voters=1,5`
    fn members(&mut self, args: &mut ArgumentConsumer<'_>) -> Said {
        let voters = args.take_key("voters").unwrap_or_default();
        let voters = set(voters).iter().map(|id| id.parse()).collect::<Result<BTreeSet<u64>, _>>()?;
        let mut nodes = std::collections::BTreeMap::new();
        while let Some(member) = args.next_pos() {
            let (label, id) = member.split_once(':').ok_or("members NAME:ID ...")?;
            nodes.insert(id.parse()?, node(label, id.parse()?));
        }
        self.state.set_members(self.state.index() + 1, &nodes, &voters);
        let nodes =
            self.state.nodes().map(|node| format!("{}:{} {:?}", node.record.name, node.record.id, node.role));
        Ok(nodes.collect::<Vec<_>>().join(", "))
    }

    fn purge(&mut self, args: &mut ArgumentConsumer<'_>) -> Said {
        let purge = match next(args)? {
            "mark" => Purge::Mark,
            _ => Purge::Remove {
                mark: number(args, "mark")?.ok_or("purge remove mark=INDEX elapsed=SECONDS")?,
                elapsed_ms: number(args, "elapsed")?.unwrap_or(0) * 1_000,
            },
        };
        let actor = args.take_key("by").map_or(Actor::System, |user| Actor::User { name: name(user) });
        let outcome = self.apply(actor, Action::Purge(purge));
        Ok(tell(&outcome))
    }

    fn list(&mut self, args: &mut ArgumentConsumer<'_>) -> Said {
        let filter = TokenFilter {
            user: args.take_key("user").map(name),
            id: args.take_key("id").map(token_id),
            parent: args.take_key("parent").map(token_id),
            description: args.take_key("description").map(str::to_owned),
            refreshable: flag(args, "refreshable")?,
            now_secs: self.now_secs(),
        };
        let order = match args.take_key("order") {
            Some("id") => TokenOrder::Id,
            Some("owner") => TokenOrder::Owner,
            Some("subject") => TokenOrder::Subject,
            Some("expiry") => TokenOrder::Expiry,
            _ => TokenOrder::Created,
        };
        let descending = flag(args, "descending")?.unwrap_or(false);
        let limit = usize::try_from(number(args, "limit")?.unwrap_or(100))?;
        let (mut pages, mut cursor) = (Vec::new(), None);
        loop {
            let page = self.state.tokens(&filter, order, descending, cursor.as_ref(), limit);
            let ids: Vec<String> = page.tokens.iter().map(|record| record.id.to_string()).collect();
            pages.push(ids.join(" "));
            cursor = page.next;
            if cursor.is_none() {
                return Ok(pages.join(" | "));
            }
        }
    }

    fn note_use(&mut self, args: &mut ArgumentConsumer<'_>) -> Said {
        let (id, at) = (token_id(next(args)?), number(args, "at")?.unwrap_or(0));
        let actor = args.take_key("by").map_or(Actor::System, |user| Actor::User { name: name(user) });
        let uses = vec![(id, START_MS / 1_000 + at)];
        Ok(tell(&self.apply(actor, Action::NoteUse(NoteUse { uses }))))
    }

    fn used(&self, label: &str) -> String {
        let at = self.state.last_used(&token_id(label));
        at.map_or_else(|| "never".to_owned(), |at| format!("at +{}", at - START_MS / 1_000))
    }

    fn changes(&self) -> String {
        let change = |change: &std::sync::Arc<circlet_authority::ConfigChange>| {
            let settings =
                change.settings().map(|(setting, from, to)| format!("{} {from} to {to}", setting.name));
            let settings: Vec<String> = settings.collect();
            format!("{} by {}: {}", change.version, change.by, settings.join(", "))
        };
        self.state.config_changes().map(change).collect::<Vec<_>>().join("; ")
    }

    fn holds(&self) -> String {
        let state = &self.state;
        let marks = match state.watermarks().count() {
            0 => String::new(),
            count => format!(", {count} watermarks"),
        };
        format!("{} recorded, {} revoked{marks}", state.token_count(), state.revoked_count())
    }
}

/// `alice`, `their:alice`, `access:alice` (ours, under the other kind), `service:pipeline`.
fn subject_of(text: &str) -> Result<Subject, Box<dyn Error>> {
    Ok(match text.split_once(':') {
        Some(("service", rest)) => Subject::parse(&format!("{OURS}/{rest}"))?,
        Some(("their", rest)) => Subject::user(&service(THEIRS), &name(rest)),
        Some(("access", rest)) => Subject::user(&service(OURS_AS_ACCESS), &name(rest)),
        _ => Subject::user(&service(OURS), &name(text)),
    })
}

fn next<'a>(args: &mut ArgumentConsumer<'a>) -> Result<&'a str, Box<dyn Error>> {
    args.next_pos().ok_or_else(|| "a word is missing".into())
}
