-- For databases that are older than this schema, which are all SQLite's.

-- What is there already gets its columns once.
UPDATE subject SET
    display_name = lower(coalesce(json_extract(body, '$.attributes.displayName'), '')),
    given_name = lower(coalesce(json_extract(body, '$.attributes.givenName'), '')),
    surname = lower(coalesce(json_extract(body, '$.attributes.surname'), '')),
    mail = coalesce((
        SELECT json_extract(value, '$.key') FROM json_each(subject.body, '$.identifiers')
         WHERE json_extract(value, '$.kind') = 'email' LIMIT 1), ''),
    enabled = coalesce(json_extract(body, '$.status'), 'active') = 'active',
    created_at = CAST((julianday(json_extract(body, '$.created_at')) - 2440587.5) * 86400000 AS INTEGER);

UPDATE document SET body = json_remove(json_set(body, '$.secrets', json_array(json_object(
    'id', id, 'name', '', 'digest', json_extract(body, '$.secret_digest')))), '$.secret_digest')
 WHERE kind = 'client' AND json_extract(body, '$.secret_digest') IS NOT NULL;
