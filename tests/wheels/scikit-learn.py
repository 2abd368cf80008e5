"""Fits in threads of joblib and of OpenMP, and with a kernel written in Python."""

import numpy as np
from sklearn.cluster import KMeans
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import cross_val_score
from sklearn.svm import SVC

points = np.random.default_rng(1).normal(size=(400, 4))
classes = (points[:, 0] * points[:, 1] > 0).astype(int)

forest = RandomForestClassifier(60, n_jobs=4, random_state=1).fit(points, classes)
print(forest.score(points, classes), forest.predict(points)[:20])

clusters = KMeans(3, n_init=2, random_state=1).fit(points)
print(np.bincount(clusters.labels_))

machine = SVC(kernel=lambda left, right: (left @ right.T + 1) ** 2)  # LIBSVM asks Python
print(machine.fit(points, classes).score(points, classes))
print(cross_val_score(forest, points, classes, cv=3, n_jobs=1).round(3))
