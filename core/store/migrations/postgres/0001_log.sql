-- The log, the runs it starts, the registry, and what is live. Instants are microseconds since 1970, ids are uuids.

create table meta (
    key text collate "C" not null constraint meta_pk primary key,
    value text not null
);

-- The one row that every commit moves: where the log stands, and how many runs are in which state.
create table log_head (
    id bigint not null constraint log_head_pk primary key constraint log_head_one check (id = 1),
    position bigint not null,
    hash bytea not null,
    commits bigint not null,
    run_counts text not null
);

create table event (
    position bigint not null constraint event_pk primary key,
    source text collate "C",
    source_id text collate "C",
    type text collate "C" not null,
    subject_object text collate "C",
    subject_id uuid,
    lane uuid,
    time bigint not null,
    recorded_at bigint not null,
    actor text collate "C" not null,
    run uuid,
    cause bigint,
    depth bigint not null,
    payload text,
    salt bytea,
    payload_hash bytea not null,
    hash bytea not null
);
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
    id uuid not null constraint run_pk primary key,
    automation text collate "C" not null,
    digest bytea not null,
    position bigint not null,
    lane uuid,
    depth bigint not null,
    status text collate "C" not null,
    attempt bigint not null,
    wake_at bigint,
    created_at bigint not null,
    finished_at bigint,
    error text,
    trace text
);
-- The order in which runs are worked off and listed.
create unique index run_position on run (position, automation);
create index run_pending on run (position, automation) where status = 'pending';
create index run_retrying on run (wake_at) where status = 'retrying';
create index run_dead on run (position) where status = 'dead';

create table object_def (
    name text collate "C" not null constraint object_def_pk primary key,
    seq bigint not null,
    definition text not null
);
create table field_def (
    object text collate "C" not null constraint field_def_object references object_def (name),
    name text collate "C" not null,
    seq bigint not null,
    definition text not null,
    constraint field_def_pk primary key (object, name)
);
create table event_type_def (
    name text collate "C" not null constraint event_type_def_pk primary key,
    definition text not null
);

create table artifact (
    digest bytea not null constraint artifact_pk primary key,
    kind text collate "C" not null,
    path text collate "C" not null,
    bytes bytea not null,
    created_at bigint not null
);
create table automation (
    id text collate "C" not null constraint automation_pk primary key,
    active boolean not null,
    digest bytea not null constraint automation_artifact references artifact (digest),
    declaration text not null,
    settings text not null,
    activated_at bigint not null
);

-- Answers kept for requests that may come again.
create table idempotency (
    actor text collate "C" not null,
    key text collate "C" not null,
    fingerprint bytea not null,
    response bytea not null,
    expires_at bigint not null,
    constraint idempotency_pk primary key (actor, key)
);
create index idempotency_expiry on idempotency (expires_at);
