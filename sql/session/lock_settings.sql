-- What: nothing that runs from here on can change a setting. The last step of locking a connection down.
-- Parameters: none. Returns: nothing.
SET lock_configuration = true;
