"""What SQLite calls back, from statements that it runs without the GIL, in several threads."""

import sqlite3
import threading


class Sum:
    def __init__(self):
        self.sum = 0

    def step(self, n):
        self.sum += n

    def finalize(self):
        return self.sum


def work(name, results):
    database = sqlite3.connect(":memory:")
    traced, progressed = [], []
    database.create_function("twice", 1, lambda n: 2 * n)
    database.create_aggregate("total_of", 1, Sum)
    database.create_collation("reverse", lambda a, b: (a < b) - (a > b))
    database.set_authorizer(lambda *_: sqlite3.SQLITE_OK)
    database.set_trace_callback(traced.append)
    database.set_progress_handler(lambda: progressed.append(0), 100)
    database.execute("create table t (n integer, s text)")
    with database:
        database.executemany("insert into t values (?, ?)", ((n, str(n)) for n in range(1000)))
    twice = database.execute("select total_of(twice(n)) from t").fetchone()[0]
    first = database.execute("select s from t order by s collate reverse").fetchone()[0]
    copy = sqlite3.connect(":memory:")
    database.backup(copy, pages=1, progress=lambda *_: progressed.append(0))
    database.create_function("fails", 0, lambda: 1 // 0)
    try:
        database.execute("select fails()")
    except sqlite3.OperationalError as error:
        failed = str(error)
    results[name] = (twice, first, failed, len(traced) > 1000, len(progressed) > 10)
    copy.close()
    database.close()


results = {}
threads = [threading.Thread(target=work, args=(name, results)) for name in range(4)]
for each in threads:
    each.start()
for each in threads:
    each.join()
print(sorted(results.items()))
