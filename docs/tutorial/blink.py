"""Lets a thousand lamps blink until the last has blinked three times."""

import threading

from lamps import Lamps

blinks = [0] * 1000
last_has_blinked = threading.Event()
lamps = Lamps()


def lamp(number):
    def on_blink():
        blinks[number] += 1
        if number == 999 and blinks[number] == 3:
            last_has_blinked.set()

    return on_blink


for number in range(1000):
    lamps.add(lamp(number))
lamps.start()
last_has_blinked.wait()
lamps.stop()
print(len(set(blinks)), "count for", len(blinks), "lamps")
