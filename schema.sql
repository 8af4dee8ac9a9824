-- The whole current schema of CS Archiver; db/migrations holds the steps to it from each earlier version. Times are UTC ISO 8601 text ending in Z; sizes are bytes; paths of entries are raw bytes (BLOB).

CREATE TABLE users (
    id                   INTEGER PRIMARY KEY AUTOINCREMENT,
    username             TEXT NOT NULL UNIQUE COLLATE NOCASE,
    password_hash        TEXT NOT NULL,
    is_admin             INTEGER NOT NULL DEFAULT 0 CHECK (is_admin IN (0, 1)),
    must_change_password INTEGER NOT NULL DEFAULT 0 CHECK (must_change_password IN (0, 1)),
    created_at           TEXT NOT NULL,
    last_login           TEXT,
    password_expires_at  TEXT,                                -- of one that somebody else gave
    totp_secret          TEXT,                                -- of the second factor; null: there is none
    totp_last_step       INTEGER NOT NULL DEFAULT 0           -- of which a code was accepted: each counts once
) STRICT;

-- For who has lost the second factor: each counts once; the codes themselves are shown once, and kept nowhere.
CREATE TABLE recovery_codes (
    sha256  BLOB PRIMARY KEY,
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE
) STRICT;
CREATE INDEX recovery_codes_by_user ON recovery_codes (user_id);

-- One row a token, so that logging out really ends it.
CREATE TABLE sessions (
    jti        TEXT PRIMARY KEY,
    user_id    INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at TEXT NOT NULL,
    expires_at TEXT NOT NULL,
    address    TEXT NOT NULL,                                 -- where from, for people to know their own
    user_agent TEXT NOT NULL,
    last_used_at TEXT NOT NULL DEFAULT ''                     -- to the minute
) STRICT;
CREATE INDEX sessions_by_user ON sessions (user_id, created_at);

-- Personal tokens for programs; the token itself is shown once, and kept nowhere.
CREATE TABLE api_tokens (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id      INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    sha256       BLOB NOT NULL UNIQUE,
    name         TEXT NOT NULL,
    scope        TEXT NOT NULL CHECK (scope IN ('read', 'operate', 'admin')),
    created_at   TEXT NOT NULL,
    expires_at   TEXT NOT NULL,
    last_used_at TEXT
) STRICT;
CREATE INDEX api_tokens_by_user ON api_tokens (user_id, id);

-- Who did what, to what, when, from where, and what came of it. Names are as they were then. Append-only.
CREATE TABLE audit (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    at         TEXT NOT NULL,
    username   TEXT COLLATE NOCASE,                           -- null: nobody known
    action     TEXT NOT NULL,
    target     TEXT COLLATE NOCASE,
    detail     TEXT,
    address    TEXT,
    result     TEXT NOT NULL,                                 -- 'ok', or the name of the problem
    request_id TEXT
) STRICT;
CREATE INDEX audit_by_username ON audit (username, id);
CREATE INDEX audit_by_target ON audit (target, id);
CREATE INDEX audit_by_action ON audit (action, id);
CREATE INDEX audit_by_time ON audit (at);

-- What the last discovery found below the NAS base path; `left_out` says why a folder cannot be archived.
CREATE TABLE folders (
    path        TEXT PRIMARY KEY,
    level1      TEXT NOT NULL,
    level2      TEXT NOT NULL,
    name        TEXT NOT NULL,
    size_bytes  INTEGER NOT NULL,
    file_count  INTEGER NOT NULL,
    modified_at TEXT,
    left_out    TEXT
) STRICT;

-- Raised by whatever changes `folders` or adds a scan: what was made of one version need not be made again.
CREATE TABLE folder_list (
    version INTEGER NOT NULL
) STRICT;
INSERT INTO folder_list (version) VALUES (0);

CREATE TABLE scans (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    started_at  TEXT NOT NULL,
    finished_at TEXT NOT NULL,
    listed      INTEGER NOT NULL,
    left_out    INTEGER NOT NULL
) STRICT;

CREATE TABLE job_states (
    status TEXT PRIMARY KEY,
    final  INTEGER NOT NULL CHECK (final IN (0, 1))
) STRICT;

