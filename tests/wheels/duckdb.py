"""Queries in threads of DuckDB, which call a Python function, in four threads."""

from concurrent.futures import ThreadPoolExecutor

import duckdb

database = duckdb.connect(config={"threads": 4})
database.create_function("halve", lambda n: n // 2, ["BIGINT"], "BIGINT")
database.execute("CREATE TABLE numbers AS SELECT range AS n, range % 7 AS k FROM range(300000)")


def work(n):
    query = f"SELECT sum(halve(n)) FROM numbers WHERE k = {n}"
    return database.cursor().execute(query).fetchone()


with ThreadPoolExecutor(4) as pool:
    print(list(pool.map(work, range(7))))
groups = "SELECT k, count(*), max(halve(n)) FROM numbers GROUP BY k ORDER BY k"
print(database.execute(groups).fetchall())
rows = [(n, str(n)) for n in range(1000)]
database.execute("CREATE TABLE texts (n BIGINT, text VARCHAR)")
database.executemany("INSERT INTO texts VALUES (?, ?)", rows)
print(database.execute("SELECT sum(length(text)) FROM texts").fetchall())
database.create_function("fail", lambda n: 1 // 0, ["BIGINT"], "BIGINT")
try:
    database.execute("SELECT sum(fail(n)) FROM numbers").fetchall()
except duckdb.Error as error:
    print("ZeroDivisionError" in str(error))
