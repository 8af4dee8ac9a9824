-- What lists count and search is kept as it changes, so that 100,000 jobs need not be gone through for each page.
CREATE TABLE folder_list (
    version INTEGER NOT NULL
) STRICT;
INSERT INTO folder_list (version) VALUES (0);
CREATE TRIGGER folder_list_longer AFTER INSERT ON folders BEGIN UPDATE folder_list SET version = version + 1; END;
CREATE TRIGGER folder_list_other AFTER UPDATE ON folders BEGIN UPDATE folder_list SET version = version + 1; END;
CREATE TRIGGER folder_list_shorter AFTER DELETE ON folders BEGIN UPDATE folder_list SET version = version + 1; END;
CREATE TRIGGER folder_list_scanned AFTER INSERT ON scans BEGIN UPDATE folder_list SET version = version + 1; END;

CREATE TABLE job_sums (
    status        TEXT NOT NULL,
    created_by    TEXT NOT NULL,
    jobs          INTEGER NOT NULL,
    folder_bytes  INTEGER NOT NULL,
    archive_bytes INTEGER NOT NULL,
    PRIMARY KEY (status, created_by)
) WITHOUT ROWID;
INSERT INTO job_sums (status, created_by, jobs, folder_bytes, archive_bytes)
SELECT status, created_by, count(*), coalesce(sum(folder_size_bytes), 0), coalesce(sum(archive_size_bytes), 0)
FROM jobs GROUP BY status, created_by;

CREATE INDEX jobs_by_words ON jobs (source_path, error_message, seq);

CREATE TABLE deletion_sums (
    sources       INTEGER NOT NULL,
    folder_bytes  INTEGER NOT NULL,
    archive_bytes INTEGER NOT NULL
);
INSERT INTO deletion_sums (sources, folder_bytes, archive_bytes)
SELECT count(*), coalesce(sum(m.bytes), 0), coalesce(sum(a.archive_size_bytes), 0)
FROM archives AS a JOIN manifests AS m ON m.id = a.manifest_id WHERE a.source_deleted_at IS NOT NULL;

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
