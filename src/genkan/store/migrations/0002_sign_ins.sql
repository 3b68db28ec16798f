-- The sign-in log: a row for each flow that came to a proof, written anew as the flow goes on, and one for each refresh.
-- `reason` is empty unless it was refused.
CREATE TABLE sign_in (
    id TEXT PRIMARY KEY,
    at INTEGER NOT NULL,
    correlation_id TEXT NOT NULL,
    subject TEXT,
    client TEXT NOT NULL,
    interactive INTEGER NOT NULL,
    reason TEXT NOT NULL,
    keep_until INTEGER NOT NULL,
    body TEXT NOT NULL
);

CREATE INDEX sign_in_at ON sign_in (at, id);
CREATE INDEX sign_in_subject ON sign_in (subject, at, id);
CREATE INDEX sign_in_correlation_id ON sign_in (correlation_id);
CREATE INDEX sign_in_keep_until ON sign_in (keep_until);
