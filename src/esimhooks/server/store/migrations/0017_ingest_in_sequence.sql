-- What was reported of an eSIM beside its present state, and when; what only some eSIMs have; and, by source, the digest
-- of the last bytes without id and time that were applied to it.
ALTER TABLE esims
    ADD COLUMN reported jsonb,
    ADD COLUMN reported_at jsonb,
    ADD COLUMN further jsonb,
    ADD COLUMN last_digests jsonb,
    ADD COLUMN pending_until timestamptz,
    ADD COLUMN duplicate_key boolean NOT NULL DEFAULT false;
CREATE INDEX esims_with_pending_usage ON esims (pending_until) WHERE pending_until IS NOT NULL;

-- One eSIM for each key. Rows that share one already are kept: all but the one that changed last give up the key.
UPDATE esims SET duplicate_key = true
FROM (SELECT id, row_number() OVER (
          PARTITION BY provider, CASE WHEN provider IS NULL THEN account_id END, CASE WHEN provider IS NULL THEN mode END,
                       esim_tran_no
          ORDER BY updated_at DESC, id DESC) AS place
      FROM esims WHERE esim_tran_no IS NOT NULL) numbered
WHERE numbered.id = esims.id AND numbered.place > 1;
CREATE UNIQUE INDEX esims_one_by_key_of_provider ON esims (provider, esim_tran_no)
    WHERE provider IS NOT NULL AND esim_tran_no IS NOT NULL AND NOT duplicate_key;
CREATE UNIQUE INDEX esims_one_by_key_of_account ON esims (account_id, mode, esim_tran_no)
    WHERE provider IS NULL AND esim_tran_no IS NOT NULL AND NOT duplicate_key;

ALTER TABLE orders ADD COLUMN metadata jsonb;

-- What became of each update of a notification with several, and all their eSIMs.
ALTER TABLE notifications ADD COLUMN results jsonb, ADD COLUMN esim_ids uuid[];
CREATE INDEX notifications_by_esims ON notifications USING gin (esim_ids) WHERE esim_ids IS NOT NULL;
ALTER TABLE unmatched_notifications DROP CONSTRAINT unmatched_notifications_pkey;
CREATE INDEX unmatched_by_notification ON unmatched_notifications (notification_id);

-- Words and members of providers that were not understood; each is reported once.
CREATE TABLE provider_doubts (
    provider        text        NOT NULL,
    field           text        NOT NULL,
    word            text        NOT NULL,
    detail          text        NOT NULL,
    notification_id uuid        NOT NULL,
    first_at        timestamptz NOT NULL DEFAULT now(),
    reported_at     timestamptz,
    PRIMARY KEY (provider, field, word)
);
CREATE INDEX provider_doubts_to_report ON provider_doubts (first_at) WHERE reported_at IS NULL;

-- Events whose deliveries are made in steps after their commit, up to the endpoint `reached`.
CREATE TABLE fan_outs (
    event_id   uuid PRIMARY KEY,
    account_id uuid        NOT NULL,
    mode       text        NOT NULL,
    event_type text        NOT NULL,
    esim_id    uuid,
    position   bigint      NOT NULL,
    reached    uuid,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX fan_outs_in_order ON fan_outs (account_id, mode, position);

-- The eSIMs that updates may speak of: those of the ids and orders, and those that have one of the wanted keys.
CREATE FUNCTION ingest_candidates(
    known_ids uuid[], order_ids uuid[], w_provider text[], w_account uuid[], w_mode text[],
    w_key text[], w_order_no text[], w_transaction text[], w_replaces text[]
) RETURNS SETOF uuid LANGUAGE sql STABLE AS $$
    WITH wanted AS MATERIALIZED (
        SELECT * FROM unnest(w_provider, w_account, w_mode, w_key, w_order_no, w_transaction, w_replaces) WITH ORDINALITY
            AS w (provider, account_id, mode, esim_tran_no, order_no, transaction_id, replaces, place)
    ), keyed AS (
        -- Those of others too: nobody else may be given a key that they have.
        SELECT w.place, e.id,
               (w.account_id IS NULL OR (e.account_id = w.account_id AND e.mode = w.mode))
               AND (w.provider IS NULL OR e.provider = w.provider
                    OR (w.account_id IS NOT NULL AND e.provider IS NULL)) AS is_within
        FROM wanted w JOIN esims e ON e.esim_tran_no = w.esim_tran_no
    )
    SELECT unnest(known_ids)
    UNION
    SELECT id FROM esims WHERE order_id = ANY (order_ids)
    UNION
    SELECT id FROM keyed
    UNION
    SELECT e.id FROM wanted w JOIN esims e ON e.esim_tran_no = w.replaces
    WHERE e.provider IS NOT DISTINCT FROM w.provider OR (e.account_id = w.account_id AND e.mode = w.mode)
       OR (w.account_id IS NULL AND w.provider IS NULL)
    UNION
    SELECT e.id FROM wanted w JOIN esims e ON e.transaction_id = w.transaction_id
    WHERE (w.account_id IS NULL OR (e.account_id = w.account_id AND e.mode = w.mode))
      AND (w.provider IS NULL OR e.provider = w.provider OR (w.account_id IS NOT NULL AND e.provider IS NULL))
      AND NOT EXISTS (SELECT FROM keyed k WHERE k.place = w.place AND k.is_within)
    UNION
    SELECT e.id FROM wanted w JOIN esims e ON e.order_no = w.order_no
    WHERE (w.account_id IS NULL OR (e.account_id = w.account_id AND e.mode = w.mode))
      AND (w.provider IS NULL OR e.provider = w.provider OR (w.account_id IS NOT NULL AND e.provider IS NULL))
      AND NOT EXISTS (SELECT FROM keyed k WHERE k.place = w.place AND k.is_within)
$$;

-- All that a batch of updates must know, read after the locks that keep it true until the commit: the database's time, the
-- candidates (locked), accounts, what was seen before, and which endpoints of the tenants may get events.
CREATE FUNCTION begin_ingest(
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
END
$$;
