-- What: remembers which segments the run has, for the view `landed`, which can have no parameters.
-- Parameters: $segments, the paths of the run's segments.
-- Returns: nothing.
SET VARIABLE segments = $segments;
