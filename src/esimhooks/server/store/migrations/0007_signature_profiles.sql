ALTER TABLE endpoints
    ADD COLUMN signature_profile  text NOT NULL DEFAULT 'standard'
        CHECK (signature_profile IN ('standard', 'standard-asymmetric', 'hex')),
    ADD COLUMN redact_credentials boolean NOT NULL DEFAULT false;
