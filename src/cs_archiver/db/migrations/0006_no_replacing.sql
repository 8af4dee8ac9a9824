-- INSERT OR REPLACE asks no trigger of the row that it takes away.
CREATE TRIGGER audit_is_append_only_i BEFORE INSERT ON audit
WHEN EXISTS (SELECT 1 FROM audit WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END;
CREATE TRIGGER job_history_is_append_only_i BEFORE INSERT ON job_history
WHEN EXISTS (SELECT 1 FROM job_history WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'job_history is append-only'); END;
CREATE TRIGGER verifications_are_write_once_i BEFORE INSERT ON verifications
WHEN EXISTS (SELECT 1 FROM verifications WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'verifications are write-once'); END;
CREATE TRIGGER archives_are_not_replaced BEFORE INSERT ON archives
WHEN EXISTS (
    SELECT 1 FROM archives
    WHERE id = NEW.id OR job_id = NEW.job_id OR manifest_id = NEW.manifest_id OR verification_id = NEW.verification_id
       OR (globus_collection = NEW.globus_collection AND globus_path = NEW.globus_path))
BEGIN SELECT RAISE(ABORT, 'the catalogue does not change'); END;

DROP TRIGGER archives_change_once;
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
