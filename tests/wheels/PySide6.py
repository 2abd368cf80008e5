"""Runs threads and a thread pool of Qt that emit signals, and a window painted in Python."""

import os

os.environ["QT_QPA_PLATFORM"] = "offscreen"

from PySide6.QtCore import QObject, QRunnable, Qt, QThread, QThreadPool, QTimer, Signal
from PySide6.QtGui import QPainter
from PySide6.QtWidgets import QApplication, QWidget


class Worker(QThread):
    counted = Signal(int)

    def run(self):
        for n in range(20):  # PySide6 6.12 loses a reference to True with each, which has some 500
            self.counted.emit(n)


class Job(QRunnable):
    def __init__(self, done):
        super().__init__()
        self.done = done

    def run(self):
        self.done.emit(sum(range(10_000)))


class Window(QWidget):
    painted = 0

    def paintEvent(self, event):  # noqa: N802, Qt's name
        Window.painted += 1
        with QPainter(self) as painter:
            painter.fillRect(self.rect(), Qt.GlobalColor.red)


class Jobs(QObject):
    done = Signal(int)


def leave():
    if len(numbers) == 100 and Window.painted:
        application.quit()


application = QApplication([])
numbers, window, jobs = [], Window(), Jobs()
workers = [Worker() for _ in range(4)]
jobs.done.connect(numbers.append)
for each in workers:
    each.counted.connect(numbers.append)
    each.start()
for _ in range(20):
    QThreadPool.globalInstance().start(Job(jobs.done))
window.show()
timer = QTimer(interval=10)
timer.timeout.connect(leave)
timer.start()
print(application.exec(), sum(numbers), window.grab().toImage().pixelColor(5, 5).name())
for each in workers:
    each.wait()
