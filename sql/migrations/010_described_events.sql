-- When DescribeImageVersion returned the details in an event. A new state keeps earlier details while its own are
-- pending: this time tells them from details that were read for it. It is not known for the events that are stored.

ALTER TABLE image_version_events ADD COLUMN etl_described_at TIMESTAMP WITH TIME ZONE;
