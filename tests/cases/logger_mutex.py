import threading

import logger_mutex

lines = []
logger_mutex.set_sink(lambda line: lines.append(line))
logger_mutex.start()


def write():
    for _ in range(1000):
        logger_mutex.write("python")


threads = [threading.Thread(target=write, daemon=True) for _ in range(2)]
for thread in threads:
    thread.start()
write()
for thread in threads:
    thread.join()
while "native" not in lines:
    pass
logger_mutex.stop()
assert lines.count("python") == 3000, lines.count("python")
