//! Reads the log, runs, and what is live.

use std::fmt::Write as _;
use std::sync::Arc;

use rapport_model::event::{Origin, Subject};
use rapport_model::name::RecordEventKind;
use rapport_model::{Actor, AutomationId, Digest, Event, EventType, Name, Run, RunId, RunStatus, Schema, Timestamp};

use crate::commit::{idempotent_query, read_idempotent};
use crate::db::{Cell, DbError, Query, Row};
use crate::error::StoreError;
use crate::payload;
use crate::query::{Direction, EventQuery, RunQuery};
use crate::seal::Salt;
use crate::shared::Shared;
use crate::unit::{Artifact, ArtifactKind, AutomationRow, IdempotencyPut};

/// The columns of an event, in the order in which [`read_event`] wants them.
pub(crate) const EVENT_COLUMNS: &str = "position, source, source_id, type, subject_object, subject_id, lane, time, \
     recorded_at, actor, run, cause, depth, payload, salt, payload_hash, hash";
pub(crate) const RUN_COLUMNS: &str = "id, automation, digest, position, lane, depth, status, attempt, wake_at, created_at, \
     finished_at, error, trace, wake_event, wake_index";
const SELECT_AUTOMATIONS: &str = "select m.id, m.active, m.digest, a.kind, a.path, m.declaration, m.settings, m.activated_at \
     from automation as m join artifact as a on a.digest = m.digest order by m.id";
const SELECT_ARTIFACT: &str = "select kind, path, bytes from artifact where digest = $1";

/// A row of the log.
pub(crate) struct EventRow {
    pub(crate) event: Event,
    pub(crate) payload: Option<String>,
    pub(crate) salt: Option<Salt>,
    pub(crate) payload_hash: Digest,
    pub(crate) hash: Digest,
}

fn damaged(what: &str, why: impl std::fmt::Display) -> DbError {
    DbError::Other(format!("{what}: {why}"))
}

/// Reads a row of [`EVENT_COLUMNS`], its body left out.
pub(crate) fn read_event(row: &Row) -> Result<EventRow, DbError> {
    let kind = EventType::new(&row.text(3)?).map_err(|e| damaged("event", e))?;
    let object = row.opt_text(4)?.map(|o| Name::new(&o)).transpose().map_err(|e| damaged("event", e))?;
    let id = row.opt_uuid(5)?.map(rapport_model::RecordId);
    let origin = row.opt_text(1)?.zip(row.opt_text(2)?);
    let event = Event {
        position: row.int(0)?,
        origin: origin.map(|(source, id)| Origin { source: source.into(), id: id.into() }),
        kind,
        subject: object.zip(id).map(|(object, id)| Subject { object, id }),
        lane: row.opt_uuid(6)?.map(rapport_model::RecordId),
        time: row.micros(7)?,
        recorded_at: row.micros(8)?,
        actor: row.text(9)?.parse().map_err(|e| damaged("event", e))?,
        run: row.opt_uuid(10)?.map(RunId),
        cause: row.opt_int(11)?,
        depth: u16::try_from(row.int(12)?).map_err(|e| damaged("event", e))?,
        body: None,
    };
    let salt = row.opt_bytes(14)?.map(TryInto::try_into).transpose();
    Ok(EventRow {
        event,
        payload: row.opt_text(13)?,
        salt: salt.map_err(|_| damaged("event", "a salt is not 16 bytes long"))?,
        payload_hash: row.digest(15)?,
        hash: row.digest(16)?,
    })
}

/// Reads the body of an event by the registry.
pub(crate) fn with_body(row: EventRow, schema: &Schema) -> Result<Event, DbError> {
    let mut event = row.event;
    if let Some(text) = &row.payload {
        let object = event.subject.as_ref().map(|s| &s.object);
        let body = payload::read(text, &event.kind, object, schema);
        event.body = Some(body.map_err(|e| damaged(&format!("event {}", event.position), e))?);
    }
    Ok(event)
}

