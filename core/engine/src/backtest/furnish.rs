//! Furnishes the scratch workspace of a backtest: the records as they were, and the automations as they were live.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use rapport_model::automation::Declaration;
use rapport_model::name::RecordEventKind;
use rapport_model::schema::{Origin, SchemaChange};
use rapport_model::standard::KV_OBJECT;
use rapport_model::{
    Actor, AutomationId, Digest, Event, EventType, FieldKind, Name, ObjectDef, Record, Schema, Value, file,
};
use rapport_store::{Direction, EventQuery, Snapshot, UnitOfWork};

use super::Progress;
use super::recording::{Before, ChangeKind, PAGE, Recording, change_of, key};
use crate::engine::{Engine, Inner};
use crate::error::EngineError;
use crate::registry::{AutomationKind, Version};
use crate::schema::changes_of;
use crate::settings::elsewhere;

/// What the log says of which version is live: an activation names a digest, a deactivation none.
pub(crate) fn switch_of(event: &Event) -> Option<(AutomationId, Option<Digest>)> {
    let rapport_model::event::Body::Data(data) = event.body.as_ref()? else { return None };
    let text = |name: &str| data.iter().find(|(n, _)| n.as_str() == name).and_then(|(_, value)| value.as_text());
    let id = AutomationId::new(text("automation")?).ok()?;
    match event.kind.as_str() {
        "automation.activated" => Some((id, Some(text("digest")?.parse().ok()?))),
        "automation.deactivated" => Some((id, None)),
        _ => None,
    }
}

/// The versions that were live right before `first`.
pub(crate) async fn live_before(
    snapshot: &mut Snapshot,
    first: i64,
) -> Result<BTreeMap<AutomationId, Digest>, EngineError> {
    let mut live = BTreeMap::new();
    let kind = Some("automation.*".to_owned());
    let mut query = EventQuery { after: Some(0), before: Some(first), kind, limit: PAGE, ..EventQuery::default() };
    loop {
        let page = snapshot.events(&query).await?;
        for (id, digest) in page.iter().filter_map(|event| switch_of(event)) {
            match digest {
                Some(digest) => drop(live.insert(id, digest)),
                None => drop(live.remove(&id)),
            }
        }
        query.after = page.last().map(|event| event.position);
        if page.len() < PAGE as usize {
            return Ok(live);
        }
    }
}

/// Adds to `scratch` what `schema` declares beyond what every workspace has.
pub(crate) async fn declare(scratch: &Inner, schema: &Schema) -> Result<(), EngineError> {
    let changes = changes_of(&scratch.store.schema(), &declared(schema));
    add(scratch, changes).await
}

/// What `schema` declares beyond what every workspace has.
pub(crate) fn declared(schema: &Schema) -> Declaration {
    let own = |object: &&Arc<ObjectDef>| object.origin != Origin::System;
    Declaration {
        objects: in_order(schema.sorted_objects().iter().filter(own)),
        event_types: schema.event_types.values().map(|kind| (**kind).clone()).collect(),
        ..Declaration::default()
    }
}

/// Adds `changes` to the registry of `scratch`.
pub(crate) async fn add(scratch: &Inner, changes: Vec<SchemaChange>) -> Result<(), EngineError> {
    if changes.is_empty() {
        return Ok(());
    }
    let mut unit = UnitOfWork::new(scratch.clock.now(), Actor::System);
    unit.schema = changes;
    scratch.store.commit(unit).await?;
    Ok(())
}

/// Objects in an order in which each refers only to itself and those before it, as far as there is one.
fn in_order<'a>(objects: impl Iterator<Item = &'a Arc<ObjectDef>>) -> Vec<ObjectDef> {
    let mut waiting: Vec<&Arc<ObjectDef>> = objects.collect();
    let mut ordered: Vec<ObjectDef> = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let ready = |object: &&Arc<ObjectDef>| {
            targets(object).all(|target| *target == object.name || ordered.iter().any(|known| known.name == *target))
        };
        let place = waiting.iter().position(ready).unwrap_or(0);
        let next = (**waiting.remove(place)).clone();
        ordered.push(next);
    }
    ordered
}

