-- A database as the first version left it, with jobs in every state. Frozen: every upgrade begins here.
BEGIN TRANSACTION;
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
INSERT INTO "api_tokens" VALUES(1,1,X'00FF','nightly script','operate','2026-01-15T14:00:00.000Z','2027-01-15T14:00:00.000Z',NULL);
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
INSERT INTO "archives" VALUES(1,'d4876935-b663-402a-a7c2-a6548e044300','Production','2024','Cleared','/nas/Production/2024/Cleared','collection','/Production/2024/Cleared.tar.7z','task',32,'aa',1,1,'admin','2026-11-23T00:47:14.332Z',NULL);
INSERT INTO "archives" VALUES(2,'cbb9b69e-2c4b-4d95-8a8b-33395347ffe9','Production','2024','Deleting','/nas/Production/2024/Deleting','collection','/Production/2024/Deleting.tar.7z','task',32,'aa',2,2,'admin','2026-11-23T00:47:14.969Z',NULL);
INSERT INTO "archives" VALUES(3,'b7be38a4-6a74-4236-912e-6df825ec3379','Production','2024','Completed','/nas/Production/2024/Completed','collection','/Production/2024/Completed.tar.7z','task',32,'aa',3,3,'admin','2026-11-23T00:47:15.072Z',NULL);
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
INSERT INTO "audit" VALUES(1,'2026-11-23T00:47:14.348Z','admin','source_deletion_begun','/nas/Production/2024/Cleared','job d4876935-b663-402a-a7c2-a6548e044300, archive /Production/2024/Cleared.tar.7z, SHA-256 aa',NULL,'ok',NULL);
INSERT INTO "audit" VALUES(2,'2026-11-23T00:47:14.366Z','admin','source_deleted','/nas/Production/2024/Cleared','job d4876935-b663-402a-a7c2-a6548e044300, archive /Production/2024/Cleared.tar.7z, SHA-256 aa',NULL,'ok',NULL);
INSERT INTO "audit" VALUES(3,'2026-11-23T00:47:14.973Z','admin','source_deletion_begun','/nas/Production/2024/Deleting','job cbb9b69e-2c4b-4d95-8a8b-33395347ffe9, archive /Production/2024/Deleting.tar.7z, SHA-256 aa',NULL,'ok',NULL);
INSERT INTO "audit" VALUES(4,'2026-11-23T00:47:15.074Z','admin','source_deletion_begun','/nas/Production/2024/Completed','job b7be38a4-6a74-4236-912e-6df825ec3379, archive /Production/2024/Completed.tar.7z, SHA-256 aa',NULL,'ok',NULL);
INSERT INTO "audit" VALUES(5,'2026-11-23T00:47:15.076Z','admin','source_deleted','/nas/Production/2024/Completed','job b7be38a4-6a74-4236-912e-6df825ec3379, archive /Production/2024/Completed.tar.7z, SHA-256 aa',NULL,'ok',NULL);
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
INSERT INTO "folders" VALUES('/nas/Production/2024/Queued','Production','2024','Queued',5,1,NULL,NULL);
CREATE TABLE job_history (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id      TEXT NOT NULL,
    from_status TEXT,
    to_status   TEXT NOT NULL,
    at          TEXT NOT NULL
) STRICT;
INSERT INTO "job_history" VALUES(1,'d4876935-b663-402a-a7c2-a6548e044300',NULL,'queued','2026-11-23T00:47:14.138Z');
INSERT INTO "job_history" VALUES(2,'d4876935-b663-402a-a7c2-a6548e044300','queued','copying','2026-11-23T00:47:14.154Z');
INSERT INTO "job_history" VALUES(3,'d4876935-b663-402a-a7c2-a6548e044300','copying','compressing','2026-11-23T00:47:14.165Z');
INSERT INTO "job_history" VALUES(4,'d4876935-b663-402a-a7c2-a6548e044300','compressing','verifying','2026-11-23T00:47:14.171Z');
INSERT INTO "job_history" VALUES(5,'d4876935-b663-402a-a7c2-a6548e044300','verifying','awaiting_upload','2026-11-23T00:47:14.181Z');
INSERT INTO "job_history" VALUES(6,'d4876935-b663-402a-a7c2-a6548e044300','awaiting_upload','uploading','2026-11-23T00:47:14.197Z');
INSERT INTO "job_history" VALUES(7,'d4876935-b663-402a-a7c2-a6548e044300','uploading','upload_verifying','2026-11-23T00:47:14.233Z');
INSERT INTO "job_history" VALUES(8,'d4876935-b663-402a-a7c2-a6548e044300','upload_verifying','deleting_source','2026-11-23T00:47:14.348Z');
INSERT INTO "job_history" VALUES(9,'d4876935-b663-402a-a7c2-a6548e044300','deleting_source','completed','2026-11-23T00:47:14.366Z');
INSERT INTO "job_history" VALUES(10,'2629eb6f-b649-44b3-b415-40b6ab6c364b',NULL,'queued','2026-11-23T00:47:14.399Z');
INSERT INTO "job_history" VALUES(11,'beb9c972-7455-44d9-b602-d35c0a31b4a0',NULL,'queued','2026-11-23T00:47:14.423Z');
INSERT INTO "job_history" VALUES(12,'beb9c972-7455-44d9-b602-d35c0a31b4a0','queued','copying','2026-11-23T00:47:14.438Z');
INSERT INTO "job_history" VALUES(13,'194434f7-983e-47b8-91ed-b11889793f3a',NULL,'queued','2026-11-23T00:47:14.462Z');
INSERT INTO "job_history" VALUES(14,'194434f7-983e-47b8-91ed-b11889793f3a','queued','copying','2026-11-23T00:47:14.472Z');
INSERT INTO "job_history" VALUES(15,'194434f7-983e-47b8-91ed-b11889793f3a','copying','compressing','2026-11-23T00:47:14.486Z');
INSERT INTO "job_history" VALUES(16,'96d09d31-4d27-420b-91ea-fdb80fc9766d',NULL,'queued','2026-11-23T00:47:14.514Z');
INSERT INTO "job_history" VALUES(17,'96d09d31-4d27-420b-91ea-fdb80fc9766d','queued','copying','2026-11-23T00:47:14.523Z');
INSERT INTO "job_history" VALUES(18,'96d09d31-4d27-420b-91ea-fdb80fc9766d','copying','compressing','2026-11-23T00:47:14.529Z');
INSERT INTO "job_history" VALUES(19,'96d09d31-4d27-420b-91ea-fdb80fc9766d','compressing','verifying','2026-11-23T00:47:14.543Z');
INSERT INTO "job_history" VALUES(20,'d4ffcdea-bd30-4614-b94f-c5e6415d67c6',NULL,'queued','2026-11-23T00:47:14.559Z');
INSERT INTO "job_history" VALUES(21,'d4ffcdea-bd30-4614-b94f-c5e6415d67c6','queued','copying','2026-11-23T00:47:14.589Z');
INSERT INTO "job_history" VALUES(22,'d4ffcdea-bd30-4614-b94f-c5e6415d67c6','copying','compressing','2026-11-23T00:47:14.601Z');
INSERT INTO "job_history" VALUES(23,'d4ffcdea-bd30-4614-b94f-c5e6415d67c6','compressing','verifying','2026-11-23T00:47:14.609Z');
INSERT INTO "job_history" VALUES(24,'d4ffcdea-bd30-4614-b94f-c5e6415d67c6','verifying','awaiting_upload','2026-11-23T00:47:14.630Z');
INSERT INTO "job_history" VALUES(25,'633bb17a-8cb1-42f8-903c-cd6838d797ff',NULL,'queued','2026-11-23T00:47:14.646Z');
INSERT INTO "job_history" VALUES(26,'633bb17a-8cb1-42f8-903c-cd6838d797ff','queued','copying','2026-11-23T00:47:14.655Z');
INSERT INTO "job_history" VALUES(27,'633bb17a-8cb1-42f8-903c-cd6838d797ff','copying','compressing','2026-11-23T00:47:14.661Z');
INSERT INTO "job_history" VALUES(28,'633bb17a-8cb1-42f8-903c-cd6838d797ff','compressing','verifying','2026-11-23T00:47:14.670Z');
INSERT INTO "job_history" VALUES(29,'633bb17a-8cb1-42f8-903c-cd6838d797ff','verifying','awaiting_upload','2026-11-23T00:47:14.698Z');
INSERT INTO "job_history" VALUES(30,'633bb17a-8cb1-42f8-903c-cd6838d797ff','awaiting_upload','uploading','2026-11-23T00:47:14.711Z');
INSERT INTO "job_history" VALUES(31,'ebd903f3-6a4a-43e4-9bbb-84d737655e7e',NULL,'queued','2026-11-23T00:47:14.786Z');
INSERT INTO "job_history" VALUES(32,'ebd903f3-6a4a-43e4-9bbb-84d737655e7e','queued','copying','2026-11-23T00:47:14.801Z');
INSERT INTO "job_history" VALUES(33,'ebd903f3-6a4a-43e4-9bbb-84d737655e7e','copying','compressing','2026-11-23T00:47:14.811Z');
INSERT INTO "job_history" VALUES(34,'ebd903f3-6a4a-43e4-9bbb-84d737655e7e','compressing','verifying','2026-11-23T00:47:14.816Z');
INSERT INTO "job_history" VALUES(35,'ebd903f3-6a4a-43e4-9bbb-84d737655e7e','verifying','awaiting_upload','2026-11-23T00:47:14.837Z');
INSERT INTO "job_history" VALUES(36,'ebd903f3-6a4a-43e4-9bbb-84d737655e7e','awaiting_upload','uploading','2026-11-23T00:47:14.845Z');
INSERT INTO "job_history" VALUES(37,'ebd903f3-6a4a-43e4-9bbb-84d737655e7e','uploading','upload_verifying','2026-11-23T00:47:14.853Z');
INSERT INTO "job_history" VALUES(38,'cbb9b69e-2c4b-4d95-8a8b-33395347ffe9',NULL,'queued','2026-11-23T00:47:14.879Z');
INSERT INTO "job_history" VALUES(39,'cbb9b69e-2c4b-4d95-8a8b-33395347ffe9','queued','copying','2026-11-23T00:47:14.886Z');
INSERT INTO "job_history" VALUES(40,'cbb9b69e-2c4b-4d95-8a8b-33395347ffe9','copying','compressing','2026-11-23T00:47:14.902Z');
INSERT INTO "job_history" VALUES(41,'cbb9b69e-2c4b-4d95-8a8b-33395347ffe9','compressing','verifying','2026-11-23T00:47:14.933Z');
INSERT INTO "job_history" VALUES(42,'cbb9b69e-2c4b-4d95-8a8b-33395347ffe9','verifying','awaiting_upload','2026-11-23T00:47:14.941Z');
INSERT INTO "job_history" VALUES(43,'cbb9b69e-2c4b-4d95-8a8b-33395347ffe9','awaiting_upload','uploading','2026-11-23T00:47:14.947Z');
INSERT INTO "job_history" VALUES(44,'cbb9b69e-2c4b-4d95-8a8b-33395347ffe9','uploading','upload_verifying','2026-11-23T00:47:14.951Z');
INSERT INTO "job_history" VALUES(45,'cbb9b69e-2c4b-4d95-8a8b-33395347ffe9','upload_verifying','deleting_source','2026-11-23T00:47:14.973Z');
INSERT INTO "job_history" VALUES(46,'b7be38a4-6a74-4236-912e-6df825ec3379',NULL,'queued','2026-11-23T00:47:14.982Z');
INSERT INTO "job_history" VALUES(47,'b7be38a4-6a74-4236-912e-6df825ec3379','queued','copying','2026-11-23T00:47:14.997Z');
INSERT INTO "job_history" VALUES(48,'b7be38a4-6a74-4236-912e-6df825ec3379','copying','compressing','2026-11-23T00:47:15.017Z');
INSERT INTO "job_history" VALUES(49,'b7be38a4-6a74-4236-912e-6df825ec3379','compressing','verifying','2026-11-23T00:47:15.039Z');
INSERT INTO "job_history" VALUES(50,'b7be38a4-6a74-4236-912e-6df825ec3379','verifying','awaiting_upload','2026-11-23T00:47:15.058Z');
INSERT INTO "job_history" VALUES(51,'b7be38a4-6a74-4236-912e-6df825ec3379','awaiting_upload','uploading','2026-11-23T00:47:15.060Z');
INSERT INTO "job_history" VALUES(52,'b7be38a4-6a74-4236-912e-6df825ec3379','uploading','upload_verifying','2026-11-23T00:47:15.063Z');
INSERT INTO "job_history" VALUES(53,'b7be38a4-6a74-4236-912e-6df825ec3379','upload_verifying','deleting_source','2026-11-23T00:47:15.074Z');
INSERT INTO "job_history" VALUES(54,'b7be38a4-6a74-4236-912e-6df825ec3379','deleting_source','completed','2026-11-23T00:47:15.076Z');
INSERT INTO "job_history" VALUES(55,'bd3705b3-dd14-4c0d-831b-49bb7e30ce6a',NULL,'queued','2026-11-23T00:47:15.083Z');
INSERT INTO "job_history" VALUES(56,'bd3705b3-dd14-4c0d-831b-49bb7e30ce6a','queued','copying','2026-11-23T00:47:15.085Z');
INSERT INTO "job_history" VALUES(57,'bd3705b3-dd14-4c0d-831b-49bb7e30ce6a','copying','failed','2026-11-23T00:47:15.087Z');
INSERT INTO "job_history" VALUES(58,'5a1a649d-1e2b-46c9-b9bc-b29c726e4951',NULL,'queued','2026-11-23T00:47:15.091Z');
INSERT INTO "job_history" VALUES(59,'5a1a649d-1e2b-46c9-b9bc-b29c726e4951','queued','cancelled','2026-11-23T00:47:15.094Z');
CREATE TABLE job_logs (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id    TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    timestamp TEXT NOT NULL,
    level     TEXT NOT NULL CHECK (level IN ('INFO', 'WARNING', 'ERROR')),
    message   TEXT NOT NULL
) STRICT;
INSERT INTO "job_logs" VALUES(1,'2629eb6f-b649-44b3-b415-40b6ab6c364b','2026-11-23T00:47:14.406Z','INFO','It''s in the state queued');
INSERT INTO "job_logs" VALUES(2,'beb9c972-7455-44d9-b602-d35c0a31b4a0','2026-11-23T00:47:14.452Z','INFO','It''s in the state copying');
INSERT INTO "job_logs" VALUES(3,'194434f7-983e-47b8-91ed-b11889793f3a','2026-11-23T00:47:14.497Z','INFO','It''s in the state compressing');
INSERT INTO "job_logs" VALUES(4,'96d09d31-4d27-420b-91ea-fdb80fc9766d','2026-11-23T00:47:14.546Z','INFO','It''s in the state verifying');
INSERT INTO "job_logs" VALUES(5,'d4ffcdea-bd30-4614-b94f-c5e6415d67c6','2026-11-23T00:47:14.636Z','INFO','It''s in the state awaiting_upload');
INSERT INTO "job_logs" VALUES(6,'633bb17a-8cb1-42f8-903c-cd6838d797ff','2026-11-23T00:47:14.760Z','INFO','It''s in the state uploading');
INSERT INTO "job_logs" VALUES(7,'ebd903f3-6a4a-43e4-9bbb-84d737655e7e','2026-11-23T00:47:14.862Z','INFO','It''s in the state upload_verifying');
INSERT INTO "job_logs" VALUES(8,'cbb9b69e-2c4b-4d95-8a8b-33395347ffe9','2026-11-23T00:47:14.977Z','INFO','It''s in the state deleting_source');
INSERT INTO "job_logs" VALUES(9,'b7be38a4-6a74-4236-912e-6df825ec3379','2026-11-23T00:47:15.080Z','INFO','It''s in the state completed');
INSERT INTO "job_logs" VALUES(10,'bd3705b3-dd14-4c0d-831b-49bb7e30ce6a','2026-11-23T00:47:15.089Z','INFO','It''s in the state failed');
INSERT INTO "job_logs" VALUES(11,'5a1a649d-1e2b-46c9-b9bc-b29c726e4951','2026-11-23T00:47:15.124Z','INFO','It''s in the state cancelled');
CREATE TABLE job_moves (
    from_status TEXT NOT NULL REFERENCES job_states (status),
    to_status   TEXT NOT NULL REFERENCES job_states (status),
    PRIMARY KEY (from_status, to_status)
) STRICT, WITHOUT ROWID;
INSERT INTO "job_moves" VALUES('awaiting_upload','cancelled');
INSERT INTO "job_moves" VALUES('awaiting_upload','failed');
INSERT INTO "job_moves" VALUES('awaiting_upload','uploading');
INSERT INTO "job_moves" VALUES('compressing','cancelled');
INSERT INTO "job_moves" VALUES('compressing','failed');
INSERT INTO "job_moves" VALUES('compressing','queued');
INSERT INTO "job_moves" VALUES('compressing','verifying');
INSERT INTO "job_moves" VALUES('copying','cancelled');
INSERT INTO "job_moves" VALUES('copying','compressing');
INSERT INTO "job_moves" VALUES('copying','failed');
INSERT INTO "job_moves" VALUES('copying','queued');
INSERT INTO "job_moves" VALUES('deleting_source','completed');
INSERT INTO "job_moves" VALUES('deleting_source','failed');
INSERT INTO "job_moves" VALUES('failed','queued');
INSERT INTO "job_moves" VALUES('queued','awaiting_upload');
INSERT INTO "job_moves" VALUES('queued','cancelled');
INSERT INTO "job_moves" VALUES('queued','copying');
INSERT INTO "job_moves" VALUES('queued','failed');
INSERT INTO "job_moves" VALUES('upload_verifying','cancelled');
INSERT INTO "job_moves" VALUES('upload_verifying','deleting_source');
INSERT INTO "job_moves" VALUES('upload_verifying','failed');
INSERT INTO "job_moves" VALUES('upload_verifying','uploading');
INSERT INTO "job_moves" VALUES('uploading','cancelled');
INSERT INTO "job_moves" VALUES('uploading','failed');
INSERT INTO "job_moves" VALUES('uploading','upload_verifying');
INSERT INTO "job_moves" VALUES('verifying','awaiting_upload');
INSERT INTO "job_moves" VALUES('verifying','cancelled');
INSERT INTO "job_moves" VALUES('verifying','failed');
INSERT INTO "job_moves" VALUES('verifying','queued');
CREATE TABLE job_states (
    status TEXT PRIMARY KEY,
    final  INTEGER NOT NULL CHECK (final IN (0, 1))
) STRICT;
INSERT INTO "job_states" VALUES('queued',0);
INSERT INTO "job_states" VALUES('copying',0);
INSERT INTO "job_states" VALUES('compressing',0);
INSERT INTO "job_states" VALUES('verifying',0);
INSERT INTO "job_states" VALUES('awaiting_upload',0);
INSERT INTO "job_states" VALUES('uploading',0);
INSERT INTO "job_states" VALUES('upload_verifying',0);
INSERT INTO "job_states" VALUES('deleting_source',0);
INSERT INTO "job_states" VALUES('completed',1);
INSERT INTO "job_states" VALUES('failed',1);
INSERT INTO "job_states" VALUES('cancelled',1);
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
INSERT INTO "jobs" VALUES('2629eb6f-b649-44b3-b415-40b6ab6c364b',1,'Queued','Production','2024','/nas/Production/2024/Queued','/Production/2024/Queued.tar.7z',NULL,'fail','queued',0,NULL,NULL,5,NULL,NULL,NULL,NULL,0,NULL,'admin','2026-11-23T00:47:14.399Z',NULL,NULL,NULL,NULL,0,0,NULL,0,NULL,NULL);
INSERT INTO "jobs" VALUES('beb9c972-7455-44d9-b602-d35c0a31b4a0',2,'copying','Production','2024','/nas/Production/2024/copying','/Production/2024/copying.tar.7z',NULL,'fail','copying',0,NULL,'2026-11-23T00:47:14.433Z',5,NULL,NULL,NULL,NULL,0,NULL,'admin','2026-11-23T00:47:14.422Z',NULL,NULL,NULL,NULL,0,0,NULL,0,NULL,NULL);
INSERT INTO "jobs" VALUES('194434f7-983e-47b8-91ed-b11889793f3a',3,'compressing','Production','2024','/nas/Production/2024/compressing','/Production/2024/compressing.tar.7z',NULL,'fail','compressing',0,NULL,'2026-11-23T00:47:14.482Z',5,NULL,NULL,NULL,NULL,0,NULL,'admin','2026-11-23T00:47:14.461Z',NULL,NULL,NULL,NULL,0,0,NULL,0,NULL,NULL);
INSERT INTO "jobs" VALUES('96d09d31-4d27-420b-91ea-fdb80fc9766d',4,'verifying','Production','2024','/nas/Production/2024/verifying','/Production/2024/verifying.tar.7z',NULL,'fail','verifying',0,NULL,'2026-11-23T00:47:14.538Z',5,NULL,NULL,NULL,NULL,0,NULL,'admin','2026-11-23T00:47:14.512Z',NULL,NULL,NULL,NULL,0,0,NULL,0,NULL,NULL);
INSERT INTO "jobs" VALUES('d4ffcdea-bd30-4614-b94f-c5e6415d67c6',5,'awaiting_upload','Production','2024','/nas/Production/2024/awaiting_upload','/Production/2024/awaiting_upload.tar.7z',NULL,'fail','awaiting_upload',0,NULL,'2026-11-23T00:47:14.620Z',5,NULL,NULL,NULL,NULL,0,NULL,'admin','2026-11-23T00:47:14.556Z',NULL,NULL,NULL,NULL,0,0,NULL,0,NULL,NULL);
INSERT INTO "jobs" VALUES('633bb17a-8cb1-42f8-903c-cd6838d797ff',6,'uploading','Production','2024','/nas/Production/2024/uploading','/Production/2024/uploading.tar.7z',NULL,'fail','uploading',0,NULL,'2026-11-23T00:47:14.709Z',5,NULL,32,'aa',NULL,0,NULL,'admin','2026-11-23T00:47:14.643Z',NULL,NULL,NULL,NULL,0,0,NULL,0,NULL,NULL);
INSERT INTO "jobs" VALUES('ebd903f3-6a4a-43e4-9bbb-84d737655e7e',7,'upload_verifying','Production','2024','/nas/Production/2024/upload_verifying','/Production/2024/upload_verifying.tar.7z',NULL,'fail','upload_verifying',0,NULL,'2026-11-23T00:47:14.849Z',5,NULL,NULL,NULL,NULL,0,NULL,'admin','2026-11-23T00:47:14.784Z',NULL,NULL,NULL,NULL,0,0,NULL,0,NULL,NULL);
INSERT INTO "jobs" VALUES('cbb9b69e-2c4b-4d95-8a8b-33395347ffe9',8,'Deleting','Production','2024','/nas/Production/2024/Deleting','/Production/2024/Deleting.tar.7z',NULL,'fail','deleting_source',0,NULL,'2026-11-23T00:47:14.972Z',5,NULL,32,'aa',NULL,0,2,'admin','2026-11-23T00:47:14.877Z',NULL,NULL,NULL,NULL,0,0,NULL,0,NULL,'task');
INSERT INTO "jobs" VALUES('b7be38a4-6a74-4236-912e-6df825ec3379',9,'Completed','Production','2024','/nas/Production/2024/Completed','/Production/2024/Completed.tar.7z',NULL,'fail','completed',100,NULL,'2026-11-23T00:47:15.075Z',5,NULL,32,'aa',NULL,0,3,'admin','2026-11-23T00:47:14.981Z',NULL,'2026-11-23T00:47:15.075Z',NULL,NULL,0,0,NULL,0,NULL,'task');
INSERT INTO "jobs" VALUES('bd3705b3-dd14-4c0d-831b-49bb7e30ce6a',10,'Failed','Production','2024','/nas/Production/2024/Failed','/Production/2024/Failed.tar.7z',NULL,'fail','failed',0,NULL,'2026-11-23T00:47:15.086Z',5,NULL,NULL,NULL,NULL,0,NULL,'admin','2026-11-23T00:47:15.083Z',NULL,'2026-11-23T00:47:15.086Z','cannot read ''take 1.mov'': Permission denied','source-unreadable',0,0,NULL,0,NULL,NULL);
INSERT INTO "jobs" VALUES('5a1a649d-1e2b-46c9-b9bc-b29c726e4951',11,'Cancelled','Production','2024','/nas/Production/2024/Cancelled','/Production/2024/Cancelled.tar.7z',NULL,'fail','cancelled',0,NULL,'2026-11-23T00:47:15.092Z',5,NULL,NULL,NULL,NULL,0,NULL,'admin','2026-11-23T00:47:15.091Z',NULL,'2026-11-23T00:47:15.092Z',NULL,NULL,0,0,NULL,0,NULL,NULL);
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
INSERT INTO "manifest_entries" VALUES(1,X'66696C65','file',5,7,420,NULL,9,X'7878787878787878787878787878787878787878787878787878787878787878');
INSERT INTO "manifest_entries" VALUES(2,X'66696C65','file',5,7,420,NULL,9,X'7878787878787878787878787878787878787878787878787878787878787878');
INSERT INTO "manifest_entries" VALUES(3,X'66696C65','file',5,7,420,NULL,9,X'7878787878787878787878787878787878787878787878787878787878787878');
CREATE TABLE manifests (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id    TEXT NOT NULL,
    attempt   INTEGER NOT NULL,
    sealed_at TEXT NOT NULL,
    files     INTEGER NOT NULL,
    bytes     INTEGER NOT NULL
) STRICT;
INSERT INTO "manifests" VALUES(1,'d4876935-b663-402a-a7c2-a6548e044300',0,'2026-11-23T00:47:14.245Z',1,5);
INSERT INTO "manifests" VALUES(2,'cbb9b69e-2c4b-4d95-8a8b-33395347ffe9',0,'2026-11-23T00:47:14.952Z',1,5);
INSERT INTO "manifests" VALUES(3,'b7be38a4-6a74-4236-912e-6df825ec3379',0,'2026-11-23T00:47:15.064Z',1,5);
CREATE TABLE scans (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    started_at  TEXT NOT NULL,
    finished_at TEXT NOT NULL,
    listed      INTEGER NOT NULL,
    left_out    INTEGER NOT NULL
) STRICT;
INSERT INTO "scans" VALUES(1,'2026-01-15T14:00:00.000Z','2026-01-15T14:00:01.000Z',1,0);
CREATE TABLE sessions (
    jti        TEXT PRIMARY KEY,
    user_id    INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at TEXT NOT NULL,
    expires_at TEXT NOT NULL,
    address    TEXT NOT NULL,                                 -- where from, for people to know their own
    user_agent TEXT NOT NULL
) STRICT;
INSERT INTO "sessions" VALUES('a',1,'2026-01-15T14:00:00.000Z','2026-01-16T14:00:00.000Z','192.0.2.7','curl');
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
INSERT INTO "uploads" VALUES(1,'d4876935-b663-402a-a7c2-a6548e044300','/Production/2024/Cleared.tar.7z',32,'aa',NULL,'aa392632-a04b-409c-a5c6-d660554a4cb3','{"DATA": []}','2026-11-23T00:47:14.271Z','task',NULL,NULL,0);
INSERT INTO "uploads" VALUES(3,'633bb17a-8cb1-42f8-903c-cd6838d797ff','/Production/2024/uploading.tar.7z',32,'aa',NULL,'d0829c1e-d7eb-4f29-9050-7d5bce5fec07','{"label": "x"}','2026-11-23T00:47:14.739Z',NULL,NULL,NULL,0);
INSERT INTO "uploads" VALUES(4,'cbb9b69e-2c4b-4d95-8a8b-33395347ffe9','/Production/2024/Deleting.tar.7z',32,'aa',NULL,'30e0f23f-09fa-4ca6-93a9-3e3628cc200e','{"DATA": []}','2026-11-23T00:47:14.957Z','task',NULL,NULL,0);
INSERT INTO "uploads" VALUES(6,'b7be38a4-6a74-4236-912e-6df825ec3379','/Production/2024/Completed.tar.7z',32,'aa',NULL,'9efd4bd2-e58d-4a3f-8d07-458120aed87c','{"DATA": []}','2026-11-23T00:47:15.068Z','task',NULL,NULL,0);
CREATE TABLE users (
    id                   INTEGER PRIMARY KEY AUTOINCREMENT,
    username             TEXT NOT NULL UNIQUE COLLATE NOCASE,
    password_hash        TEXT NOT NULL,
    is_admin             INTEGER NOT NULL DEFAULT 0 CHECK (is_admin IN (0, 1)),
    must_change_password INTEGER NOT NULL DEFAULT 0 CHECK (must_change_password IN (0, 1)),
    created_at           TEXT NOT NULL,
    last_login           TEXT
) STRICT;
INSERT INTO "users" VALUES(1,'admin','$argon2id$v=19$m=1024,t=1,p=1$c2FsdHNhbHRzYWx0$gQ',1,0,'2026-01-15T14:00:00.000Z',NULL);
CREATE TABLE verifications (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id    TEXT NOT NULL,
    upload_id INTEGER NOT NULL REFERENCES uploads (id),
    at        TEXT NOT NULL,
    passed    INTEGER NOT NULL CHECK (passed IN (0, 1)),
    checks    TEXT NOT NULL
) STRICT;
INSERT INTO "verifications" VALUES(1,'d4876935-b663-402a-a7c2-a6548e044300',1,'2026-11-23T00:47:14.329Z',1,'[{"number": 1, "name": "status", "expected": "SUCCEEDED", "found": "SUCCEEDED", "passed": true}]');
INSERT INTO "verifications" VALUES(2,'cbb9b69e-2c4b-4d95-8a8b-33395347ffe9',4,'2026-11-23T00:47:14.968Z',1,'[{"number": 1, "name": "status", "expected": "SUCCEEDED", "found": "SUCCEEDED", "passed": true}]');
INSERT INTO "verifications" VALUES(3,'b7be38a4-6a74-4236-912e-6df825ec3379',6,'2026-11-23T00:47:15.072Z',1,'[{"number": 1, "name": "status", "expected": "SUCCEEDED", "found": "SUCCEEDED", "passed": true}]');
CREATE INDEX sessions_by_user ON sessions (user_id, created_at);
CREATE INDEX api_tokens_by_user ON api_tokens (user_id, id);
CREATE INDEX audit_by_username ON audit (username, id);
CREATE INDEX audit_by_target ON audit (target, id);
CREATE INDEX audit_by_action ON audit (action, id);
CREATE INDEX audit_by_time ON audit (at);
CREATE UNIQUE INDEX jobs_one_active_per_folder ON jobs (source_path)
    WHERE status NOT IN ('completed', 'failed', 'cancelled');
