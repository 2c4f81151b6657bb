-- What: stores the paths of the run's segments in a variable, for the view `landed`: a view cannot have parameters.
-- Parameters: $segments, the paths of the run's segments.
-- Returns: nothing; sets the variable `segments`.
SET VARIABLE segments = $segments;
