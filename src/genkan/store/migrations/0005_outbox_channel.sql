-- By which way a message leaves, so that a way that is stuck holds up no other.
-- What was there before is at most three days old, and leaves by whichever way is asked first: `''`.
ALTER TABLE outbox ADD COLUMN channel TEXT NOT NULL DEFAULT '';