CREATE UNIQUE INDEX jobs_one_active_per_destination ON jobs (globus_destination_path)
    WHERE status NOT IN ('completed', 'failed', 'cancelled');
CREATE INDEX jobs_by_status ON jobs (status, seq);
CREATE INDEX jobs_by_created_at ON jobs (status, created_at, seq);
CREATE INDEX jobs_by_started_at ON jobs (status, started_at, seq);
CREATE INDEX jobs_by_completed_at ON jobs (status, completed_at, seq, created_by, folder_size_bytes, archive_size_bytes);
CREATE INDEX jobs_by_folder_name ON jobs (status, folder_name, seq);
CREATE INDEX jobs_by_size ON jobs (status, folder_size_bytes, seq);
CREATE INDEX jobs_by_created_by ON jobs (created_by, status, created_at, seq);
CREATE INDEX job_history_by_job ON job_history (job_id, id);
CREATE INDEX job_logs_by_job ON job_logs (job_id, id);
CREATE INDEX uploads_by_job ON uploads (job_id, id);
CREATE INDEX uploads_by_destination ON uploads (destination_path);
CREATE INDEX verifications_by_job ON verifications (job_id, id);
CREATE INDEX archives_by_deletion ON archives (source_deleted_at, manifest_id, archive_size_bytes);
CREATE TRIGGER jobs_start_queued BEFORE INSERT ON jobs WHEN NEW.status <> 'queued'
BEGIN SELECT RAISE(ABORT, 'a job starts in the state queued'); END;
CREATE TRIGGER jobs_move_as_allowed BEFORE UPDATE OF status ON jobs
WHEN NEW.status <> OLD.status AND NOT EXISTS (
    SELECT 1 FROM job_moves WHERE from_status = OLD.status AND to_status = NEW.status)
