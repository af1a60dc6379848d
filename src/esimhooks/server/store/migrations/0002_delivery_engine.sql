ALTER TABLE endpoints
    ADD COLUMN ordering       text NOT NULL DEFAULT 'none' CHECK (ordering IN ('none', 'esim')),
    ADD COLUMN rate_limit     integer,
    ADD COLUMN sealed_headers bytea,
    ADD COLUMN ca_pem         text;

-- The breaker: failures in a row, how many deliveries may be in flight while it recovers, and until when it rests.
ALTER TABLE lanes
    ADD COLUMN failures      integer NOT NULL DEFAULT 0,
    ADD COLUMN allowed       integer,
    ADD COLUMN held_until    timestamptz,
    ADD COLUMN failing_since timestamptz;

-- position is the order of commits for one eSIM, as its row is locked meanwhile; clocks of nodes may differ.
ALTER TABLE queue
    ADD COLUMN position   bigint GENERATED ALWAYS AS IDENTITY,
    ADD COLUMN started_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN ordered    boolean NOT NULL DEFAULT false;
CREATE INDEX queue_in_order ON queue (endpoint_id, esim_id, position) WHERE ordered;

-- Dispatchers that live, so that each takes its share of the lanes.
CREATE TABLE dispatchers (
    holder     uuid PRIMARY KEY,
    seen_until timestamptz NOT NULL
);

-- Recoveries: what did not arrive at an endpoint is sent again, in the background; events up to `reached` are done.
CREATE TABLE recoveries (
    id          uuid PRIMARY KEY,
    account_id  uuid        NOT NULL,
    mode        text        NOT NULL,
    endpoint_id uuid        NOT NULL REFERENCES endpoints ON DELETE CASCADE,
    first_event uuid        NOT NULL,
    last_event  uuid        NOT NULL,
    statuses    text[]      NOT NULL,
    total       integer     NOT NULL,
    reached     uuid,
    seen        integer     NOT NULL DEFAULT 0,
    sent        integer     NOT NULL DEFAULT 0,
    created_at  timestamptz NOT NULL,
    finished_at timestamptz
);
CREATE INDEX recoveries_by_endpoint ON recoveries (endpoint_id, id);
CREATE INDEX recoveries_to_do ON recoveries (id) WHERE finished_at IS NULL;

ALTER TABLE events ADD COLUMN traceparent text;
