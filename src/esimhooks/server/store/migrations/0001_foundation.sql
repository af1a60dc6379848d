-- Ids are UUIDv7; the time inside chooses the daily partition. Every row of a tenant carries its account.
-- Columns named sealed_* are AES-256-GCM, bound to their row (sealing.py).

CREATE TABLE installation (
    name  text PRIMARY KEY,
    value bytea NOT NULL
);

CREATE TABLE accounts (
    id         uuid PRIMARY KEY,
    name       text        NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);

CREATE TABLE endpoints (
    id              uuid PRIMARY KEY,
    account_id      uuid        NOT NULL REFERENCES accounts ON DELETE CASCADE,
    mode            text        NOT NULL CHECK (mode IN ('live', 'test')),
    url             text        NOT NULL,
    name            text,
    event_types     text[],
    retry_schedule  integer[]   NOT NULL,
    timeout_s       real        NOT NULL,
    max_in_flight   integer     NOT NULL,
    enabled         boolean     NOT NULL,
    disabled_reason text,
    version         integer     NOT NULL DEFAULT 1,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL
);
CREATE INDEX endpoints_by_tenant ON endpoints (account_id, mode, id);

CREATE TABLE endpoint_secrets (
    id            uuid PRIMARY KEY,
    account_id    uuid        NOT NULL,
    endpoint_id   uuid        NOT NULL REFERENCES endpoints ON DELETE CASCADE,
    sealed_secret bytea       NOT NULL,
    created_at    timestamptz NOT NULL,
    expires_at    timestamptz
);
CREATE INDEX endpoint_secrets_by_endpoint ON endpoint_secrets (endpoint_id);

CREATE TABLE api_keys (
    id           uuid PRIMARY KEY,
    account_id   uuid REFERENCES accounts ON DELETE CASCADE,
    mode         text CHECK (mode IN ('live', 'test')),
    name         text        NOT NULL,
    lookup       text        NOT NULL UNIQUE,
    digest       bytea       NOT NULL,
    endpoint_id  uuid REFERENCES endpoints ON DELETE SET NULL,
    allowed_ips  text[],
    expires_at   timestamptz,
    created_at   timestamptz NOT NULL,
    last_used_at timestamptz,
    CHECK ((account_id IS NULL) = (mode IS NULL))
);
CREATE INDEX api_keys_by_account ON api_keys (account_id, id);

CREATE TABLE providers (
    name               text PRIMARY KEY,
    kind               text        NOT NULL,
    base_url           text,
    sealed_credentials bytea       NOT NULL,
    settings           jsonb       NOT NULL,
    sealed_token       bytea       NOT NULL,
    next_request_at    timestamptz NOT NULL DEFAULT now(),
    created_at         timestamptz NOT NULL,
    updated_at         timestamptz NOT NULL
);

CREATE TABLE orders (
    id             uuid PRIMARY KEY,
    account_id     uuid        NOT NULL REFERENCES accounts ON DELETE CASCADE,
    mode           text        NOT NULL,
    provider       text        NOT NULL,
    transaction_id text        NOT NULL,
    order_no       text,
    package_code   text        NOT NULL,
    package_name   text,
    quantity       integer     NOT NULL,
    created_at     timestamptz NOT NULL,
    polls          integer     NOT NULL DEFAULT 0,
    next_poll_at   timestamptz,
    UNIQUE (account_id, mode, transaction_id)
);
CREATE INDEX orders_by_order_no ON orders (provider, order_no);
CREATE INDEX orders_by_transaction ON orders (provider, transaction_id);
CREATE INDEX orders_to_poll ON orders (next_poll_at) WHERE next_poll_at IS NOT NULL;

CREATE TABLE esims (
    id                    uuid PRIMARY KEY,
    account_id            uuid        NOT NULL REFERENCES accounts ON DELETE CASCADE,
    mode                  text        NOT NULL,
    created_at            timestamptz NOT NULL,
    updated_at            timestamptz NOT NULL,
    order_id              uuid,
    provider              text,
    transaction_id        text        NOT NULL,
    order_no              text,
    esim_tran_no          text,
    package_code          text,
    package_name          text,
    iccid                 text,
    imsi                  text,
    msisdn                text,
    eid                   text,
    sealed_credentials    bytea,
    apn                   text,
    status                text,
    status_at             timestamptz,
    smdp_status           text,
    smdp_at               timestamptz,
    smdp_sequence         bigint,
    total_bytes           bigint,
    used_bytes            bigint,
    usage_at              timestamptz,
    total_days            integer,
    activate_at           timestamptz,
    expire_at             timestamptz,
    validity_at           timestamptz,
    sequence              integer     NOT NULL,
    usage_told_at         timestamptz,
    validity_days_noticed integer,
    sealed_held           bytea,
    next_poll_at          timestamptz
) WITH (fillfactor = 80);
CREATE INDEX esims_by_tenant ON esims (account_id, mode, id);
CREATE INDEX esims_by_tran_no ON esims (esim_tran_no) WHERE esim_tran_no IS NOT NULL;
CREATE INDEX esims_by_order_no ON esims (order_no) WHERE order_no IS NOT NULL;
CREATE INDEX esims_by_transaction ON esims (transaction_id);
CREATE INDEX esims_by_iccid ON esims (iccid) WHERE iccid IS NOT NULL;
CREATE INDEX esims_by_order ON esims (order_id) WHERE order_id IS NOT NULL;
CREATE INDEX esims_to_expire ON esims (expire_at)
    WHERE status IN ('CREATED', 'ACTIVATED', 'IN_USE', 'SUSPENDED', 'USED_UP') AND expire_at IS NOT NULL;
