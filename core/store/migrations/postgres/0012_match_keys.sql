-- By what customers are found that may be one: the keys of e-mail, phone and postcode. Written in the commit of the record. How far the
-- customers that were there before have theirs stands in meta, as match_keys.

create table match_key (
    kind text collate "C" not null,
    key text collate "C" not null,
    id uuid not null,
    constraint match_key_pk primary key (kind, key, id)
);

-- For the keys of a record.
create index match_key_record on match_key (id);
