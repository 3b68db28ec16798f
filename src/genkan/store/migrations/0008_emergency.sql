-- What is kept of an account's emergencies: one document, from the first thing that is noted about one.
CREATE TABLE emergency (
    subject TEXT PRIMARY KEY REFERENCES subject (id) ON DELETE CASCADE,
    revision INTEGER NOT NULL,
    case_id TEXT UNIQUE,
    body TEXT NOT NULL
);
