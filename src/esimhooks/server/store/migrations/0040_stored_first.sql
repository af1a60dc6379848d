-- Notifications that are answered once they are stored wait here with `due_at` infinity, until they are applied in their
-- order. `lane` is the account whose eSIM they speak of, as far as that is known; `new_names` are those by which they make
-- its eSIM known, so that who says only these goes the same way. `stored_first` stays until it is known whether they repeat
-- others.
ALTER TABLE backlog
    ADD COLUMN stored_first boolean NOT NULL DEFAULT false,
    ADD COLUMN lane uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    ADD COLUMN new_names text[];
CREATE INDEX backlog_in_order ON backlog (lane, received_at, notification_id) WHERE due_at = 'infinity';
CREATE INDEX backlog_in_order_of_source ON backlog (source) WHERE due_at = 'infinity';
CREATE INDEX backlog_new_names ON backlog USING gin (new_names) WHERE new_names IS NOT NULL;

-- As before, and which providers have such notifications: what they tell meanwhile must not overtake them.
CREATE OR REPLACE FUNCTION begin_batch(
    known_ids uuid[], order_ids uuid[], w_provider text[], w_account uuid[], w_mode text[],
    w_key text[], w_order_no text[], w_transaction text[], w_replaces text[],
    creation_locks integer[], sources text[], digests bytea[], inline_endpoints integer
) RETURNS TABLE (kind text, esim esims, item jsonb) LANGUAGE plpgsql AS $$
DECLARE
    locked uuid[] := '{}';
    candidates uuid[];
BEGIN
    PERFORM pg_advisory_xact_lock(1702062445, place)
    FROM (SELECT DISTINCT place FROM unnest(creation_locks) AS u (place) ORDER BY place) places;
    LOOP
        SELECT coalesce(array_agg(id ORDER BY id), '{}') INTO candidates
        FROM ingest_candidates(known_ids, order_ids, w_provider, w_account, w_mode, w_key, w_order_no, w_transaction,
                               w_replaces) AS c (id);
        EXIT WHEN candidates <@ locked;
        PERFORM 1 FROM esims e WHERE e.id = ANY (candidates) ORDER BY e.id FOR UPDATE;
        locked := locked || candidates;
    END LOOP;
    RETURN QUERY
        WITH candidate AS MATERIALIZED (
            SELECT e FROM esims e WHERE e.id = ANY (candidates)
        ), tenants AS MATERIALIZED (
            SELECT (e).account_id, (e).mode FROM candidate
            UNION
            SELECT * FROM unnest(w_account, w_mode) AS u (account_id, mode) WHERE u.account_id IS NOT NULL
        )
        SELECT 'now', NULL::esims, to_jsonb(clock_timestamp())
        UNION ALL
        SELECT 'esim', e, NULL::jsonb FROM candidate
        UNION ALL
        SELECT 'account', NULL::esims, to_jsonb(a.id) FROM accounts a WHERE a.id = ANY (w_account)
        UNION ALL
        SELECT 'seen', NULL::esims, jsonb_build_array(s.source, encode(s.digest, 'hex'), encode(s.content, 'hex'))
        FROM unnest(sources, digests) AS u (source, digest) JOIN seen_notifications s USING (source, digest)
        UNION ALL
        SELECT 'endpoint', NULL::esims,
               jsonb_build_array(t.account_id, t.mode, p.id, p.event_types, p.ordering, p.filter)
        FROM tenants t CROSS JOIN LATERAL (
            SELECT p.id, p.event_types, p.ordering, p.filter FROM endpoints p
            WHERE p.account_id = t.account_id AND p.mode = t.mode AND p.enabled ORDER BY p.id LIMIT inline_endpoints + 1
        ) p
        UNION ALL
        SELECT 'fan_out', NULL::esims, jsonb_build_array(t.account_id, t.mode)
        FROM tenants t
        WHERE EXISTS (SELECT FROM fan_outs f WHERE f.account_id = t.account_id AND f.mode = t.mode)
        UNION ALL
        SELECT 'storing', NULL::esims, to_jsonb(p.provider)
        FROM (SELECT DISTINCT provider FROM unnest(w_provider) AS u (provider)) p
        WHERE EXISTS (SELECT FROM backlog b WHERE b.source = p.provider AND b.due_at = 'infinity');
END
$$;
