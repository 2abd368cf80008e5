"""Counts to three on a native thread, and stops it; then starts and stops it again."""

from counter import Counter

numbers = []
counter = Counter(numbers)
counter.start()
while len(numbers) < 3:
    pass
counter.stop()
counter.start()
counter.stop()
print(numbers[:3])
