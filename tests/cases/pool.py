import pool

n = 0


def job():
    global n
    n += 1


for _ in range(20):
    kept = pool.Pool(job)
    before = n
    while n == before:
        pass
    del kept

left = pool.Pool(job)
