-- The words of one record stand together behind each word, with how long their field is: a search goes from record to record, the
-- newest first, and finds there all that it needs. How many words a field has stood in a row of its own before.

create table search_word (
    object text collate "C" not null,
    term text collate "C" not null,
    field text collate "C" not null,
    id uuid not null,
    hits bigint not null,
    length bigint not null,
    constraint search_word_pk primary key (object, term, id, field)
        include (hits, length)
);
insert into search_word (object, term, field, id, hits, length)
    select s.object, s.term, s.field, s.id, s.hits,
        -- Its four highest binary digits.
        case
            when m.hits < 16 then m.hits
            when m.hits < 32 then m.hits / 2 * 2
            when m.hits < 64 then m.hits / 4 * 4
            when m.hits < 128 then m.hits / 8 * 8
            when m.hits < 256 then m.hits / 16 * 16
            when m.hits < 512 then m.hits / 32 * 32
            when m.hits < 1024 then m.hits / 64 * 64
            when m.hits < 2048 then m.hits / 128 * 128
            when m.hits < 4096 then m.hits / 256 * 256
            when m.hits < 8192 then m.hits / 512 * 512
            when m.hits < 16384 then m.hits / 1024 * 1024
            else m.hits / 2048 * 2048
        end
    from search_term as s
    join search_term as m on m.object = s.object and m.term = '' and m.field = s.field and m.id = s.id
    where s.term <> ''
    order by s.object, s.term, s.id, s.field;
drop table search_term;
alter table search_word rename to search_term;
