import blocking_constructor

for i in range(50):
    assert blocking_constructor.Device(i).channels == i
