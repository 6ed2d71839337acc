-- Which record has which tag: the values of the field `tags` of all objects, turned round. Written in the commit of the record.

create table record_tag (
    object text collate "C" not null,
    tag text collate "C" not null,
    id uuid not null,
    constraint record_tag_pk primary key (object, tag, id)
);

-- For how many tags a record has.
create index record_tag_record on record_tag (object, id);
