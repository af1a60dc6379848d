-- Whether a word without a number has been applied since the numbered one: then the time counts beside the number.
ALTER TABLE esims ADD COLUMN smdp_unnumbered boolean NOT NULL DEFAULT false;
