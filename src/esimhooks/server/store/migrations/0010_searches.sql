-- The deliveries of one endpoint: its page, its figures and its recoveries, without reading those of the others.
CREATE INDEX deliveries_by_endpoint ON deliveries (endpoint_id, id);
CREATE INDEX esims_by_status ON esims (account_id, mode, status, id);
