-- Instead of `begin_ingest`, which nodes of the release before still call: the same, but that all is read by one statement
-- after the locks, tenants once, and each endpoint with its filter.
CREATE FUNCTION begin_batch(
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
        WHERE EXISTS (SELECT FROM fan_outs f WHERE f.account_id = t.account_id AND f.mode = t.mode);
END
$$;