BEGIN SELECT RAISE(ABORT, 'this move between states is not allowed'); END;
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
CREATE TRIGGER audit_is_append_only_u BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END;
CREATE TRIGGER audit_is_append_only_d BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END;
CREATE TRIGGER job_history_is_append_only_u BEFORE UPDATE ON job_history
BEGIN SELECT RAISE(ABORT, 'job_history is append-only'); END;
CREATE TRIGGER job_history_is_append_only_d BEFORE DELETE ON job_history
BEGIN SELECT RAISE(ABORT, 'job_history is append-only'); END;
CREATE TRIGGER verifications_are_write_once_u BEFORE UPDATE ON verifications
BEGIN SELECT RAISE(ABORT, 'verifications are write-once'); END;
CREATE TRIGGER verifications_are_write_once_d BEFORE DELETE ON verifications
BEGIN SELECT RAISE(ABORT, 'verifications are write-once'); END;
CREATE TRIGGER archives_stay BEFORE DELETE ON archives
BEGIN SELECT RAISE(ABORT, 'the catalogue is kept for good'); END;
CREATE TRIGGER archives_change_once BEFORE UPDATE ON archives
WHEN OLD.source_deleted_at IS NOT NULL OR NEW.archive_sha256 <> OLD.archive_sha256
     OR NEW.globus_path <> OLD.globus_path OR NEW.manifest_id <> OLD.manifest_id
     OR NEW.verification_id <> OLD.verification_id OR NEW.job_id <> OLD.job_id
