-- What: the bounds of the versions of a query, for `near`. Null version numbers mean all versions of the images.
-- Parameters: none.
-- Returns: nothing; makes the temporary macro `bounds_of`, an aggregate. Without rows, all bounds are null.
CREATE OR REPLACE TEMP MACRO bounds_of(its_account, its_region, its_image, its_version) AS struct_pack(
    lowest_account := min(its_account),
    highest_account := max(its_account),
    lowest_region := min(its_region),
    highest_region := max(its_region),
    lowest_image := min(its_image),
    highest_image := max(its_image),
    lowest_version := min(its_version),
    highest_version := max(its_version)
);
