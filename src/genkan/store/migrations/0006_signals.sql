-- Security events that wait for a receiver to take them, one row for each receiver; and those that none took.
CREATE TABLE signal (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    jti TEXT NOT NULL UNIQUE,
    stream TEXT NOT NULL,
    subject TEXT NOT NULL,
    due_at INTEGER NOT NULL,
    leased_until INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    dead_at INTEGER NOT NULL,
    why TEXT NOT NULL,
    body TEXT NOT NULL
);

CREATE INDEX signal_waiting ON signal (stream, dead_at, id);
CREATE INDEX signal_expires_at ON signal (dead_at, expires_at);

-- Until when a stream is told of somebody: a receiver has added or removed them.
CREATE TABLE signal_subject (
    stream TEXT NOT NULL,
    subject TEXT NOT NULL,
    until INTEGER NOT NULL,
    PRIMARY KEY (stream, subject)
);
