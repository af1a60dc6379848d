-- As `real`, 2.3 read back as 2.299999952316284: another number than the one that was set. What stands there is rounded
-- to the milliseconds that were meant.
ALTER TABLE endpoints ALTER COLUMN timeout_s TYPE double precision USING round(timeout_s::numeric, 3)::double precision;
