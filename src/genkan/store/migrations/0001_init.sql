-- The first schema. Times are milliseconds since 1970-01-01 UTC; a body is the JSON of one value of the model.
-- What is queried has a column of its own; everything else is in the body. `keep_until` is read by the sweep alone and
-- is rounded up, so that a step which only moves an end by minutes leaves its index as it is.
-- Written for SQLite. For PostgreSQL BLOB is read as BYTEA, INTEGER as BIGINT, TEXT as text compared by its bytes, and
-- AUTOINCREMENT as an identity column; a file named `….sqlite.sql` is not for it.

CREATE TABLE flow (
    id BLOB PRIMARY KEY,
    version INTEGER NOT NULL,
    subject TEXT,
    keep_until INTEGER NOT NULL,
    body TEXT NOT NULL
);

CREATE INDEX flow_keep_until ON flow (keep_until);

CREATE TABLE subject (
    id TEXT PRIMARY KEY,
    revision INTEGER NOT NULL,
    body TEXT NOT NULL
);

CREATE TABLE identifier (
    key TEXT PRIMARY KEY,
    subject TEXT NOT NULL REFERENCES subject (id)
);

CREATE INDEX identifier_subject ON identifier (subject);

CREATE TABLE authenticator (
    id TEXT PRIMARY KEY,
    subject TEXT NOT NULL REFERENCES subject (id),
    revision INTEGER NOT NULL,
    state TEXT NOT NULL,
    body TEXT NOT NULL
);

CREATE INDEX authenticator_subject ON authenticator (subject);

-- A member is a subject or a group.
CREATE TABLE membership (
    member_id TEXT NOT NULL,
    group_id TEXT NOT NULL,
    PRIMARY KEY (member_id, group_id)
);

CREATE INDEX membership_group ON membership (group_id);

-- `grant` is a word of SQL. A revocation writes the columns and leaves the body as it was.
CREATE TABLE refresh_grant (
    id TEXT PRIMARY KEY,
    subject TEXT NOT NULL REFERENCES subject (id),
    revision INTEGER NOT NULL,
    keep_until INTEGER NOT NULL,
    revoked_at INTEGER,
    body TEXT NOT NULL
);

CREATE INDEX refresh_grant_subject ON refresh_grant (subject);
CREATE INDEX refresh_grant_keep_until ON refresh_grant (keep_until);

CREATE TABLE bucket (
    name TEXT PRIMARY KEY,
    history TEXT NOT NULL,
    keep_until INTEGER NOT NULL
);

CREATE INDEX bucket_keep_until ON bucket (keep_until);

-- A body here is sealed, for the row whose `message` it is: the id of the message, and never anything of a person.
-- Ids are never used twice, so that sending one twice can be told from sending two.
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    due_at INTEGER NOT NULL,
    leased_until INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    message TEXT NOT NULL,
    body BLOB NOT NULL
);

CREATE INDEX outbox_due_at ON outbox (due_at);

CREATE TABLE audit (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    action TEXT NOT NULL,
    reason TEXT NOT NULL,
    subject TEXT,
    client TEXT,
    correlation_id TEXT NOT NULL,
    detail TEXT NOT NULL
);

CREATE INDEX audit_correlation_id ON audit (correlation_id);

-- What an administrator configures: tenant, client, resource, policy, method, location, strength, context.
CREATE TABLE document (
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    revision INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (kind, id)
);

CREATE TABLE signing_key (
    kid TEXT PRIMARY KEY,
    algorithm TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    activates_at INTEGER NOT NULL,
    retires_at INTEGER,
    pem BLOB NOT NULL
);

CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

-- Grows with every change of documents and memberships, so that what is kept of them in memory can be checked.
INSERT INTO meta (name, value) VALUES ('revision', '0');
