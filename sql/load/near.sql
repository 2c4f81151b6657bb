-- What: whether a stored version is within the bounds of the versions that a load or a comparison needs.
-- Parameters: none; the macro's first argument is a variable such as `landed_bounds`. If the variable was never set,
-- every row is near; if it was set from no rows, no row is near.
-- Returns: nothing; makes the temporary macro `near`. The macro only narrows a scan; a join selects the rows.
-- DuckDB compares columns with constants while it scans a table, so it reads only the key columns of rows outside the
-- bounds. With the filter that it derives from a join, a scan of a text column can only skip row groups, by the first
-- eight bytes of the texts, and most image names have these in common.
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
