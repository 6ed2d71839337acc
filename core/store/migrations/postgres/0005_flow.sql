-- Runs that wait for the first of several events, and locks that slices take.

-- Which of the events that the run waited for woke it, from 0.
alter table run add column wake_index bigint;

-- Takes the place of `wait`, which held one event for each run.
create table awaited (
    run uuid not null,
    place bigint not null,
    type text collate "C" not null,
    field text collate "C" not null,
    value text collate "C" not null,
    after bigint not null,
    constraint awaited_pk primary key (run, place)
);
insert into awaited (run, place, type, field, value, after) select run, 0, type, field, value, after from wait;
drop table wait;
create index awaited_event on awaited (type, field, value);

-- How often each lock has been taken. A slice commits if nobody has taken it since; a row that is old tells nothing more.
create table named_lock (
    key text collate "C" not null constraint named_lock_pk primary key,
    version bigint not null,
    taken_at bigint not null
);
create index named_lock_age on named_lock (taken_at);