/// Reads a row of [`RUN_COLUMNS`].
pub(crate) fn read_run(row: &Row) -> Result<Run, DbError> {
    let number = |n: i64| u16::try_from(n).map_err(|e| damaged("run", e));
    let status = row.text(6)?;
    Ok(Run {
        id: row.run_id(0)?,
        automation: AutomationId::new(&row.text(1)?).map_err(|e| damaged("run", e))?,
        digest: row.digest(2)?,
        position: row.int(3)?,
        lane: row.opt_uuid(4)?.map(rapport_model::RecordId),
        depth: number(row.int(5)?)?,
        status: RunStatus::parse(&status).ok_or_else(|| damaged("run", format!("the status `{status}`")))?,
        attempt: number(row.int(7)?)?,
        wake_at: row.opt_micros(8)?,
        created_at: row.micros(9)?,
        finished_at: row.opt_micros(10)?,
        error: row.opt_text(11)?,
        trace: row.opt_text(12)?,
        wake_event: row.opt_int(13)?,
        wake_index: row.opt_int(14)?,
    })
}

/// Conditions joined by `and`, with their values.
#[derive(Default)]
pub(crate) struct Conditions {
    pub(crate) text: String,
    pub(crate) cells: Vec<Cell>,
}

impl Conditions {
    /// Adds a condition; `?` in it stands for the value.
    pub(crate) fn add(&mut self, condition: &str, cell: Cell) {
        self.cells.push(cell);
        let placeholder = format!("${}", self.cells.len());
        self.add_bare(&condition.replace('?', &placeholder));
    }

    fn add_bare(&mut self, condition: &str) {
        let word = if self.text.is_empty() { " where " } else { " and " };
        write!(self.text, "{word}{condition}").expect("a text takes any text");
    }
}

/// A prefix is a range, since a slash comes right after the dot in ASCII.
fn add_kind(conditions: &mut Conditions, kind: &str) {
    match kind.strip_suffix(".*") {
        Some(prefix) => {
            conditions.add("type > ?", Cell::Owned(format!("{prefix}.")));
            conditions.add("type < ?", Cell::Owned(format!("{prefix}/")));
        }
        None => conditions.add("type = ?", Cell::text(kind)),
    }
}

fn event_conditions(query: &EventQuery) -> Conditions {
    let mut conditions = Conditions::default();
    if let Some(after) = query.after {
        conditions.add("position > ?", Cell::Int(after));
    }
    if let Some(before) = query.before {
        conditions.add("position < ?", Cell::Int(before));
    }
    if let Some(kind) = &query.kind {
        add_kind(&mut conditions, kind);
    }
    if let Some(subject) = query.subject {
        conditions.add("subject_id = ?", Cell::id(subject));
    }
    if let Some(lane) = query.lane {
        // A lane's own events stand in the index of subjects, the others in that of lanes.
        let other = "(subject_id is null or lane <> subject_id)";
        let text = format!("((subject_id = ? and lane = ?) or (lane = ? and lane is not null and {other}))");
        conditions.add(&text, Cell::id(lane));
    }
    if let Some(run) = query.run {
        conditions.add("run = ?", Cell::Id(run.0));
    }
    if let Some(cause) = query.cause {
        conditions.add("run in (select r.id from run as r where r.position = ?)", Cell::Int(cause));
    }
    if let Some(origin) = &query.origin {
        conditions.add("source = ?", Cell::Text(origin.source.clone()));
        conditions.add("source_id = ?", Cell::Text(origin.id.clone()));
    }
    conditions
}

/// The select for `query`; nothing if no event can be meant.
///
/// A prefix alone is served type by type: in the index, the events of one type lie in the order of the log, those of several
/// do not, and to sort all that ever were for one page would take seconds.
pub(crate) fn event_query(query: &EventQuery, schema: &Schema) -> Option<Query> {
    let way = if query.direction == Direction::Ascending { "" } else { " desc" };
    let end = format!(" order by position{way} limit {}", query.limit);
    let about = query.subject.is_some() || query.lane.is_some() || query.origin.is_some();
    let narrow = about || query.run.is_some() || query.cause.is_some();
    let prefix = query.kind.as_deref().and_then(|kind| kind.strip_suffix('*')).filter(|_| !narrow);
    let Some(prefix) = prefix else {
        let Conditions { text, cells } = event_conditions(query);
        return Some(Query::new(&format!("select {EVENT_COLUMNS} from event{text}{end}"), cells));
    };
    let shared = event_conditions(&EventQuery { kind: None, ..query.clone() });
    let mut cells = shared.cells;
    let mut arms = Vec::new();
    for kind in known_types(schema).into_iter().filter(|kind| kind.starts_with(prefix)) {
        let mut arm = Conditions { text: shared.text.clone(), cells };
        arm.add("type = ?", Cell::Owned(kind));
        let place = arms.len();
        arms.push(format!("select * from (select {EVENT_COLUMNS} from event{}{end}) as k{place}", arm.text));
        cells = arm.cells;
    }
    (!arms.is_empty()).then(|| Query::new(&format!("{}{end}", arms.join(" union all ")), cells))
}

