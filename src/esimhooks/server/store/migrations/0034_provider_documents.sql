-- Every version of a provider's document, and which providers tell nothing by themselves, so that their new eSIMs are polled.
ALTER TABLE providers ADD COLUMN only_polled boolean NOT NULL DEFAULT false;

CREATE TABLE provider_documents (
    provider    text        NOT NULL REFERENCES providers (name) ON DELETE CASCADE,
    version     integer     NOT NULL,
    document    text        NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (provider, version)
);

CREATE INDEX esims_created_to_poll ON esims (provider, next_poll_at)
    WHERE status = 'CREATED' AND esim_tran_no IS NOT NULL;
