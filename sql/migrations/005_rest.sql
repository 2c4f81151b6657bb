-- How many images of a scope were not listed in a run because no hint was about them, and how many had a hint.

ALTER TABLE coverage ADD COLUMN rested BIGINT;
ALTER TABLE coverage ADD COLUMN hinted BIGINT;
