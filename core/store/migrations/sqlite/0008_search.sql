-- The words of searchable fields: which record holds which term how often. The term '' says how many terms a field holds.

create table search_term (
    object text not null,
    term text not null,
    field text not null,
    id blob not null,
    hits integer not null,
    constraint search_term_pk primary key (object, term, field, id)
) strict, without rowid;

-- Fields that became searchable when there were records already, and the record up to which their words are in the table above.
create table search_fill (
    object text not null,
    field text not null,
    after blob,
    constraint search_fill_pk primary key (object, field)
) strict;
