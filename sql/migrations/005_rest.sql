-- How many images of a scope were not listed in a run because nothing hinted at them, and how many were hinted at.

ALTER TABLE coverage ADD COLUMN rested BIGINT;
ALTER TABLE coverage ADD COLUMN hinted BIGINT;
