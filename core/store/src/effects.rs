//! Reads of effects: what is due, and what came of those before.

use rapport_model::{AutomationId, Effect, EffectId, EffectStatus, RunId, Timestamp};

use crate::db::{Cell, DbError, Query, Row};
use crate::error::StoreError;
use crate::store::Store;

pub(crate) const COLUMNS: &str = "id, run, call, channel, destination, request, status, attempt, next_at, deadline_at, created_at, \
     finished_at, reply, error";
/// Served by `effect_due` and `effect_dead`: those that were answered are not looked at.
const COUNTS: &str = "select (select count(*) from effect where status = 'pending'), \
     (select count(*) from effect where status = 'dead')";

/// Served by `effect_time`.
const SENT_BY: &str = "select e.channel, e.created_at from effect as e join run as r on r.id = e.run \
     where e.created_at >= $1 and e.created_at < $2 and r.automation = $3 order by e.created_at, e.id";

/// Which effects to list.
#[derive(Debug, Clone, Default)]
pub struct EffectQuery {
    /// Those of this run.
    pub run: Option<RunId>,
    /// Those through this channel: `http`, `email`, `webhook`.
    pub channel: Option<String>,
    /// All messages: those of every channel but `http`.
    pub messages: bool,
    /// Those that stand here.
    pub status: Option<EffectStatus>,
    /// Those to this destination.
    pub destination: Option<String>,
    /// Those before this one.
    pub before: Option<(Timestamp, EffectId)>,
    /// How many at most.
    pub limit: u32,
}

impl Store {
    /// Effects that are due at `now`, the longest due first, but for those to the destinations `left_alone`.
    ///
    /// # Errors
    /// As for [`Store::events`].
    pub async fn due_effects(
        &self,
        now: Timestamp,
        left_alone: &[String],
        limit: u32,
    ) -> Result<Vec<Effect>, StoreError> {
        let mut cells = vec![Cell::Int(now.micros())];
        let others = others(left_alone, &mut cells);
        let rest = format!(" where status = 'pending' and next_at <= $1{others} order by next_at, id limit {limit}");
        self.sound_effects(&rest, cells).await
    }

    /// Effects whose time is up at `now`.
    ///
    /// # Errors
    /// As for [`Store::events`].
    pub async fn overdue_effects(&self, now: Timestamp, limit: u32) -> Result<Vec<Effect>, StoreError> {
        let rest = format!(" where status = 'pending' and deadline_at <= $1 order by deadline_at limit {limit}");
        self.sound_effects(&rest, vec![Cell::Int(now.micros())]).await
    }

    /// When the next effect is to be tried, but for those to the destinations `left_alone`. Served by `effect_due`.
    ///
    /// # Errors
    /// As for [`Store::events`].
    pub async fn next_effect(&self, left_alone: &[String]) -> Result<Option<Timestamp>, StoreError> {
        let mut cells = Vec::new();
        let others = others(left_alone, &mut cells);
        let condition = format!("status = 'pending' and next_at is not null{others}");
        let text = format!("select next_at from effect where {condition} order by next_at limit 1");
        let rows = self.shared().pool.fetch(Query::new(&text, cells)).await?;
        Ok(rows.first().map(|row| row.micros(0)).transpose()?)
    }

    /// The effect `id`.
    ///
    /// # Errors
    /// As for [`Store::events`].
    pub async fn effect(&self, id: EffectId) -> Result<Option<Effect>, StoreError> {
        let rows = self.select_effects(" where id = $1", vec![Cell::Id(id.0)]).await?;
        Ok(rows.first().map(read).transpose()?)
    }

    /// Effects, the newest first.
    ///
    /// # Errors
    /// As for [`Store::events`].
    pub async fn effects(&self, query: &EffectQuery) -> Result<Vec<Effect>, StoreError> {
        let (conditions, cells) = conditions(query);
        let start = if conditions.is_empty() { String::new() } else { format!(" where {}", conditions.join(" and ")) };
        let rest = format!("{start} order by created_at desc, id desc limit {}", query.limit);
        let rows = self.select_effects(&rest, cells).await?;
        Ok(rows.iter().map(read).collect::<Result<_, DbError>>()?)
    }

