-- Runs that wait: what their calls returned so far, and what wakes them.

-- The position of the event that woke a waiting run.
alter table run add column wake_event bigint;
create index run_waiting on run (wake_at) where status = 'waiting';

create table journal (
    run uuid not null,
    slice bigint not null,
    entries text not null,
    constraint journal_pk primary key (run, slice)
);

create table wait (
    run uuid not null constraint wait_pk primary key,
    type text collate "C" not null,
    field text collate "C" not null,
    value text collate "C" not null,
    after bigint not null
);
create index wait_event on wait (type, field, value);
