-- Runs that wait: what their calls returned so far, and what wakes them.

-- The position of the event that woke a waiting run.
alter table run add column wake_event integer;
create index run_waiting on run (wake_at) where status = 'waiting';

create table journal (
    run blob not null,
    slice integer not null,
    entries text not null,
    constraint journal_pk primary key (run, slice)
) strict, without rowid;

create table wait (
    run blob not null constraint wait_pk primary key,
    type text not null,
    field text not null,
    value text not null,
    after integer not null
) strict, without rowid;
create index wait_event on wait (type, field, value);
