-- What: locks the settings: no later statement can change one. The last step of locking a connection down.
-- Parameters: none. Returns: nothing.
SET lock_configuration = true;
