-- What people have paused, so that it stays paused over a restart.
CREATE TABLE switches (
    name       TEXT PRIMARY KEY,                              -- a row: this is paused
    changed_at TEXT NOT NULL,
    changed_by TEXT NOT NULL
) STRICT;
