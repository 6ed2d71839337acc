-- The journals of runs that have ended: the row of the last slice says until when they are kept.

alter table journal add column kept_until bigint;
create index journal_kept on journal (kept_until) where kept_until is not null;
