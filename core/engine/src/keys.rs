//! People and keys: who a bearer token is, and how keys are made and revoked.
//!
//! A key is 256 random bits; only its SHA-256 is kept (the key is no password that could be guessed, so nothing slower is
//! needed). Users and keys are records of the host's own objects, so that making and revoking them stands in the log.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rapport_model::json::record_to_json;
use rapport_model::record::{Change, Put, PutKind};
use rapport_model::{Actor, Digest, Name, Record, RecordId, Timestamp, Value};
use rapport_store::{RecordQuery, UnitOfWork};
use serde_json::{Value as Json, json};

use crate::engine::Engine;
use crate::entropy;
use crate::error::EngineError;
use crate::gate::{Act, Caller, Scopes};

/// Hashes whose keys were found, so that a request needs no query. What a key may do is read from its record every time.
#[derive(Debug, Default)]
pub(crate) struct KeyRing(Mutex<HashMap<Digest, RecordId>>);

/// The most hashes remembered.
const KEYS_REMEMBERED_MAX: usize = 10_000;
/// What every key begins with, so that a leaked one is recognised.
const KEY_PREFIX: &str = "rk_";

/// A key to be made.
#[derive(Debug, Clone, Default)]
pub struct NewKey {
    /// Its name, unique.
    pub name: String,
    /// `read`, `write`, `admin`.
    pub scopes: Vec<String>,
    /// The only objects that it may touch; none: all.
    pub objects: Option<Vec<String>>,
    /// When it stops working; none: never.
    pub expires_at: Option<Timestamp>,
    /// The name of the user whose roles bound it.
    pub user: Option<String>,
    /// Roles of its own, by which it answers questions; for a key without a user.
    pub roles: Vec<String>,
}

/// A key that was made. The secret is shown once and kept nowhere.
#[derive(Debug, Clone)]
pub struct CreatedKey {
    /// The id of its record.
    pub id: RecordId,
    /// The bearer token.
    pub secret: String,
}

/// A person to be added or changed.
#[derive(Debug, Clone, Default)]
pub struct NewUser {
    /// The name, unique.
    pub name: String,
    /// The e-mail address.
    pub email: Option<String>,
    /// `owner`, `admin`, `operator`, `viewer`, or roles of the business's own that tasks are given to.
    pub roles: Vec<String>,
}

fn name(text: &str) -> Name {
    Name::new(text).expect("the names of the host's own objects are valid")
}

fn set(field: &str, value: Value) -> (Name, Change) {
    (name(field), Change::Set(value))
}

fn json_value(json: Json) -> Value {
    Value::Json(std::sync::Arc::new(json))
}

fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Json(json) => serde_json::from_value((**json).clone()).unwrap_or_default(),
        _ => Vec::new(),
    }
}

fn check_roles(roles: &[String]) -> Result<(), EngineError> {
    let valid =
        |r: &String| !r.is_empty() && r.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    match roles.iter().find(|r| !valid(r)) {
        None => Ok(()),
        Some(bad) => {
            let message = format!("`{bad}` is no role: use lower-case letters, digits and `-`");
            Err(EngineError::invalid("/roles", message))
        }
    }
}

impl Engine {
    /// Who the bearer of `token` is.
    ///
    /// # Errors
    /// [`EngineError::Unauthenticated`] if the key is unknown, expired or revoked, or its user inactive.
    pub async fn authenticate(&self, token: &str) -> Result<Caller, EngineError> {
        let unknown = || EngineError::Unauthenticated("this key is not known".into());
        let hash = Digest::of(token.as_bytes());
        let object = name("api_key");
        let remembered = self.inner.keys.0.lock().unwrap_or_else(PoisonError::into_inner).get(&hash).copied();
        let record = match remembered {
            Some(id) => self.inner.store.record(&object, id).await?,
            None => self.find_one("api_key", "hash", Value::text(&hash.to_string())).await?,
        };
        let record = record.ok_or_else(unknown)?;
        if remembered.is_none() {
            let mut ring = self.inner.keys.0.lock().unwrap_or_else(PoisonError::into_inner);
            if ring.len() >= KEYS_REMEMBERED_MAX {
                ring.clear();
            }
            ring.insert(hash, record.id);
        }
        self.caller_of(&record).await
    }

