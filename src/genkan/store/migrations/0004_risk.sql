-- What earlier full sign-ins of a subject have left: networks as digests, countries, devices.
CREATE TABLE footprint (
    subject TEXT PRIMARY KEY REFERENCES subject (id) ON DELETE CASCADE,
    body TEXT NOT NULL
);

-- What was found risky, in sign-ins and about accounts.
CREATE TABLE detection (
    id TEXT PRIMARY KEY,
    at INTEGER NOT NULL,
    subject TEXT NOT NULL,
    keep_until INTEGER NOT NULL,
    body TEXT NOT NULL
);

CREATE INDEX detection_at ON detection (at, id);
CREATE INDEX detection_subject ON detection (subject, at, id);
CREATE INDEX detection_keep_until ON detection (keep_until);