fn targets(object: &ObjectDef) -> impl Iterator<Item = &Name> {
    object.fields.iter().filter_map(|field| match &field.kind {
        FieldKind::Reference { object } => Some(object),
        _ => None,
    })
}

/// The objects that these versions can reach: what they declare and what starts them, and whatever those refer to.
pub(crate) fn reach<'a>(
    versions: impl Iterator<Item = &'a Version>,
    schema: &Schema,
    subjects: &HashMap<EventType, HashSet<Name>>,
) -> HashSet<Name> {
    use RecordEventKind::{Created, Deleted, Updated};
    let mut open: Vec<Name> = Vec::new();
    let mut plugins = false;
    for version in versions {
        plugins |= version.kind == AutomationKind::Plugin;
        let declaration = &version.declaration;
        let rights = declaration.uses.iter().map(ToString::to_string);
        let named = rights.filter_map(|right| Name::new(right.split([':', '.']).next()?).ok());
        open.extend(named);
        // Messages are made from templates.
        if declaration.uses.iter().any(|right| right.to_string().starts_with("message:")) {
            open.extend(Name::new("template"));
        }
        open.extend(declaration.fields.iter().map(|added| added.object.clone()));
        open.extend(declaration.formulas.iter().map(|formula| formula.object.clone()));
        open.extend(declaration.rollups.iter().flat_map(|rollup| [rollup.on.clone(), rollup.object.clone()]));
        open.extend(declaration.schedules.iter().filter_map(|def| Some(def.each.as_ref()?.object.clone())));
        for trigger in &declaration.triggers {
            let starts = |object: &Name| {
                [Created, Updated, Deleted]
                    .iter()
                    .any(|what| trigger.matches_type(&EventType::of_record(object, *what)))
            };
            open.extend(schema.objects.keys().filter(|object| starts(object)).cloned());
            open.extend(
                subjects.iter().filter(|(kind, _)| trigger.matches_type(kind)).flat_map(|(_, all)| all.clone()),
            );
        }
    }
    // What plugins keep for themselves, as far as any is played.
    let keeps = plugins && schema.object(KV_OBJECT).is_some();
    let mut reached: HashSet<Name> = keeps.then(|| Name::new(KV_OBJECT).ok()).flatten().into_iter().collect();
    reached.extend(closed(open, schema));
    reached
}

/// These objects and all that they refer to, and so on.
pub(crate) fn closed(mut open: Vec<Name>, schema: &Schema) -> HashSet<Name> {
    let mut reached = HashSet::new();
    while let Some(name) = open.pop() {
        let files = name.as_str() == file::OBJECT;
        let object = schema.object(name.as_str()).filter(|object| files || object.origin != Origin::System);
        let Some(object) = object.filter(|_| !reached.contains(&name)) else { continue };
        open.extend(targets(object).cloned());
        // What follows from its children is made anew from them.
        open.extend(object.fields.iter().filter_map(|field| field.rollup.as_ref()).map(|rollup| rollup.object.clone()));
        reached.insert(name);
    }
    reached
}

/// Puts the records of the objects `reached` into `scratch`, as they were before the recording.
pub(crate) async fn records(
    scratch: &Engine,
    snapshot: &mut Snapshot,
    recording: &Recording,
    reached: &HashSet<Name>,
    progress: &Progress,
) -> Result<(), EngineError> {
    let schema = snapshot.schema().clone();
    let mut all = Vec::new();
    for object in reached.iter().filter_map(|name| schema.object(name.as_str())) {
        let mut after = None;
        loop {
            let page = snapshot.records(object, after, PAGE).await?;
            after = page.last().map(|record| record.id);
            for record in &page {
                match recording.before.get(&key(&object.name, record.id)) {
                    None => all.push(record.clone()),
                    Some(Before::Absent) => {}
                    Some(Before::Present { fields, updates, .. }) => {
                        let mut then = (**record).clone();
                        put(&mut then, fields);
                        then.version -= updates;
                        then.updated_at = last_change(snapshot, recording, &then).await?.unwrap_or(then.created_at);
                        all.push(Arc::new(then));
                    }
                }
            }
            progress.go_on()?;
            if page.len() < PAGE as usize {
                break;
            }
        }
    }
    for ((name, id), before) in &recording.before {
        let Before::Present { fields, deleted: true, .. } = before else { continue };
        let Some(object) = schema.object(name.as_str()).filter(|_| reached.contains(name)) else { continue };
        all.push(Arc::new(restored(snapshot, recording, (object, *id), fields).await?));
    }
    // The scratch workspace has its objects from the same registry, so fields stand in the same order.
    let schema = scratch.inner.store.schema();
    let adopted = all.into_iter().filter_map(|record| adopt(&schema, &record));
    Ok(scratch.inner.store.furnish(adopted.collect()).await?)
}