    async fn caller_of(&self, record: &Record) -> Result<Caller, EngineError> {
        let refuse = |why: &str| Err(EngineError::Unauthenticated(format!("this key {why}")));
        if !record.get("revoked_at").is_null() {
            return refuse("was revoked");
        }
        if matches!(record.get("expires_at"), Value::Time(end) if *end <= self.inner.clock.now()) {
            return refuse("has expired");
        }
        let mut scopes = Scopes::parse(&texts(record.get("scopes"))).map_err(EngineError::Internal)?;
        let mut roles = texts(record.get("roles"));
        let mut actor = Actor::Key(record.id);
        if let Some(user) = record.get("user").as_ref_id() {
            let user = self.inner.store.record(&name("user"), user).await?;
            match user.filter(|u| u.get("active") == &Value::Bool(true)) {
                None => return refuse("belongs to a user who is not active"),
                Some(user) => {
                    roles = texts(user.get("roles"));
                    let allowed = roles.iter().fold(Scopes::default(), |all, role| all.or(Scopes::of_role(role)));
                    scopes = scopes.and(allowed);
                    actor = Actor::User(user.id);
                }
            }
        }
        let objects = texts(record.get("objects"));
        let bound = !record.get("objects").is_null();
        Ok(Caller {
            actor,
            name: record.get("name").as_text().unwrap_or_default().to_owned(),
            scopes,
            objects: bound.then(|| objects.iter().filter_map(|o| Name::new(o).ok()).collect()),
            roles,
        })
    }

    /// Makes the owner's key if there is none yet, and returns it then.
    ///
    /// # Errors
    /// [`EngineError`] if the database cannot be written.
    pub async fn ensure_owner_key(&self) -> Result<Option<String>, EngineError> {
        if self.find_one("api_key", "name", Value::text("owner")).await?.is_some() {
            return Ok(None);
        }
        let system = Caller::system();
        if self.find_one("user", "name", Value::text("owner")).await?.is_none() {
            self.put_user(&system, NewUser { name: "owner".into(), email: None, roles: vec!["owner".into()] }).await?;
        }
        let key = NewKey {
            name: "owner".into(),
            scopes: vec!["admin".into()],
            user: Some("owner".into()),
            ..NewKey::default()
        };
        Ok(Some(self.create_key(&system, key).await?.secret))
    }

    /// Makes a key. Its secret is in the answer and nowhere else.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::Invalid`] for unknown scopes, objects or users, [`EngineError::Unique`]
    /// for a name that is taken.
    pub async fn create_key(&self, caller: &Caller, key: NewKey) -> Result<CreatedKey, EngineError> {
        caller.everywhere(Act::Admin)?;
        if key.name.trim().is_empty() || key.name.len() > 100 {
            return Err(EngineError::invalid("/name", "give the key a name of 1 to 100 characters"));
        }
        if key.scopes.is_empty() {
            return Err(EngineError::invalid("/scopes", "name at least one of read, write, admin"));
        }
        Scopes::parse(&key.scopes).map_err(|e| EngineError::invalid("/scopes", e))?;
        let schema = self.inner.store.schema();
        for object in key.objects.iter().flatten() {
            crate::gate::visible_object(&schema, object)
                .map_err(|e| EngineError::invalid("/objects", e.to_string()))?;
        }
        check_roles(&key.roles)?;
        if key.user.is_some() && !key.roles.is_empty() {
            return Err(EngineError::invalid(
                "/roles",
                "a key with a user has the user's roles: give them to the user",
            ));
        }
        let mut bits = [0; 32];
        self.inner.entropy.fill(&mut bits);
        let secret = format!("{KEY_PREFIX}{}", URL_SAFE_NO_PAD.encode(bits));
        let mut changes = vec![
            set("name", Value::text(&key.name)),
            set("hash", Value::text(&Digest::of(secret.as_bytes()).to_string())),
            set("scopes", json_value(json!(key.scopes))),
        ];
        changes.extend(key.objects.map(|objects| set("objects", json_value(json!(objects)))));
        if !key.roles.is_empty() {
            changes.push(set("roles", json_value(json!(key.roles))));
        }
        changes.extend(key.expires_at.map(|end| set("expires_at", Value::Time(end))));
        if let Some(user) = key.user {
            let found = self.find_one("user", "name", Value::text(&user)).await?;
            let found = found.ok_or_else(|| EngineError::invalid("/user", format!("there is no user `{user}`")))?;
            changes.push(set("user", Value::Ref(found.id)));
        }
        let id = self.put_system(caller, "api_key", None, changes).await?;
        Ok(CreatedKey { id, secret })
    }

