-- Runs by state, for lists, counts and the watchdog: none of them walks through the runs that are done.

drop index run_dead;
create index run_dead on run (position, automation) where status = 'dead';
create index run_waiting_place on run (position, automation) where status = 'waiting';
create index run_retrying_place on run (position, automation) where status = 'retrying';
create index run_paused on run (position, automation) where status = 'paused';
create index run_cancelled on run (position, automation) where status = 'cancelled';
create index run_skipped on run (position, automation) where status = 'skipped';
