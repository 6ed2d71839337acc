-- Who belongs to which segment, and who did: one row for each stay; the record is in the segment as long as left_at is null.

create table segment_stay (
    segment text not null,
    id blob not null,
    entered_at integer not null,
    left_at integer,
    constraint segment_stay_pk primary key (segment, id, entered_at)
) strict, without rowid;
-- The segments of a record.
create index segment_stay_record on segment_stay (id, segment, entered_at, left_at);

-- The one row that says how far live segments have followed the log, and time.
create table segment_progress (
    id integer not null constraint segment_progress_pk primary key constraint segment_progress_one check (id = 1),
    position integer not null,
    swept_at integer not null
) strict;
