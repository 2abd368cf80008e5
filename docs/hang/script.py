import time

import telemetry

readings = []
telemetry.start()
telemetry.subscribe(readings.append)
time.sleep(0.1)
telemetry.stop()
print(len(readings) > 0)
