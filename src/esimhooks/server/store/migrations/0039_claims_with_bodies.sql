-- Claims due deliveries of leased lanes and reads the bodies of their events: one round trip.
--
-- The claim may wait for rows, so that it must not choose partitions of the events as well (docs/decisions/0006): these are
-- found by the ids that it returns. Of a FIFO only the head is claimed, and nothing while another of it is in flight: a row
-- that is committed late may have an earlier position. Written so that the work stays small whatever PostgreSQL estimates
-- the size of the queue to be (docs/decisions/0022).
CREATE FUNCTION claim_due(c_endpoint uuid[], c_token bigint[], c_room integer[], c_suspect_at integer)
RETURNS TABLE (
    delivery_id uuid, account_id uuid, endpoint_id uuid, version bigint, event_id uuid, event_type text, attempts integer,
    attempts_this_round integer, claims integer, ordered boolean, claim_token bigint, "position" bigint, faults integer,
    sealed_body bytea, traceparent text
)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    claimed queue[];
    versions bigint[];
    earlier_claims integer[];
    event_ids uuid[];
BEGIN
    WITH due AS MATERIALIZED (
        SELECT q.delivery_id, q.claims, w.lease_token, e.version
        FROM unnest(c_endpoint, c_token, c_room) AS w (endpoint_id, lease_token, room)
        JOIN lanes l ON l.endpoint_id = w.endpoint_id AND l.lease_token = w.lease_token AND l.open
        JOIN endpoints e ON e.id = w.endpoint_id
        CROSS JOIN LATERAL (
            SELECT q.delivery_id, q.claims FROM queue q
            WHERE q.endpoint_id = w.endpoint_id AND q.due_at <= now() AND q.claim_token < w.lease_token
              AND (NOT q.ordered OR NOT EXISTS (
                  SELECT FROM queue o
                  WHERE o.ordered AND o.endpoint_id = q.endpoint_id AND o.esim_id = q.esim_id
                    AND o.position < q.position
              ) AND NOT EXISTS (
                  SELECT FROM queue o
                  WHERE o.ordered AND o.endpoint_id = q.endpoint_id AND o.esim_id = q.esim_id
                    AND o.position >= q.position AND o.claim_token = w.lease_token
              ))
            ORDER BY q.due_at LIMIT w.room
        ) q
    ), updated AS (
        UPDATE queue q
        SET claim_token = due.lease_token, claims = q.claims + (q.claims - q.attempts < c_suspect_at)::int
        FROM due
        WHERE q.delivery_id = ANY (ARRAY[due.delivery_id]) AND q.claim_token < due.lease_token
          AND q.due_at + interval '0' <= now()
        RETURNING q AS taken, due.version, due.claims AS earlier
    )
    SELECT array_agg(u.taken), array_agg(u.version), array_agg(u.earlier), array_agg((u.taken).event_id)
    INTO claimed, versions, earlier_claims, event_ids FROM updated u;
    RETURN QUERY
    SELECT q.delivery_id, q.account_id, q.endpoint_id, versions[q.ordinality], q.event_id, q.event_type, q.attempts,
           q.attempts_this_round, earlier_claims[q.ordinality], q.ordered, q.claim_token, q.position, q.faults,
           e.sealed_body, e.traceparent
    FROM unnest(claimed) WITH ORDINALITY q LEFT JOIN events e ON e.id = q.event_id AND e.id = ANY (event_ids)
    ORDER BY q.due_at, q.delivery_id;
END
$$;
