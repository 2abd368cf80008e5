"""Pools of threads, and of processes that are forked, spawned, and forked by a server."""

import concurrent.futures
import multiprocessing
import threading


def work(n):
    thread = threading.Thread(target=sum, args=([n],))
    thread.start()
    thread.join()
    return n * n


def main():
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        print(sum(pool.map(work, range(1000))))
        for method in ("fork", "spawn", "forkserver"):
            context = multiprocessing.get_context(method)
            with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as processes:
                beside = pool.map(work, range(1000))
                print(method, sum(processes.map(work, range(100))), sum(beside))


if __name__ == "__main__":
    main()
