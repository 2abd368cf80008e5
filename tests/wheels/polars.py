"""Computes in threads of Rust, which call Python functions for rows and groups."""

import polars as pl

table = pl.DataFrame({"key": [n % 5 for n in range(5000)], "value": range(5000)})
lazy = table.lazy().with_columns(
    squares=pl.col("value").map_elements(lambda n: n * n, return_dtype=pl.Int64),
    doubles=pl.col("value").map_batches(lambda each: each * 2, return_dtype=pl.Int64),
)
print(lazy.select(pl.col("squares", "doubles").sum()).collect())
groups = table.group_by("key").map_groups(
    lambda group: pl.DataFrame({"key": [group["key"][0]], "sum": [group["value"].sum()]})
)
print(groups.sort("key"))
frames = pl.collect_all([lazy.filter(pl.col("key") == n) for n in range(5)])
print([frame["squares"].sum() for frame in frames])
try:
    lazy.select(pl.col("value").map_elements(lambda n: 1 // 0, return_dtype=pl.Int64)).collect()
except Exception as error:
    print(type(error).__name__)