    /// How many effects are pending, and how many dead.
    ///
    /// # Errors
    /// As for [`Store::events`].
    pub async fn effect_counts(&self) -> Result<(i64, i64), StoreError> {
        let rows = self.shared().pool.fetch(Query::new(COUNTS, Vec::new())).await?;
        let row = rows.first().ok_or_else(|| DbError::Other("no counts of effects".into()))?;
        Ok((row.int(0)?, row.int(1)?))
    }

    /// The channels and times of all that runs of `automation` asked for from `since` on and before `until`, oldest first.
    ///
    /// # Errors
    /// As for [`Store::events`].
    pub async fn sent_by(
        &self,
        automation: &AutomationId,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<(String, Timestamp)>, StoreError> {
        let cells = vec![Cell::Int(since.micros()), Cell::Int(until.micros()), Cell::text(automation.as_str())];
        let rows = self.shared().pool.fetch(Query::new(SENT_BY, cells)).await?;
        Ok(rows.iter().map(|row| Ok((row.text(0)?, row.micros(1)?))).collect::<Result<_, DbError>>()?)
    }

    async fn select_effects(&self, rest: &str, cells: Vec<Cell>) -> Result<Vec<Row>, StoreError> {
        let rows = self.shared().pool.fetch(Query::new(&format!("select {COLUMNS} from effect{rest}"), cells)).await?;
        self.shared().settled().await;
        Ok(rows)
    }

    /// One that does not read is reported and left alone: it must not hold up the others.
    async fn sound_effects(&self, rest: &str, cells: Vec<Cell>) -> Result<Vec<Effect>, StoreError> {
        let rows = self.select_effects(rest, cells).await?;
        let sound = rows.iter().filter_map(|row| match read(row) {
            Ok(effect) => Some(effect),
            Err(error) => {
                tracing::error!("an effect is left alone, since its row is damaged: {error}");
                None
            }
        });
        Ok(sound.collect())
    }
}

fn conditions(query: &EffectQuery) -> (Vec<String>, Vec<Cell>) {
    let (mut conditions, mut cells) = (Vec::new(), Vec::new());
    let equalities = [
        ("run", query.run.map(|run| Cell::Id(run.0))),
        ("channel", query.channel.as_deref().map(Cell::text)),
        ("destination", query.destination.as_deref().map(Cell::text)),
    ];
    for (column, cell) in equalities {
        if let Some(cell) = cell {
            cells.push(cell);
            conditions.push(format!("{column} = ${}", cells.len()));
        }
    }
    if let Some((created_at, id)) = query.before {
        cells.extend([Cell::Int(created_at.micros()), Cell::Id(id.0)]);
        let (time, key) = (cells.len() - 1, cells.len());
        conditions.push(format!("created_at <= ${time} and (created_at < ${time} or id < ${key})"));
    }
    if query.messages {
        conditions.push("channel <> 'http'".to_owned());
    }
    if let Some(status) = query.status {
        // As a word of the text, so that the partial indexes serve it.
        conditions.push(format!("status = '{}'", status.as_str()));
    }
    (conditions, cells)
}

/// The condition that leaves these destinations out.
fn others(left_alone: &[String], cells: &mut Vec<Cell>) -> String {
    let first = cells.len() + 1;
    cells.extend(left_alone.iter().map(|destination| Cell::text(destination)));
    let places: Vec<String> = (first..=cells.len()).map(|n| format!("${n}")).collect();
    if places.is_empty() { String::new() } else { format!(" and destination not in ({})", places.join(", ")) }
}

pub(crate) fn read(row: &Row) -> Result<Effect, DbError> {
    let damaged = |why: String| DbError::Other(format!("effect: {why}"));
    let json = |text: String| serde_json::from_str(&text).map_err(|e| damaged(e.to_string()));
    let status = row.text(6)?;
    Ok(Effect {
        id: EffectId(row.run_id(0)?.0),
        run: row.run_id(1)?,
        call: row.int(2)?,
        channel: row.text(3)?,
        destination: row.text(4)?,
        request: json(row.text(5)?)?,
        status: EffectStatus::parse(&status).ok_or_else(|| damaged(format!("the status `{status}`")))?,
        attempt: u16::try_from(row.int(7)?).map_err(|e| damaged(e.to_string()))?,
        next_at: row.opt_micros(8)?,
        deadline_at: row.micros(9)?,
        created_at: row.micros(10)?,
        finished_at: row.opt_micros(11)?,
        reply: row.opt_text(12)?.map(json).transpose()?,
        error: row.opt_text(13)?,
    })
}