INSERT INTO job_states (status, final) VALUES
    ('queued', 0), ('copying', 0), ('compressing', 0), ('verifying', 0), ('awaiting_upload', 0),
    ('uploading', 0), ('upload_verifying', 0), ('deleting_source', 0),
    ('completed', 1), ('failed', 1), ('cancelled', 1);

CREATE TABLE job_moves (
    from_status TEXT NOT NULL REFERENCES job_states (status),
    to_status   TEXT NOT NULL REFERENCES job_states (status),
    PRIMARY KEY (from_status, to_status)
) STRICT, WITHOUT ROWID;

INSERT INTO job_moves (from_status, to_status) VALUES
    -- forward
    ('queued', 'copying'), ('copying', 'compressing'), ('compressing', 'verifying'),
    ('verifying', 'awaiting_upload'), ('awaiting_upload', 'uploading'), ('uploading', 'upload_verifying'),
    ('upload_verifying', 'deleting_source'), ('deleting_source', 'completed'),
    -- back to the queue: disk full, shutdown, crash
    ('copying', 'queued'), ('compressing', 'queued'), ('verifying', 'queued'),
    -- the destination was proven wrong: send it again
    ('upload_verifying', 'uploading'),
    -- retried by a person; from the queue straight to the upload while the verified archive is still there
    ('failed', 'queued'), ('queued', 'awaiting_upload'),
    -- given up
    ('queued', 'failed'), ('copying', 'failed'), ('compressing', 'failed'), ('verifying', 'failed'),
    ('awaiting_upload', 'failed'), ('uploading', 'failed'), ('upload_verifying', 'failed'),
    ('deleting_source', 'failed'),
    -- cancelled; never once the deletion has begun
    ('queued', 'cancelled'), ('copying', 'cancelled'), ('compressing', 'cancelled'), ('verifying', 'cancelled'),
    ('awaiting_upload', 'cancelled'), ('uploading', 'cancelled'), ('upload_verifying', 'cancelled');

CREATE TABLE jobs (
    id                      TEXT PRIMARY KEY,
    seq                     INTEGER NOT NULL UNIQUE,          -- first in, first out; never a clock
    folder_name             TEXT NOT NULL,
    level1                  TEXT NOT NULL,
    level2                  TEXT NOT NULL,
    source_path             TEXT NOT NULL,
    globus_destination_path TEXT NOT NULL,
    archive_path            TEXT,
    on_existing             TEXT NOT NULL DEFAULT 'fail' CHECK (on_existing IN ('fail', 'new_version')),
    status                  TEXT NOT NULL REFERENCES job_states (status),
    progress_percent        INTEGER NOT NULL DEFAULT 0 CHECK (progress_percent BETWEEN 0 AND 100),
    current_operation       TEXT,
    step_started_at         TEXT,
    folder_size_bytes       INTEGER,
    folder_file_count       INTEGER,
    archive_size_bytes      INTEGER,
    archive_sha256          TEXT,
    source_inode            INTEGER,
    attempt                 INTEGER NOT NULL DEFAULT 0,       -- of copying
    manifest_id             INTEGER REFERENCES manifests (id),
    created_by              TEXT NOT NULL,
    created_at              TEXT NOT NULL,
    started_at              TEXT,
    completed_at            TEXT,
    error_message           TEXT,
    error_problem           TEXT,
    retry_count             INTEGER NOT NULL DEFAULT 0,       -- of the present operation
    connection_retries      INTEGER NOT NULL DEFAULT 0,       -- since Globus was last reached
    not_before              TEXT,                             -- of the next attempt
    disk_was_full           INTEGER NOT NULL DEFAULT 0,       -- then it needs twice its size to start again
    cancel_requested_by     TEXT,                             -- then it moves nowhere but to cancelled
    globus_task_id          TEXT
) STRICT;

-- One folder is archived by one job at a time, and no two jobs write to one place.
CREATE UNIQUE INDEX jobs_one_active_per_folder ON jobs (source_path)
    WHERE status NOT IN ('completed', 'failed', 'cancelled');
CREATE UNIQUE INDEX jobs_one_active_per_destination ON jobs (globus_destination_path)
    WHERE status NOT IN ('completed', 'failed', 'cancelled');
