"""What docs/embed.md's application calls."""

_total = 0


def area(width, height=1.0):
    if width <= 0:
        raise ValueError(f"a width is positive, not {width}")
    return width * height


def add(side):
    global _total
    _total += side


def total():
    return _total