/// The types that events can have.
fn known_types(schema: &Schema) -> Vec<String> {
    use RecordEventKind::{Created, Deleted, Updated};
    let mut all: Vec<String> = schema.event_types.keys().map(ToString::to_string).collect();
    for object in schema.objects.keys() {
        all.extend([Created, Updated, Deleted].map(|what| EventType::of_record(object, what).to_string()));
    }
    all.extend(payload::CORE_TYPES.map(str::to_owned));
    all
}

pub(crate) fn run_conditions(query: &RunQuery) -> Conditions {
    let mut conditions = Conditions::default();
    if let Some(status) = query.status {
        // As a word of the text, not as a value, so that the partial indexes serve it.
        conditions.add_bare(&format!("status = '{}'", status.as_str()));
    }
    if let Some(automation) = &query.automation {
        conditions.add("automation = ?", Cell::text(automation.as_str()));
    }
    if let Some(lane) = query.lane {
        conditions.add("lane = ?", Cell::id(lane));
    }
    if let Some(subject) = query.subject {
        conditions.add("position in (select e.position from event as e where e.subject_id = ?)", Cell::id(subject));
    }
    if let Some(position) = query.position {
        conditions.add("position = ?", Cell::Int(position));
    }
    if let Some(run) = query.caused_by {
        conditions.add("position in (select e.position from event as e where e.run = ?)", Cell::Id(run.0));
    }
    if let Some((least, greatest)) = query.digest {
        conditions.add("digest >= ?", Cell::Bytes(least.0.to_vec()));
        conditions.add("digest <= ?", Cell::Bytes(greatest.0.to_vec()));
    }
    if let Some(code) = &query.error_code {
        let length = code.chars().count() + 1;
        conditions.add(&format!("substr(error, 1, {length}) = ?"), Cell::Owned(format!("{code} ")));
    }
    if let Some(since) = query.since {
        conditions.add("created_at >= ?", Cell::Int(since.micros()));
    }
    if let Some(until) = query.until {
        conditions.add("created_at < ?", Cell::Int(until.micros()));
    }
    if let Some((position, automation)) = &query.before {
        conditions.add("position <= ?", Cell::Int(*position));
        let here = Cell::Int(*position);
        conditions.cells.push(Cell::text(automation.as_str()));
        let place = conditions.cells.len();
        conditions.add(&format!("(position < ? or automation < ${place})"), here);
    }
    conditions
}

impl Shared {
    pub(crate) async fn events(&self, query: &EventQuery) -> Result<Vec<Arc<Event>>, StoreError> {
        let Some(select) = event_query(query, &self.schema.load()) else { return Ok(Vec::new()) };
        let rows = self.pool.fetch(select).await?;
        self.settled().await;
        // Loaded after the rows: whatever they speak of is declared by then.
        let schema = self.schema.load_full();
        let mut events = Vec::with_capacity(rows.len());
        for row in &rows {
            events.push(Arc::new(with_body(read_event(row)?, &schema)?));
        }
        Ok(events)
    }

    pub(crate) async fn select_runs(&self, rest: &str, cells: Vec<Cell>) -> Result<Vec<Run>, StoreError> {
        let text = format!("select {RUN_COLUMNS} from run{rest}");
        let rows = self.pool.fetch(Query::new(&text, cells)).await?;
        self.settled().await;
        rows.iter().map(|row| read_run(row).map_err(StoreError::from)).collect()
    }

