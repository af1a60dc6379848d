-- Requeries of many eSIMs: those up to `reached` are done. Whoever works on one has it until `due_at`, and no process
-- holds anything else, so another goes on where one was killed.
CREATE TABLE requeries (
    id             uuid PRIMARY KEY,
    account_id     uuid        NOT NULL REFERENCES accounts ON DELETE CASCADE,
    mode           text        NOT NULL,
    status         text,
    iccid          text,
    transaction_id text,
    order_no       text,
    last_esim      uuid        NOT NULL,
    matched        integer     NOT NULL,
    reached        uuid,
    done           integer     NOT NULL DEFAULT 0,
    changed        integer     NOT NULL DEFAULT 0,
    failed         integer     NOT NULL DEFAULT 0,
    problem        text,
    waits          integer     NOT NULL DEFAULT 0,
    due_at         timestamptz NOT NULL DEFAULT now(),
    created_at     timestamptz NOT NULL,
    finished_at    timestamptz
);
CREATE INDEX requeries_by_tenant ON requeries (account_id, mode, id);
CREATE INDEX requeries_to_do ON requeries (due_at) WHERE finished_at IS NULL;
-- One at a time for a tenant: they share what the providers allow the operator.
CREATE UNIQUE INDEX requeries_under_way ON requeries (account_id, mode) WHERE finished_at IS NULL;

-- From a notification to its events, for `trace`: rows lie nearly in the order of their notifications, so this costs
-- a writer next to nothing.
CREATE INDEX events_by_notification ON events USING brin (notification_id)
    WITH (pages_per_range = 32, autosummarize = on);
CREATE INDEX events_by_trace ON events (substr(traceparent, 4, 32)) WHERE traceparent IS NOT NULL;
