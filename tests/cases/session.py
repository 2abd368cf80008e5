import threading

import session


def ask(answers):
    session.run(answers, 20)


asked = [[] for _ in range(4)]
threads = [threading.Thread(target=ask, args=(each,), daemon=True) for each in asked]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert asked == [list(range(20))] * 4, asked