    /// As [`Self::select_runs`], for those that work on their own: one that does not read is reported and left out, so that it
    /// holds up no other.
    pub(crate) async fn sound_runs(&self, rest: &str, cells: Vec<Cell>) -> Result<Vec<Run>, StoreError> {
        let text = format!("select {RUN_COLUMNS} from run{rest}");
        let rows = self.pool.fetch(Query::new(&text, cells)).await?;
        let sound = rows.iter().filter_map(|row| match read_run(row) {
            Ok(run) => Some(run),
            Err(error) => {
                tracing::error!("a run is left alone, since its row is damaged: {error}");
                None
            }
        });
        Ok(sound.collect())
    }

    pub(crate) async fn run(&self, id: RunId) -> Result<Option<Run>, StoreError> {
        Ok(self.select_runs(" where id = $1", vec![Cell::Id(id.0)]).await?.pop())
    }

    pub(crate) async fn runs(&self, query: &RunQuery) -> Result<Vec<Run>, StoreError> {
        let Conditions { text, cells } = run_conditions(query);
        let limit = query.limit;
        self.select_runs(&format!("{text} order by position desc, automation desc limit {limit}"), cells).await
    }

    pub(crate) async fn open_runs(
        &self,
        after: Option<(i64, AutomationId)>,
        limit: u32,
    ) -> Result<Vec<Arc<Run>>, StoreError> {
        let (position, automation) = after.map_or((0, String::new()), |(p, a)| (p, a.to_string()));
        let rest = format!(
            " where status = 'pending' and position >= $1 and (position > $1 or automation > $2) \
             order by position, automation limit {limit}"
        );
        let runs = self.sound_runs(&rest, vec![Cell::Int(position), Cell::Owned(automation)]).await?;
        Ok(runs.into_iter().map(Arc::new).collect())
    }

    pub(crate) async fn retrying_runs(&self, limit: u32) -> Result<Vec<Arc<Run>>, StoreError> {
        let rest = format!(" where status = 'retrying' order by wake_at, position, automation limit {limit}");
        Ok(self.sound_runs(&rest, Vec::new()).await?.into_iter().map(Arc::new).collect())
    }

    pub(crate) async fn automations(&self) -> Result<Vec<AutomationRow>, StoreError> {
        let rows = self.pool.fetch(Query::new(SELECT_AUTOMATIONS, Vec::new())).await?;
        rows.iter().map(|row| read_automation(row).map_err(StoreError::from)).collect()
    }

    pub(crate) async fn artifact(&self, digest: &Digest) -> Result<Option<Artifact>, StoreError> {
        let rows = self.pool.fetch(Query::new(SELECT_ARTIFACT, vec![Cell::Bytes(digest.0.to_vec())])).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let bytes: Arc<[u8]> = row.bytes(2)?.into();
        if Digest::of(&bytes) != *digest {
            let why = "the content is not what its digest names".to_owned();
            return Err(StoreError::Corrupt { what: format!("artifact {}", digest.short()), why });
        }
        Ok(Some(Artifact { digest: *digest, kind: read_kind(&row.text(0)?)?, path: row.text(1)?, bytes }))
    }

    pub(crate) async fn idempotent(
        &self,
        actor: &Actor,
        key: &str,
        now: Timestamp,
    ) -> Result<Option<IdempotencyPut>, StoreError> {
        let rows = self.pool.fetch(idempotent_query(&actor.to_string(), key)).await?;
        let found = rows.first().map(read_idempotent).transpose()?;
        Ok(found.filter(|put| put.expires_at > now))
    }
}

fn read_kind(text: &str) -> Result<ArtifactKind, DbError> {
    ArtifactKind::parse(text).ok_or_else(|| damaged("artifact", format!("the kind `{text}`")))
}

fn read_automation(row: &Row) -> Result<AutomationRow, DbError> {
    Ok(AutomationRow {
        id: AutomationId::new(&row.text(0)?).map_err(|e| damaged("automation", e))?,
        active: row.truth(1)?,
        digest: row.digest(2)?,
        kind: read_kind(&row.text(3)?)?,
        path: row.text(4)?,
        declaration: row.text(5)?,
        settings: row.text(6)?,
        activated_at: row.micros(7)?,
    })
}
