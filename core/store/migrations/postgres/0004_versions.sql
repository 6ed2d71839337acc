-- Versions: which runs are held by which version of an automation.

-- Runs that have begun and not ended, by automation. Pending runs are left out: most never come here on their way.
create index run_held on run (automation, id, digest) where status in ('retrying', 'waiting', 'paused');
