"""What docs/threads.md does with its module feed."""

import threading

import feed

enough = threading.Event()
prices = []


def on_price(price):
    prices.append(price)
    if len(prices) == 3:
        enough.set()


prices_from = feed.Feed(on_price)
enough.wait()
prices_from.stop()
print(prices[:3])
