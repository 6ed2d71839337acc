-- The words of searchable fields: which record holds which term how often. The term '' says how many terms a field holds.

create table search_term (
    object text collate "C" not null,
    term text collate "C" not null,
    field text collate "C" not null,
    id uuid not null,
    hits bigint not null,
    constraint search_term_pk primary key (object, term, field, id)
);

-- Fields that became searchable when there were records already, and the record up to which their words are in the table above.
create table search_fill (
    object text collate "C" not null,
    field text collate "C" not null,
    after uuid,
    constraint search_fill_pk primary key (object, field)
);