CREATE INDEX jobs_by_status ON jobs (status, seq);
-- One for each way to sort the list: SQLite walks the states asked for side by side, and stops where the page ends.
CREATE INDEX jobs_by_created_at ON jobs (status, created_at, seq);
CREATE INDEX jobs_by_started_at ON jobs (status, started_at, seq);
-- This one also has all that is summed up over the list.
CREATE INDEX jobs_by_completed_at ON jobs (status, completed_at, seq, created_by, folder_size_bytes, archive_size_bytes);
CREATE INDEX jobs_by_folder_name ON jobs (status, folder_name, seq);
CREATE INDEX jobs_by_size ON jobs (status, folder_size_bytes, seq);
CREATE INDEX jobs_by_created_by ON jobs (created_by, status, created_at, seq);
CREATE INDEX jobs_by_words ON jobs (source_path, error_message, seq);  -- all that words are searched in

-- Which of them may hold words: every three letters in a row of all that words are searched in, by `seq`. It may name jobs
-- that hold them no longer, or are gone, and lacks none but those below: triggers may not write here (trusted_schema).
CREATE VIRTUAL TABLE job_words USING fts5 (words, content = '', columnsize = 0, detail = none, tokenize = 'trigram');
CREATE TABLE jobs_unindexed (
    seq INTEGER PRIMARY KEY
) STRICT;

-- What the jobs in the list add up to, kept by triggers. Not STRICT: a sum beyond 2^63 turns into a REAL, and fails nobody.
CREATE TABLE job_sums (
    status        TEXT NOT NULL,
    created_by    TEXT NOT NULL,
    jobs          INTEGER NOT NULL,
    folder_bytes  INTEGER NOT NULL,
    archive_bytes INTEGER NOT NULL,
    PRIMARY KEY (status, created_by)
) WITHOUT ROWID;

CREATE TABLE job_history (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id      TEXT NOT NULL,
    from_status TEXT,
    to_status   TEXT NOT NULL,
    at          TEXT NOT NULL
) STRICT;
CREATE INDEX job_history_by_job ON job_history (job_id, id);

CREATE TABLE job_logs (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id    TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    timestamp TEXT NOT NULL,
    level     TEXT NOT NULL CHECK (level IN ('INFO', 'WARNING', 'ERROR')),
    message   TEXT NOT NULL
) STRICT;
CREATE INDEX job_logs_by_job ON job_logs (job_id, id);

-- What a folder held when it was copied. Sealed in one transaction with all its entries.
CREATE TABLE manifests (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id    TEXT NOT NULL,
    attempt   INTEGER NOT NULL,
    sealed_at TEXT NOT NULL,
    files     INTEGER NOT NULL,
    bytes     INTEGER NOT NULL
) STRICT;

CREATE TABLE manifest_entries (
    manifest_id INTEGER NOT NULL REFERENCES manifests (id),
    path        BLOB NOT NULL,
    kind        TEXT NOT NULL CHECK (kind IN ('file', 'dir', 'link')),
    size        INTEGER NOT NULL,
    mtime_ns    INTEGER NOT NULL,
    mode        INTEGER NOT NULL,
    target      BLOB,
    crc32       INTEGER,
    sha256      BLOB,
    PRIMARY KEY (manifest_id, path)
) STRICT, WITHOUT ROWID;

-- One row a submission to Globus: the request is stored before it is sent, so that a crash in between sends
-- the same submission again, which Globus runs only once.
CREATE TABLE uploads (
    id               INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id           TEXT NOT NULL,
    destination_path TEXT NOT NULL,
    archive_size     INTEGER NOT NULL,
    archive_sha256   TEXT NOT NULL,
    compares         INTEGER REFERENCES uploads (id),         -- a second look at what that one sent
    submission_id    TEXT NOT NULL UNIQUE,
    request          TEXT NOT NULL,
    created_at       TEXT NOT NULL,
    task_id          TEXT,
    outcome          TEXT CHECK (outcome IN ('succeeded', 'failed')),
    left_behind      TEXT,                                    -- what the task left at the destination
    doubted          INTEGER NOT NULL DEFAULT 0               -- sent before this database was restored
) STRICT;
CREATE INDEX uploads_by_job ON uploads (job_id, id);
CREATE INDEX uploads_by_destination ON uploads (destination_path);

-- The evidence: every check of an upload with what was expected and what was found. Write-once.
CREATE TABLE verifications (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id    TEXT NOT NULL,
    upload_id INTEGER NOT NULL REFERENCES uploads (id),
    at        TEXT NOT NULL,
    passed    INTEGER NOT NULL CHECK (passed IN (0, 1)),
    checks    TEXT NOT NULL
) STRICT;
CREATE INDEX verifications_by_job ON verifications (job_id, id);

