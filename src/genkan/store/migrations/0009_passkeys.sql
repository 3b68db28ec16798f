-- Whose a passkey is: no two authenticators of a tenant have one credential, whatever has become of either.
CREATE TABLE passkey (
    credential BLOB PRIMARY KEY,
    authenticator TEXT NOT NULL REFERENCES authenticator (id) ON DELETE CASCADE
);
