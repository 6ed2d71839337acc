-- The log, the runs it starts, the registry, and what is live. Instants are microseconds since 1970, ids are 16 bytes.

create table meta (
    key text not null constraint meta_pk primary key,
    value text not null
) strict, without rowid;

-- The one row that every commit moves: where the log stands, and how many runs are in which state.
create table log_head (
    id integer not null constraint log_head_pk primary key constraint log_head_one check (id = 1),
    position integer not null,
    hash blob not null,
    commits integer not null,
    run_counts text not null
) strict;

create table event (
    position integer not null constraint event_pk primary key,
    source text,
    source_id text,
    type text not null,
    subject_object text,
    subject_id blob,
    lane blob,
    time integer not null,
    recorded_at integer not null,
    actor text not null,
    run blob,
    cause integer,
    depth integer not null,
    payload text,
    salt blob,
    payload_hash blob not null,
    hash blob not null
) strict;
-- No two events share an outside identity.
create unique index event_origin on event (source, source_id) where source is not null;
-- The history of a record.
create index event_subject on event (subject_id, position) where subject_id is not null;
-- The rest of a lane: events about other records than the lane itself.
create index event_lane on event (lane, position)
    where lane is not null and (subject_id is null or lane <> subject_id);
create index event_type on event (type, position);
create index event_run on event (run, position) where run is not null;

create table run (
    id blob not null constraint run_pk primary key,
    automation text not null,
    digest blob not null,
    position integer not null,
    lane blob,
    depth integer not null,
    status text not null,
    attempt integer not null,
    wake_at integer,
    created_at integer not null,
    finished_at integer,
    error text,
    trace text
) strict;
-- The order in which runs are worked off and listed.
create unique index run_position on run (position, automation);
create index run_pending on run (position, automation) where status = 'pending';
create index run_retrying on run (wake_at) where status = 'retrying';
create index run_dead on run (position) where status = 'dead';

create table object_def (
    name text not null constraint object_def_pk primary key,
    seq integer not null,
    definition text not null
) strict;
create table field_def (
    object text not null constraint field_def_object references object_def (name),
    name text not null,
    seq integer not null,
    definition text not null,
    constraint field_def_pk primary key (object, name)
) strict;
create table event_type_def (
    name text not null constraint event_type_def_pk primary key,
    definition text not null
) strict;

create table artifact (
    digest blob not null constraint artifact_pk primary key,
    kind text not null,
    path text not null,
    bytes blob not null,
    created_at integer not null
) strict;
create table automation (
    id text not null constraint automation_pk primary key,
    active integer not null,
    digest blob not null constraint automation_artifact references artifact (digest),
    declaration text not null,
    settings text not null,
    activated_at integer not null
) strict;

-- Answers kept for requests that may come again.
create table idempotency (
    actor text not null,
    key text not null,
    fingerprint blob not null,
    response blob not null,
    expires_at integer not null,
    constraint idempotency_pk primary key (actor, key)
) strict;
create index idempotency_expiry on idempotency (expires_at);
