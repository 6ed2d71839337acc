-- Effects: what leaves the database. Written with the slice that asks for it, carried out after its commit.

create table effect (
    id blob not null constraint effect_pk primary key,
    run blob not null,
    call integer not null,
    channel text not null,
    destination text not null,
    request text not null,
    status text not null,
    attempt integer not null,
    next_at integer,
    deadline_at integer not null,
    created_at integer not null,
    finished_at integer,
    reply text,
    error text
) strict;
create index effect_due on effect (next_at, id) where status = 'pending';
create index effect_deadline on effect (deadline_at) where status = 'pending';
create index effect_dead on effect (created_at, id) where status = 'dead';
create index effect_run on effect (run, call);
-- The order in which they are listed.
create index effect_time on effect (created_at, id);
create index effect_channel on effect (channel, created_at, id);
