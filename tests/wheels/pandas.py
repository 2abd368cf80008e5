"""Groups, joins and sorts in four threads, with Python functions for the groups and rows."""

import io
from concurrent.futures import ThreadPoolExecutor

import pandas as pd


def work(n):
    rows = 2000
    table = pd.DataFrame({"key": [each % 7 for each in range(rows)], "value": range(n, n + rows)})
    groups = table.groupby("key")["value"].agg(lambda group: int(group.sum()) % 1000)
    table["double"] = table["value"].map(lambda value: 2 * value)
    joined = table.merge(groups.rename("sum"), left_on="key", right_index=True)
    again = pd.read_csv(io.StringIO(joined.sort_values("value").to_csv(index=False)))
    return again["sum"].tolist()[:7], int(again["double"].sum())


with ThreadPoolExecutor(4) as pool:
    print(*pool.map(work, range(4)), sep="\n")