-- The catalogue: what was archived, from where, where to, by whom, with which files. Kept for good.
CREATE TABLE archives (
    id                 INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id             TEXT NOT NULL UNIQUE,
    level1             TEXT NOT NULL,
    level2             TEXT NOT NULL,
    folder_name        TEXT NOT NULL,
    source_path        TEXT NOT NULL,
    globus_collection  TEXT NOT NULL,
    globus_path        TEXT NOT NULL,
    globus_task_id     TEXT NOT NULL,
    archive_size_bytes INTEGER NOT NULL,
    archive_sha256     TEXT NOT NULL,
    manifest_id        INTEGER NOT NULL UNIQUE REFERENCES manifests (id),
    verification_id    INTEGER NOT NULL UNIQUE REFERENCES verifications (id),
    created_by         TEXT NOT NULL,
    archived_at        TEXT NOT NULL,
    source_deleted_at  TEXT,
    UNIQUE (globus_collection, globus_path)
) STRICT;
CREATE INDEX archives_by_deletion ON archives (source_deleted_at, manifest_id, archive_size_bytes);  -- all that is summed up
-- What of the catalogue has its source deleted, summed up by triggers.
CREATE TABLE deletion_sums (
    sources       INTEGER NOT NULL,
    folder_bytes  INTEGER NOT NULL,
    archive_bytes INTEGER NOT NULL
);
INSERT INTO deletion_sums (sources, folder_bytes, archive_bytes) VALUES (0, 0, 0);

-- What people have paused, so that it stays paused over a restart; the audit trail tells who ended a pause.
CREATE TABLE switches (
    name       TEXT PRIMARY KEY,                              -- 'local_paused', 'transfer_paused', 'deletions_paused'
    changed_at TEXT NOT NULL,
    changed_by TEXT NOT NULL
) STRICT;

CREATE TRIGGER jobs_start_queued BEFORE INSERT ON jobs WHEN NEW.status <> 'queued'
BEGIN SELECT RAISE(ABORT, 'a job starts in the state queued'); END;

CREATE TRIGGER jobs_move_as_allowed BEFORE UPDATE OF status ON jobs
WHEN NEW.status <> OLD.status AND NOT EXISTS (
    SELECT 1 FROM job_moves WHERE from_status = OLD.status AND to_status = NEW.status)
BEGIN SELECT RAISE(ABORT, 'this move between states is not allowed'); END;

-- The last line of defence: no deletion without a catalogue row that rests on a passed verification.
CREATE TRIGGER jobs_delete_only_what_is_proven BEFORE UPDATE OF status ON jobs
WHEN NEW.status = 'deleting_source' AND NOT EXISTS (
    SELECT 1 FROM archives AS a JOIN verifications AS v ON v.id = a.verification_id
    WHERE a.job_id = NEW.id AND v.job_id = NEW.id AND v.passed = 1
      AND a.manifest_id = NEW.manifest_id AND a.archive_sha256 = NEW.archive_sha256)
BEGIN SELECT RAISE(ABORT, 'no deletion without a passed verification'); END;

CREATE TRIGGER jobs_history_of_creation AFTER INSERT ON jobs
BEGIN
    INSERT INTO job_history (job_id, from_status, to_status, at)
    VALUES (NEW.id, NULL, NEW.status, strftime('%Y-%m-%dT%H:%M:%fZ', 'now'));
END;

CREATE TRIGGER jobs_history_of_moves AFTER UPDATE OF status ON jobs WHEN NEW.status <> OLD.status
BEGIN
    INSERT INTO job_history (job_id, from_status, to_status, at)
    VALUES (NEW.id, OLD.status, NEW.status, strftime('%Y-%m-%dT%H:%M:%fZ', 'now'));
END;