CREATE INDEX esims_to_poll ON esims (next_poll_at)
    WHERE status IN ('ACTIVATED', 'IN_USE', 'USED_UP') AND esim_tran_no IS NOT NULL AND provider IS NOT NULL;

-- The journal: what came in, as it came.
CREATE TABLE notifications (
    id           uuid        NOT NULL,
    source       text        NOT NULL,
    account_id   uuid,
    mode         text,
    received_at  timestamptz NOT NULL,
    kind         text,
    outcome      text        NOT NULL,
    detail       text,
    esim_id      uuid,
    request      jsonb       NOT NULL,
    sealed_body  bytea       NOT NULL,
    PRIMARY KEY (id)
) PARTITION BY RANGE (id);
CREATE INDEX notifications_by_source ON notifications (source, id);
CREATE TABLE notifications_default PARTITION OF notifications DEFAULT;

-- One row for every notification of the last 30 days, so that it is applied once.
CREATE TABLE seen_notifications (
    source          text        NOT NULL,
    digest          bytea       NOT NULL,
    content         bytea       NOT NULL,
    notification_id uuid        NOT NULL,
    seen_at         timestamptz NOT NULL,
    PRIMARY KEY (source, digest)
);
CREATE INDEX seen_notifications_by_age ON seen_notifications USING brin (seen_at);

-- Notifications that wait: for their provider's answer, or for another look.
CREATE TABLE backlog (
    notification_id uuid PRIMARY KEY,
    source          text        NOT NULL,
    due_at          timestamptz NOT NULL,
    tries           integer     NOT NULL DEFAULT 0
);
CREATE INDEX backlog_by_due ON backlog (due_at);

-- Notifications whose eSIM is not known yet, by what they say about it.
CREATE TABLE unmatched_notifications (
    notification_id uuid PRIMARY KEY,
    source          text NOT NULL,
    esim_tran_no    text,
    order_no        text,
    transaction_id  text
);
CREATE INDEX unmatched_by_tran_no ON unmatched_notifications (esim_tran_no);
CREATE INDEX unmatched_by_order_no ON unmatched_notifications (order_no);
CREATE INDEX unmatched_by_transaction ON unmatched_notifications (transaction_id);

CREATE TABLE events (
    id              uuid        NOT NULL,
    account_id      uuid        NOT NULL,
    mode            text        NOT NULL,
    esim_id         uuid,
    type            text        NOT NULL,
    happened_at     timestamptz NOT NULL,
    notification_id uuid,
    sealed_body     bytea       NOT NULL,
    PRIMARY KEY (id)
) PARTITION BY RANGE (id);
CREATE INDEX events_by_tenant ON events (account_id, mode, id);
CREATE INDEX events_by_esim ON events (esim_id, id);
CREATE TABLE events_default PARTITION OF events DEFAULT;

CREATE TABLE deliveries (
    id          uuid        NOT NULL,
    account_id  uuid        NOT NULL,
    mode        text        NOT NULL,
    event_id    uuid        NOT NULL,
    event_type  text        NOT NULL,
    esim_id     uuid,
    endpoint_id uuid        NOT NULL,
    status      text        NOT NULL,
    attempts    integer     NOT NULL DEFAULT 0,
    finished_at timestamptz,
    PRIMARY KEY (id)
) PARTITION BY RANGE (id);
CREATE INDEX deliveries_by_tenant ON deliveries (account_id, mode, id);
CREATE INDEX deliveries_by_event ON deliveries (event_id);
CREATE TABLE deliveries_default PARTITION OF deliveries DEFAULT;

CREATE TABLE attempts (
    id               uuid        NOT NULL,
    account_id       uuid        NOT NULL,
    delivery_id      uuid        NOT NULL,
    number           integer     NOT NULL,
    started_at       timestamptz NOT NULL,
    duration_ms      integer     NOT NULL,
    outcome          text        NOT NULL,
    status_code      integer,
    error            text,
    response_headers jsonb       NOT NULL,
    sealed_body      bytea       NOT NULL,
    dialled          text,
    PRIMARY KEY (id)
) PARTITION BY RANGE (id);
CREATE INDEX attempts_by_delivery ON attempts (delivery_id);
CREATE TABLE attempts_default PARTITION OF attempts DEFAULT;

-- A lane is the queue of one endpoint; who holds its lease sends its deliveries.
CREATE TABLE lanes (
    endpoint_id  uuid PRIMARY KEY REFERENCES endpoints ON DELETE CASCADE,
    account_id   uuid    NOT NULL,
    open         boolean NOT NULL DEFAULT true,
    lease_token  bigint  NOT NULL DEFAULT 0,
    leased_by    uuid,
    leased_until timestamptz
) WITH (fillfactor = 50);

-- What the lanes hold: the pending deliveries and nothing else, so that history does not slow them.
CREATE TABLE queue (
    delivery_id uuid PRIMARY KEY,
    account_id  uuid        NOT NULL,
    endpoint_id uuid        NOT NULL,
    event_id    uuid        NOT NULL,
    event_type  text        NOT NULL,
    esim_id     uuid,
    due_at      timestamptz NOT NULL,
    attempts    integer     NOT NULL DEFAULT 0,
    attempts_this_round integer NOT NULL DEFAULT 0,
    claims      integer     NOT NULL DEFAULT 0,
    claim_token bigint      NOT NULL DEFAULT 0
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX queue_by_lane ON queue (endpoint_id, due_at);
