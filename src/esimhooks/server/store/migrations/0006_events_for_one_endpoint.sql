-- The one endpoint that an example was sent to; it must not reach the others when what they missed is sent again.
ALTER TABLE events ADD COLUMN endpoint_id uuid;