-- In the transaction of the move itself, so that no deletion is missing and none is told that was not.
CREATE TRIGGER audit_of_deletions AFTER UPDATE OF status ON jobs
WHEN NEW.status <> OLD.status AND 'deleting_source' IN (OLD.status, NEW.status)
BEGIN
    INSERT INTO audit (at, username, action, target, detail, result)
    VALUES (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), NEW.created_by,
            CASE NEW.status WHEN 'deleting_source' THEN 'source_deletion_begun'
                            WHEN 'completed' THEN 'source_deleted' ELSE 'source_deletion_stopped' END,
            NEW.source_path,
            'job ' || NEW.id || ', archive ' || NEW.globus_destination_path || ', SHA-256 ' || NEW.archive_sha256,
            CASE NEW.status WHEN 'failed' THEN coalesce(NEW.error_problem, 'job-failed') ELSE 'ok' END);
END;

-- What is counted: these refuse nothing.
CREATE TRIGGER folder_list_longer AFTER INSERT ON folders BEGIN UPDATE folder_list SET version = version + 1; END;
CREATE TRIGGER folder_list_other AFTER UPDATE ON folders BEGIN UPDATE folder_list SET version = version + 1; END;
CREATE TRIGGER folder_list_shorter AFTER DELETE ON folders BEGIN UPDATE folder_list SET version = version + 1; END;
CREATE TRIGGER folder_list_scanned AFTER INSERT ON scans BEGIN UPDATE folder_list SET version = version + 1; END;

CREATE TRIGGER jobs_counted_when_new AFTER INSERT ON jobs
BEGIN
    INSERT INTO job_sums (status, created_by, jobs, folder_bytes, archive_bytes)
    VALUES (NEW.status, NEW.created_by, 1, coalesce(NEW.folder_size_bytes, 0), coalesce(NEW.archive_size_bytes, 0))
    ON CONFLICT (status, created_by) DO UPDATE SET jobs = jobs + 1,
        folder_bytes = folder_bytes + excluded.folder_bytes, archive_bytes = archive_bytes + excluded.archive_bytes;
END;

CREATE TRIGGER jobs_counted_when_changed
AFTER UPDATE OF status, created_by, folder_size_bytes, archive_size_bytes ON jobs
WHEN (OLD.status, OLD.created_by, OLD.folder_size_bytes, OLD.archive_size_bytes)
    IS NOT (NEW.status, NEW.created_by, NEW.folder_size_bytes, NEW.archive_size_bytes)
BEGIN
    UPDATE job_sums SET jobs = jobs - 1, folder_bytes = folder_bytes - coalesce(OLD.folder_size_bytes, 0),
        archive_bytes = archive_bytes - coalesce(OLD.archive_size_bytes, 0)
    WHERE status = OLD.status AND created_by = OLD.created_by;
    INSERT INTO job_sums (status, created_by, jobs, folder_bytes, archive_bytes)
    VALUES (NEW.status, NEW.created_by, 1, coalesce(NEW.folder_size_bytes, 0), coalesce(NEW.archive_size_bytes, 0))
    ON CONFLICT (status, created_by) DO UPDATE SET jobs = jobs + 1,
        folder_bytes = folder_bytes + excluded.folder_bytes, archive_bytes = archive_bytes + excluded.archive_bytes;
END;

CREATE TRIGGER jobs_counted_when_cleared AFTER DELETE ON jobs
BEGIN
    UPDATE job_sums SET jobs = jobs - 1, folder_bytes = folder_bytes - coalesce(OLD.folder_size_bytes, 0),
        archive_bytes = archive_bytes - coalesce(OLD.archive_size_bytes, 0)
    WHERE status = OLD.status AND created_by = OLD.created_by;
END;

CREATE TRIGGER jobs_unindexed_when_new AFTER INSERT ON jobs
BEGIN INSERT INTO jobs_unindexed (seq) VALUES (NEW.seq) ON CONFLICT DO NOTHING; END;

CREATE TRIGGER jobs_unindexed_when_changed AFTER UPDATE OF seq, source_path, error_message ON jobs
WHEN (OLD.seq, OLD.source_path, OLD.error_message) IS NOT (NEW.seq, NEW.source_path, NEW.error_message)
BEGIN INSERT INTO jobs_unindexed (seq) VALUES (NEW.seq) ON CONFLICT DO NOTHING; END;

CREATE TRIGGER jobs_unindexed_when_cleared AFTER DELETE ON jobs
BEGIN DELETE FROM jobs_unindexed WHERE seq = OLD.seq; END;

