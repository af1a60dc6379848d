-- What stands wrong with a provider, one row each until it is over; reported once as an operational event.
CREATE TABLE provider_troubles (
    provider    text        NOT NULL REFERENCES providers (name) ON DELETE CASCADE,
    kind        text        NOT NULL,
    detail      text        NOT NULL,
    since       timestamptz NOT NULL DEFAULT now(),
    reported_at timestamptz,
    PRIMARY KEY (provider, kind)
);
CREATE INDEX provider_troubles_to_report ON provider_troubles (since) WHERE reported_at IS NULL;
