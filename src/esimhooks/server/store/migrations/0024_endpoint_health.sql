-- Why an endpoint fails, and since when it is paused or disabled, where pages and operational events need it.
ALTER TABLE endpoints
    ADD COLUMN paused      boolean NOT NULL DEFAULT false,
    ADD COLUMN switched_at timestamptz; -- last enabled, disabled, paused or resumed

ALTER TABLE lanes
    ADD COLUMN failure_outcome text,
    ADD COLUMN failure_status  integer,
    ADD COLUMN failure_error   text,
    ADD COLUMN failed_at       timestamptz,
    ADD COLUMN alerted_at      timestamptz; -- when endpoint.failing was emitted, null once endpoint.recovered was

-- What the last attempt of a delivery came to, so that lists show it and filter by it.
ALTER TABLE deliveries
    ADD COLUMN outcome     text,
    ADD COLUMN status_code smallint;

CREATE INDEX queue_retrying ON queue (endpoint_id, started_at) WHERE attempts_this_round > 0;