    /// The keys, without their hashes.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`].
    pub async fn list_keys(&self, caller: &Caller) -> Result<Vec<Json>, EngineError> {
        self.list_system(caller, "api_key").await
    }

    /// Revokes the key of this id or name, at once.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::NotFound`].
    pub async fn revoke_key(&self, caller: &Caller, key: &str) -> Result<(), EngineError> {
        caller.everywhere(Act::Admin)?;
        let found = match key.parse::<RecordId>() {
            Ok(id) => self.inner.store.record(&name("api_key"), id).await?,
            Err(_) => self.find_one("api_key", "name", Value::text(key)).await?,
        };
        let found = found.ok_or_else(|| EngineError::not_found(format!("key `{key}`")))?;
        let now = self.inner.clock.now();
        self.put_system(caller, "api_key", Some(found.id), vec![set("revoked_at", Value::Time(now))]).await?;
        Ok(())
    }

    /// Adds a person, or changes the one of that name.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::Invalid`] for a name or role that is none.
    pub async fn put_user(&self, caller: &Caller, user: NewUser) -> Result<Json, EngineError> {
        caller.everywhere(Act::Admin)?;
        if user.name.trim().is_empty() || user.name.len() > 100 {
            return Err(EngineError::invalid("/name", "give the user a name of 1 to 100 characters"));
        }
        check_roles(&user.roles)?;
        let found = self.find_one("user", "name", Value::text(&user.name)).await?;
        let mut changes = vec![set("name", Value::text(&user.name)), set("roles", json_value(json!(user.roles)))];
        changes.extend(user.email.map(|email| set("email", Value::text(&email))));
        let id = self.put_system(caller, "user", found.map(|f| f.id), changes).await?;
        let record = self.inner.store.record(&name("user"), id).await?;
        record.map(|r| record_to_json(&r)).ok_or_else(|| EngineError::not_found(format!("user `{}`", user.name)))
    }

    /// The people.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`].
    pub async fn list_users(&self, caller: &Caller) -> Result<Vec<Json>, EngineError> {
        self.list_system(caller, "user").await
    }

    async fn list_system(&self, caller: &Caller, object: &str) -> Result<Vec<Json>, EngineError> {
        caller.everywhere(Act::Admin)?;
        let query = RecordQuery::new(name(object), self.inner.clock.now(), rapport_model::limits::PAGE_ROWS_MAX);
        let rows = self.inner.store.find(&query).await?;
        let shown = rows.iter().map(|row| {
            let mut json = record_to_json(row);
            if let Some(map) = json.as_object_mut() {
                map.remove("hash");
            }
            json
        });
        Ok(shown.collect())
    }

    pub(crate) async fn find_one(
        &self,
        object: &str,
        field: &str,
        value: Value,
    ) -> Result<Option<std::sync::Arc<Record>>, EngineError> {
        Ok(self.inner.store.resolve(&name(object), &name(field), &[value]).await?.pop().flatten())
    }

    /// Writes a record of one of the host's own objects; these writes start no automations.
    pub(crate) async fn put_system(
        &self,
        caller: &Caller,
        object: &str,
        id: Option<RecordId>,
        changes: Vec<(Name, Change)>,
    ) -> Result<RecordId, EngineError> {
        let now = self.inner.clock.now();
        let mut unit = UnitOfWork::new(now, caller.actor.clone());
        let kind = if id.is_some() { PutKind::Update } else { PutKind::Create };
        let id = id.unwrap_or_else(|| entropy::record_id(&*self.inner.entropy, now));
        unit.puts.push(Put { object: name(object), id, kind, changes });
        unit.triggers = rapport_store::Triggers::Skip;
        self.inner.store.commit(unit).await?;
        Ok(id)
    }
}
