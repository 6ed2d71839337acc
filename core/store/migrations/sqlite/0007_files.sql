-- The bytes of files, named by their digest: equal bytes are kept once. What there is to know of a file is a record.

-- `left_at`: since when no file has these bytes any more. They stay for a while, so that undo can bring a file back.
create table blob (
    digest text not null constraint blob_pk primary key,
    size integer not null,
    created_at integer not null,
    left_at integer,
    bytes blob not null
) strict;
create index blob_left on blob (left_at) where left_at is not null;