CREATE TRIGGER deletions_counted AFTER UPDATE OF source_deleted_at ON archives
WHEN OLD.source_deleted_at IS NULL AND NEW.source_deleted_at IS NOT NULL
BEGIN
    UPDATE deletion_sums SET sources = sources + 1, archive_bytes = archive_bytes + NEW.archive_size_bytes,
        folder_bytes = folder_bytes + coalesce((SELECT bytes FROM manifests WHERE id = NEW.manifest_id), 0);
END;

CREATE TRIGGER deletions_counted_when_new AFTER INSERT ON archives WHEN NEW.source_deleted_at IS NOT NULL
BEGIN
    UPDATE deletion_sums SET sources = sources + 1, archive_bytes = archive_bytes + NEW.archive_size_bytes,
        folder_bytes = folder_bytes + coalesce((SELECT bytes FROM manifests WHERE id = NEW.manifest_id), 0);
END;

-- Those before an insert are for INSERT OR REPLACE, which asks no trigger of the row that it takes away.
CREATE TRIGGER audit_is_append_only_u BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END;
CREATE TRIGGER audit_is_append_only_d BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END;
CREATE TRIGGER audit_is_append_only_i BEFORE INSERT ON audit
WHEN EXISTS (SELECT 1 FROM audit WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END;
CREATE TRIGGER job_history_is_append_only_u BEFORE UPDATE ON job_history
BEGIN SELECT RAISE(ABORT, 'job_history is append-only'); END;
CREATE TRIGGER job_history_is_append_only_d BEFORE DELETE ON job_history
BEGIN SELECT RAISE(ABORT, 'job_history is append-only'); END;
CREATE TRIGGER job_history_is_append_only_i BEFORE INSERT ON job_history
WHEN EXISTS (SELECT 1 FROM job_history WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'job_history is append-only'); END;
CREATE TRIGGER verifications_are_write_once_u BEFORE UPDATE ON verifications
BEGIN SELECT RAISE(ABORT, 'verifications are write-once'); END;
CREATE TRIGGER verifications_are_write_once_d BEFORE DELETE ON verifications
BEGIN SELECT RAISE(ABORT, 'verifications are write-once'); END;
CREATE TRIGGER verifications_are_write_once_i BEFORE INSERT ON verifications
WHEN EXISTS (SELECT 1 FROM verifications WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'verifications are write-once'); END;
CREATE TRIGGER archives_stay BEFORE DELETE ON archives
BEGIN SELECT RAISE(ABORT, 'the catalogue is kept for good'); END;
CREATE TRIGGER archives_are_not_replaced BEFORE INSERT ON archives
WHEN EXISTS (
    SELECT 1 FROM archives
    WHERE id = NEW.id OR job_id = NEW.job_id OR manifest_id = NEW.manifest_id OR verification_id = NEW.verification_id
       OR (globus_collection = NEW.globus_collection AND globus_path = NEW.globus_path))
BEGIN SELECT RAISE(ABORT, 'the catalogue does not change'); END;
CREATE TRIGGER archives_change_once BEFORE UPDATE ON archives
WHEN OLD.source_deleted_at IS NOT NULL OR (
    NEW.id, NEW.job_id, NEW.level1, NEW.level2, NEW.folder_name, NEW.source_path, NEW.globus_collection,
    NEW.globus_path, NEW.globus_task_id, NEW.archive_size_bytes, NEW.archive_sha256, NEW.manifest_id,
    NEW.verification_id, NEW.created_by, NEW.archived_at
) IS NOT (
    OLD.id, OLD.job_id, OLD.level1, OLD.level2, OLD.folder_name, OLD.source_path, OLD.globus_collection,
    OLD.globus_path, OLD.globus_task_id, OLD.archive_size_bytes, OLD.archive_sha256, OLD.manifest_id,
    OLD.verification_id, OLD.created_by, OLD.archived_at)
BEGIN SELECT RAISE(ABORT, 'the catalogue does not change'); END;
CREATE TRIGGER manifest_entries_are_write_once BEFORE UPDATE ON manifest_entries
BEGIN SELECT RAISE(ABORT, 'a sealed manifest does not change'); END;
CREATE TRIGGER manifest_entries_in_the_catalogue_stay BEFORE DELETE ON manifest_entries
WHEN EXISTS (SELECT 1 FROM archives WHERE manifest_id = OLD.manifest_id)
BEGIN SELECT RAISE(ABORT, 'the catalogue is kept for good'); END;

PRAGMA user_version = 6;