BEGIN SELECT RAISE(ABORT, 'the catalogue does not change'); END;
CREATE TRIGGER manifest_entries_are_write_once BEFORE UPDATE ON manifest_entries
BEGIN SELECT RAISE(ABORT, 'a sealed manifest does not change'); END;
CREATE TRIGGER manifest_entries_in_the_catalogue_stay BEFORE DELETE ON manifest_entries
WHEN EXISTS (SELECT 1 FROM archives WHERE manifest_id = OLD.manifest_id)
BEGIN SELECT RAISE(ABORT, 'the catalogue is kept for good'); END;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('job_history',59);
INSERT INTO "sqlite_sequence" VALUES('audit',5);
INSERT INTO "sqlite_sequence" VALUES('manifests',3);
INSERT INTO "sqlite_sequence" VALUES('uploads',7);
INSERT INTO "sqlite_sequence" VALUES('verifications',3);
INSERT INTO "sqlite_sequence" VALUES('archives',3);
INSERT INTO "sqlite_sequence" VALUES('job_logs',11);
INSERT INTO "sqlite_sequence" VALUES('users',1);
INSERT INTO "sqlite_sequence" VALUES('api_tokens',1);
INSERT INTO "sqlite_sequence" VALUES('scans',1);
COMMIT;
PRAGMA user_version = 1;
