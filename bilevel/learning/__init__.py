"""Hyperparameters in scikit-learn's manner: a search class that drops in for GridSearchCV, and proofs where known."""

from bilevel.learning.search_cv import BilevelSearchCV as BilevelSearchCV
