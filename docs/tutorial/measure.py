"""Prints the first three temperatures that the native thread has measured."""

from itertools import islice

from thermometer import Thermometer

thermometer = Thermometer()
for celsius in islice(thermometer.readings, 3):
    print(celsius, "degrees")
