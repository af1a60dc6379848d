ALTER TABLE endpoints
    DROP CONSTRAINT endpoints_signature_profile_check,
    ADD CONSTRAINT endpoints_signature_profile_check
        CHECK (signature_profile IN ('standard', 'standard-asymmetric', 'hex', 'svix', 'convoy', 'convoy-advanced')) NOT VALID;
