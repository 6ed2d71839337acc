-- The words of one record stand together behind each word: a search goes from record to record, the newest first.

create table search_word (
    object text not null,
    term text not null,
    field text not null,
    id blob not null,
    hits integer not null,
    constraint search_word_pk primary key (object, term, id, field)
) strict, without rowid;
insert into search_word (object, term, field, id, hits)
    select object, term, field, id, hits from search_term order by object, term, id, field;
drop table search_term;
alter table search_word rename to search_term;
