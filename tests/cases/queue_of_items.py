import weakref

import queue_of_items


class Mine(queue_of_items.Item):
    pass


queue = queue_of_items.Queue()
gone = []
for i in range(100):
    item = Mine()
    weakref.finalize(item, gone.append, i)
    queue.put(item)
    assert queue.last() is item
    del item
assert not gone
queue.drain()
assert gone == list(range(100)), gone

for _ in range(10):
    queue.put(Mine())
