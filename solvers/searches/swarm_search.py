"""Particle swarm, asked and told.

Every particle keeps a place, a velocity and the best place it was at, and is drawn to that and to the best place of the
whole swarm (Kennedy and Eberhart 1995), with the constriction that keeps velocities from growing (Clerc and Kennedy
2002, IEEE Trans. Evol. Comput. 6):

    v <- 0.7298 v + 1.4962 r1 (own best - x) + 1.4962 r2 (swarm's best - x),   x <- x + v
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from bilevel.arrays import Array, Point
from bilevel.contracts.search import Search
from bilevel.registry import register
from bilevel.solvers.searches.model_based.encoding import Encoding
from bilevel.solvers.searches.model_based.initial_design import initial_design
from bilevel.solvers.searches.model_based.memory import Memory
from bilevel.solvers.searches.model_based.pool import Pool

if TYPE_CHECKING:
    from bilevel.upper.archive import Evaluation
    from bilevel.upper.space import Space

_INERTIA, _DRAW = 0.7298, 1.4962
_FASTEST = 0.5  # of the unit box in one move
_TRIES = 20
_SMALLEST = 8


@dataclass
class _Particle:
    """Where it is, how it moves, and the best place it was at with its merit."""

    here: Array
    speed: Array
    best: Array
    merit: tuple[int, float] = field(default=(3, math.inf))


@register("pso")
class ParticleSwarmSearch(Search):
    """Particle swarm with constriction, on the lattice.

    Parameters
    ----------
    population : int, optional
        Particles; by default four per dimension, at least 8 and at most a fifth of the budget.

    Notes
    -----
    Take it when F has one broad valley and hundreds of cheap evaluations can be afforded; where it has many valleys,
    ``de`` keeps more of them in view.
    """

    def __init__(
        self, space: Space, rng: np.random.Generator, budget: int | None = None, *, population: int | None = None
    ) -> None:
        super().__init__(space, rng, budget)
        self._encoding = Encoding(space)
        self._memory = Memory(self._encoding)
        self._pool = Pool(self._encoding, self._memory, rng)
        self._size = population or max(_SMALLEST, min(4 * len(self._encoding), (budget or 10**6) // 5))
        self._design = initial_design(self._encoding, self._size, rng)
        self._swarm: list[_Particle] = []
        self._moving: dict[Point, _Particle] = {}
        self._turn = 0

    def ask(self, count: int = 1) -> list[Point]:
        return self._memory.gather(count, self._next)

    def _next(self) -> Point | None:
        if len(self._memory.seen) < self._size:
            for point in self._design:
                if point not in self._memory.seen:
                    return point
        if not self._swarm:
            return self._pool.any()
        particle = self._swarm[self._turn % len(self._swarm)]
        self._turn += 1
        for _ in range(_TRIES):
            self._move(particle)
            drawn = self.space.draw(self._encoding.snap(particle.here[None])[0])
            if drawn is not None and drawn not in self._memory.seen:
                self._moving[drawn] = particle
                return drawn
        return self._pool.any()

    def _move(self, particle: _Particle) -> None:
        """One step; a category has no velocity: it is its own best's, the swarm's best's, or stays as it is."""
        rng, count = self.rng, len(particle.here)
        best = min(self._swarm, key=lambda p: p.merit).best
        own, common = rng.random(count), rng.random(count)
        pull = own * (particle.best - particle.here) + common * (best - particle.here)
        particle.speed = np.clip(_INERTIA * particle.speed + _DRAW * pull, -_FASTEST, _FASTEST)
        moved = particle.here + particle.speed
        outside = (moved < 0.0) | (moved > 1.0)
        particle.speed = np.where(outside, -0.5 * particle.speed, particle.speed)
        moved = np.clip(moved, 0.0, 1.0)
        choice = np.array([particle.here, particle.best, best])[rng.integers(3, size=count), np.arange(count)]
        particle.here = np.where(self._encoding.categorical, choice, moved)

    def tell(self, evaluation: Evaluation) -> None:
        if not self._memory.tell(evaluation):
            return
        merit, unit = _merit(evaluation), self._encoding.unit(evaluation.point)
        particle = self._moving.pop(evaluation.point, None)
        if particle is None and len(self._swarm) < self._size:
            speed = 0.1 * (self.rng.random(len(unit)) - 0.5)
            self._swarm.append(_Particle(unit, speed, unit, merit))
            return
        if particle is None:  # somebody else's point: the worst particle goes there if that is better
            particle = max(self._swarm, key=lambda p: p.merit)
        if merit < particle.merit:
            particle.best, particle.merit = unit, merit


def _merit(evaluation: Evaluation) -> tuple[int, float]:
    """Feasible points by F, then those that break a constraint by how much, then those without an answer."""
    if evaluation.feasible:
        return 0, evaluation.cost
    return (1, evaluation.upper_violation) if evaluation.answered else (2, 0.0)
