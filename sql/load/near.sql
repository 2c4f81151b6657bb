-- What: whether a stored version is within the bounds of what a load or a comparison is about.
-- Parameters: none; the macro's first argument is a variable as `landed_bounds` makes one. If the variable was
-- never set, every row is near; if it was set from no rows, none is.
-- Returns: nothing; makes the temporary macro `near`. It picks nothing: the join beside it does.
-- Constants are compared while a table is read, so that of what is elsewhere no other column is read. By what a join tells
-- it, a scan of text only skips row groups, by the first eight bytes: image names mostly have those in common.
CREATE OR REPLACE TEMP MACRO near(bounds, its_account, its_region, its_image, its_version) AS
    bounds IS NULL
    OR (
        its_account BETWEEN bounds['lowest_account'] AND bounds['highest_account']
        AND its_region BETWEEN bounds['lowest_region'] AND bounds['highest_region']
        AND its_image BETWEEN bounds['lowest_image'] AND bounds['highest_image']
        AND (
            bounds['lowest_version'] IS NULL
            OR its_version BETWEEN bounds['lowest_version'] AND bounds['highest_version']
        )
    );
