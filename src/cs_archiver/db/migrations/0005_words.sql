CREATE VIRTUAL TABLE job_words USING fts5 (words, content = '', columnsize = 0, detail = none, tokenize = 'trigram');
INSERT INTO job_words (rowid, words)
SELECT seq, source_path || char(10) || coalesce(error_message, '') FROM jobs ORDER BY seq;

CREATE TABLE jobs_unindexed (
    seq INTEGER PRIMARY KEY
) STRICT;

CREATE TRIGGER jobs_unindexed_when_new AFTER INSERT ON jobs
BEGIN INSERT INTO jobs_unindexed (seq) VALUES (NEW.seq) ON CONFLICT DO NOTHING; END;

CREATE TRIGGER jobs_unindexed_when_changed AFTER UPDATE OF seq, source_path, error_message ON jobs
WHEN (OLD.seq, OLD.source_path, OLD.error_message) IS NOT (NEW.seq, NEW.source_path, NEW.error_message)
BEGIN INSERT INTO jobs_unindexed (seq) VALUES (NEW.seq) ON CONFLICT DO NOTHING; END;

CREATE TRIGGER jobs_unindexed_when_cleared AFTER DELETE ON jobs
BEGIN DELETE FROM jobs_unindexed WHERE seq = OLD.seq; END;
