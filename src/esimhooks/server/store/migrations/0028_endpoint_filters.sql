-- An expression over an event that must hold for an endpoint to get it.
ALTER TABLE endpoints ADD COLUMN filter text;
CREATE INDEX endpoints_with_filter ON endpoints (account_id, mode) WHERE filter IS NOT NULL;

-- As before, and with the filters in rows of their own, which nodes of the release before pass over.
CREATE OR REPLACE FUNCTION begin_ingest(
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
    RETURN QUERY SELECT 'now', NULL::esims, to_jsonb(clock_timestamp());
    RETURN QUERY SELECT 'esim', e, NULL::jsonb FROM esims e WHERE e.id = ANY (candidates);
    RETURN QUERY SELECT 'account', NULL::esims, to_jsonb(a.id) FROM accounts a WHERE a.id = ANY (w_account);
    RETURN QUERY
        SELECT 'seen', NULL::esims, jsonb_build_array(s.source, encode(s.digest, 'hex'), encode(s.content, 'hex'))
        FROM unnest(sources, digests) AS u (source, digest) JOIN seen_notifications s USING (source, digest);
    RETURN QUERY
        WITH tenants AS (
            SELECT e.account_id, e.mode FROM esims e WHERE e.id = ANY (candidates)
            UNION
            SELECT * FROM unnest(w_account, w_mode) AS u (account_id, mode) WHERE u.account_id IS NOT NULL
        )
        SELECT 'endpoint', NULL::esims, jsonb_build_array(t.account_id, t.mode, p.id, p.event_types, p.ordering)
        FROM tenants t CROSS JOIN LATERAL (
            SELECT p.id, p.event_types, p.ordering FROM endpoints p
            WHERE p.account_id = t.account_id AND p.mode = t.mode AND p.enabled ORDER BY p.id LIMIT inline_endpoints + 1
        ) p
        UNION ALL
        SELECT 'fan_out', NULL::esims, jsonb_build_array(t.account_id, t.mode)
        FROM tenants t
        WHERE EXISTS (SELECT FROM fan_outs f WHERE f.account_id = t.account_id AND f.mode = t.mode);
    RETURN QUERY
        WITH tenants AS (
            SELECT e.account_id, e.mode FROM esims e WHERE e.id = ANY (candidates)
            UNION
            SELECT * FROM unnest(w_account, w_mode) AS u (account_id, mode) WHERE u.account_id IS NOT NULL
        )
        SELECT 'filter', NULL::esims, jsonb_build_array(p.id, p.filter)
        FROM tenants t JOIN endpoints p USING (account_id, mode)
        WHERE p.enabled AND p.filter IS NOT NULL;
END
$$;
