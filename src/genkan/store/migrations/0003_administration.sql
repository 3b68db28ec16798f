-- What an administrator looks for and lists: people and groups by their properties, and who changed what.
-- A text column holds the property in its folded case, so that comparing is of bytes everywhere; it is empty where
-- there is none.

ALTER TABLE subject ADD COLUMN display_name TEXT NOT NULL DEFAULT '';
ALTER TABLE subject ADD COLUMN given_name TEXT NOT NULL DEFAULT '';
ALTER TABLE subject ADD COLUMN surname TEXT NOT NULL DEFAULT '';
ALTER TABLE subject ADD COLUMN mail TEXT NOT NULL DEFAULT '';
ALTER TABLE subject ADD COLUMN principal_name TEXT NOT NULL DEFAULT '';
ALTER TABLE subject ADD COLUMN enabled INTEGER NOT NULL DEFAULT 1;
ALTER TABLE subject ADD COLUMN risk TEXT NOT NULL DEFAULT '';
ALTER TABLE subject ADD COLUMN created_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE subject ADD COLUMN deleted_at INTEGER NOT NULL DEFAULT 0;

CREATE INDEX subject_display_name ON subject (display_name, id);
CREATE INDEX subject_given_name ON subject (given_name, id);
CREATE INDEX subject_surname ON subject (surname, id);
CREATE INDEX subject_mail ON subject (mail, id);
CREATE INDEX subject_created_at ON subject (created_at, id);
CREATE INDEX subject_principal_name ON subject (principal_name) WHERE principal_name <> '';
CREATE INDEX subject_risk ON subject (risk, id) WHERE risk <> '';
CREATE INDEX subject_deleted_at ON subject (deleted_at, id) WHERE deleted_at > 0;

-- The custom attributes of people, as `extension_…`: what has no column of its own.
CREATE TABLE subject_extension (
    subject TEXT NOT NULL REFERENCES subject (id),
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (subject, name)
);

CREATE INDEX subject_extension_value ON subject_extension (name, value, subject);

-- `group` is a word of SQL.
CREATE TABLE directory_group (
    id TEXT PRIMARY KEY,
    revision INTEGER NOT NULL,
    display_name TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    body TEXT NOT NULL
);

CREATE INDEX directory_group_display_name ON directory_group (display_name, id);

-- An audit row is linked to the one before it by `link`; those of before this schema have none. `category` is of a
-- change that an administrator asked for, and empty for all that flows do.
ALTER TABLE audit ADD COLUMN category TEXT NOT NULL DEFAULT '';
ALTER TABLE audit ADD COLUMN link BLOB;

CREATE INDEX audit_category ON audit (seq) WHERE category <> '';

CREATE INDEX sign_in_client ON sign_in (client, at, id);
