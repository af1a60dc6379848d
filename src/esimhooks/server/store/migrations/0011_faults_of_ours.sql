-- How often in a row an attempt failed through a fault of ours; it is put off for longer each time.
ALTER TABLE queue ADD COLUMN faults integer NOT NULL DEFAULT 0;
