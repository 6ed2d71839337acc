-- Effects: what leaves the database. Written with the slice that asks for it, carried out after its commit.

create table effect (
    id uuid not null constraint effect_pk primary key,
    run uuid not null,
    call bigint not null,
    channel text collate "C" not null,
    destination text collate "C" not null,
    request text not null,
    status text collate "C" not null,
    attempt bigint not null,
    next_at bigint,
    deadline_at bigint not null,
    created_at bigint not null,
    finished_at bigint,
    reply text,
    error text
);
create index effect_due on effect (next_at, id) where status = 'pending';
create index effect_deadline on effect (deadline_at) where status = 'pending';
create index effect_dead on effect (created_at, id) where status = 'dead';
create index effect_run on effect (run, call);
-- The order in which they are listed.
create index effect_time on effect (created_at, id);
create index effect_channel on effect (channel, created_at, id);
