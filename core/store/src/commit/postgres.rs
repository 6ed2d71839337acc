//! What a commit takes on PostgreSQL: the workspace's lock, the head's lock, and an answer when the connection breaks midway.

use std::time::Duration;

use super::{Committer, write};
use crate::db::{Conn, DbError, Query, Statement};
use crate::error::StoreError;
use crate::head::{self, Head};
use crate::registry;
use crate::rule_sql::Dialect;

/// The advisory lock of a workspace: one session of one process holds it. Locks are apart for each database.
const TRY_LOCK: &str = "select case when pg_try_advisory_lock(7020670261) then 1::bigint else 0::bigint end";
/// A killed process's session ends a moment after it; so long a new one waits for the lock.
const LOCK_TRIES: u32 = 30;
const LOCK_WAIT: Duration = Duration::from_millis(100);

/// So long a commit waits for a stranger's lock before it is tried again: reads that must show what is durable wait for the try.
const LIMIT_LOCK_WAITS: &str = "set lock_timeout = '2s'";

/// Takes the workspace's lock for the session of `conn`.
///
/// # Errors
/// [`StoreError::Locked`] if another session keeps it for three seconds.
pub(crate) async fn lock_workspace(conn: &mut Conn) -> Result<(), StoreError> {
    for _ in 0..LOCK_TRIES {
        let rows = conn.fetch(Query::new(TRY_LOCK, Vec::new())).await?;
        if rows.first().map(|row| row.int(0)).transpose()? == Some(1) {
            return Ok(());
        }
        tokio::time::sleep(LOCK_WAIT).await;
    }
    Err(StoreError::Locked { what: "this PostgreSQL database".into() })
}

impl Committer {
    /// Opens a transaction and locks the head. Whatever is in memory is forgotten if somebody else has moved it.
    pub(super) async fn lock_head(&mut self) -> Result<(), StoreError> {
        self.conn.raw("begin").await?;
        self.open = true;
        let head = head::lock(&mut self.conn).await?;
        self.adopt_head(head).await
    }

    /// Takes up where the log stands now.
    pub(super) async fn take_up(&mut self) -> Result<(), StoreError> {
        let head = head::load(&mut self.conn).await?;
        self.adopt_head(head).await
    }

    async fn adopt_head(&mut self, head: Head) -> Result<(), StoreError> {
        if !head.is_at(&self.head) {
            let schema = registry::load(&mut self.conn).await?;
            self.shared.schema.store(schema.into());
            self.shared.cache.clear();
            self.known_runs.clear();
            self.head = head;
        }
        Ok(())
    }

    /// Runs `statements` as one, which is its own transaction: one round trip. Nothing is changed unless the head is where
    /// this process left it.
    pub(super) async fn commit_at_once(&mut self, statements: Vec<Statement>, head: &Head) -> Result<(), DbError> {
        let joined = Statement::at_once(statements, write::move_head_from(&self.head, head));
        let done = self.conn.execute(joined).await.map(drop);
        self.settle(done, head).await
    }

    /// Runs `statements` and commits the open transaction.
    pub(super) async fn commit_postgres(&mut self, statements: Vec<Statement>, head: &Head) -> Result<(), DbError> {
        for statement in statements {
            self.conn.execute(statement).await?;
        }
        self.open = false;
        let done = self.conn.raw("commit").await;
        self.settle(done, head).await
    }

    /// If the connection broke at the commit, the head tells what came of it.
    async fn settle(&mut self, done: Result<(), DbError>, head: &Head) -> Result<(), DbError> {
        let Err(DbError::Disconnected(why)) = done else { return done };
        self.reconnect().await;
        match head::load(&mut self.conn).await {
            Ok(found) if found.is_at(head) => Ok(()),
            _ => Err(DbError::Disconnected(why)),
        }
    }

    /// Has the session give up waiting for locks in time. If it is gone, the next commit finds that out.
    pub(super) async fn limit_lock_waits(&mut self) {
        if self.conn.dialect() == Dialect::Postgres {
            self.conn.raw(LIMIT_LOCK_WAITS).await.ok();
        }
    }

    /// Opens the connection anew unless it answers.
    pub(super) async fn reconnect_if_gone(&mut self) {
        if self.conn.raw("select 1").await.is_err() {
            self.reconnect().await;
        }
    }

    /// Opens the connection anew, with the workspace's lock. If another process has it now, this one must stop.
    pub(super) async fn reconnect(&mut self) {
        let opened = Conn::open(&self.shared.config, self.shared.counters.clone()).await;
        let Ok(mut conn) = opened else { return };
        match lock_workspace(&mut conn).await {
            Ok(()) => {
                (self.conn, self.open) = (conn, false);
                self.limit_lock_waits().await;
            }
            Err(StoreError::Locked { what }) => self.shared.stop(&format!("another process has taken {what}")),
            Err(_) => {}
        }
    }
}
