-- When a session was last used, so that one that nobody uses ends; and until when a password counts that was given by
-- somebody else.
ALTER TABLE users ADD COLUMN password_expires_at TEXT;
ALTER TABLE sessions ADD COLUMN last_used_at TEXT NOT NULL DEFAULT '';
UPDATE sessions SET last_used_at = created_at;