fn put(record: &mut Record, fields: &HashMap<Name, Value>) {
    for (name, value) in fields {
        if let Some(place) = record.object.position(name.as_str()) {
            record.set_at(place, value.clone());
        }
    }
}

/// The same record by the registry of another workspace.
pub(crate) fn adopt(schema: &Schema, record: &Record) -> Option<Arc<Record>> {
    let object = schema.object(record.object.name.as_str())?;
    let values = object.fields.iter().map(|field| record.get(field.name.as_str()).clone()).collect();
    Some(Arc::new(Record { object: object.clone(), values, ..record.clone() }))
}

/// When a record was changed last before the recording.
async fn last_change(
    snapshot: &mut Snapshot,
    recording: &Recording,
    record: &Record,
) -> Result<Option<rapport_model::Timestamp>, EngineError> {
    let mut query = EventQuery {
        subject: Some(record.id),
        before: Some(recording.first),
        direction: Direction::Descending,
        limit: 8,
        ..EventQuery::default()
    };
    loop {
        let events = snapshot.events(&query).await?;
        let found = events.iter().find(|event| change_of(event).is_some());
        if found.is_some() || events.len() < query.limit as usize {
            return Ok(found.map(|event| event.time));
        }
        (query.before, query.limit) = (events.last().map(|event| event.position), PAGE);
    }
}

/// A record that has been deleted since, as it was before the recording; its log tells its version and its times.
async fn restored(
    snapshot: &mut Snapshot,
    recording: &Recording,
    (object, id): (&Arc<ObjectDef>, rapport_model::RecordId),
    fields: &HashMap<Name, Value>,
) -> Result<Record, EngineError> {
    let begin = rapport_model::Timestamp::EPOCH;
    let values = Vec::new();
    let mut record = Record { object: object.clone(), id, version: 0, created_at: begin, updated_at: begin, values };
    let mut query = EventQuery {
        subject: Some(id),
        before: Some(recording.first),
        after: Some(0),
        limit: PAGE,
        ..EventQuery::default()
    };
    loop {
        let page = snapshot.events(&query).await?;
        for event in &page {
            let Some((kind, _)) = change_of(event) else { continue };
            if kind == ChangeKind::Created {
                (record.version, record.created_at) = (0, event.time);
            }
            record.version += 1;
            record.updated_at = event.time;
        }
        query.after = page.last().map(|event| event.position);
        if page.len() < PAGE as usize {
            break;
        }
    }
    put(&mut record, fields);
    Ok(record)
}

/// Makes exactly `versions` live in `scratch`, without a word in its log.
pub(crate) fn make_live(scratch: &Inner, versions: &BTreeMap<AutomationId, Arc<Version>>) {
    let all: Vec<Arc<Version>> = versions.values().cloned().collect();
    for version in &all {
        scratch.keep_version(version.clone());
    }
    scratch.replace(|active| *active = all);
}

/// The version `digest` of `id`, made ready for another workspace.
pub(crate) async fn version_for(live: &Inner, id: &AutomationId, digest: &Digest) -> Result<Arc<Version>, EngineError> {
    Ok(Arc::new(elsewhere(&*live.version(id, digest).await?)))
}
