-- The eSIM that an order tops up; such an order makes no eSIMs of its own.
ALTER TABLE orders ADD COLUMN esim_id uuid;
CREATE INDEX orders_by_topped_up_esim ON orders (esim_id) WHERE esim_id IS NOT NULL;
