-- What somebody has laid by for the day when a device is lost: codes on paper, as digests.
CREATE TABLE reserve (
    subject TEXT PRIMARY KEY REFERENCES subject (id) ON DELETE CASCADE,
    revision INTEGER NOT NULL,
    body TEXT NOT NULL
);
