"""How many different guests have been seen by a time, and who is seen last: the integrals behind `zipf.gap`.

Entries are taken to come at random moments, one per unit of time on average. Then guests are seen independently of each
other, guest i with probability 1 - exp(-p_i * t) by the time t, and the number seen has a Poisson-binomial law. It is
summed from its characteristic function at roots of unity, from which one or two guests are taken out by division, and
integrated over t. The random moments lengthen no gap on average, and add the mean gap to its variance.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from kvmlab.engine.errors import InputError

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]
NEGLIGIBLE = math.log(1e-16)
TILTS = np.geomspace(0.01, 80, 40)
"""Exponents of which the best gives a bound for a tail; any of them gives a true one."""
PANEL = 3
"""Standard deviations of the number of guests seen that one panel of the quadrature spans."""
ABSCISSAE, WEIGHTS = np.polynomial.legendre.leggauss(16)
KEEP = 1 << 22
"""Numbers of an integrand that are kept for the next pass, 16 bytes each; more are computed again."""


class Integrals:
    """Hold the integrals over time for given shares; guests with the same share are one group.

    For the gap after guest j it is the integral of the probability that at most U - 1 others were seen by the time t.
    That k ends it has the density p_k * exp(-p_k * t) * (probability that U - 1 were seen, without j and k).

    Attributes:
        share: probability of one guest of each group.
        count: guests in each group.
        centre: a time near the mean gap, about which squares are taken.
        mean: mean gap after a flush by a guest of each group.
        square: mean square of (gap on the random clock - centre), the same.
    """

    def __init__(self, p: Floats, numbers: int) -> None:
        """Choose the times and do the first pass."""
        self.share, count = np.unique(p, return_counts=True)
        self.count = count.astype(float)
        self.centre = fluid_time(self.share, self.count, numbers)
        middle = math.log(self.centre)
        low = _walk(middle, lambda u: self._tail(math.exp(u), numbers, 1), -0.02)
        high = _walk(middle, lambda u: self._tail(math.exp(u), numbers, -1), 0.02)
        self._choose_times(low, high)
        self._choose_roots(numbers, math.exp(low), math.exp(high))
        self._kept: dict[int, Complexes] = {}
        self._integrate(math.exp(low))

    def _seen(self, time: float | Floats) -> tuple[Floats, Floats]:
        """Return the probabilities that a guest of each group has not been seen by then, and that it has."""
        exponent = -np.multiply.outer(time, self.share)
        return np.exp(exponent), -np.expm1(exponent)

    def _tail(self, time: float, number: float, side: int) -> float:
        """Bound the logarithm of the probability that `number` or more (side 1) or fewer (-1) were seen (Chernoff)."""
        if not 0 <= number <= self.count.sum():
            return -math.inf
        unseen, seen = self._seen(time)
        tilt = side * TILTS
        return float((self.count @ np.log(unseen[:, None] + np.outer(seen, np.exp(tilt))) - tilt * number).min())

    def _choose_times(self, low: float, high: float) -> None:
        """Set Gauss-Legendre nodes in panels of the logarithm of time that see about equally much happen."""
        grid = np.linspace(low, high, 256)
        unseen, seen = self._seen(np.exp(grid))
        deviation = np.sqrt((unseen * seen) @ self.count + 1e-300)
        speed = 1 + np.exp(grid) * (unseen @ (self.count * self.share)) / deviation
        done = np.append(0, np.cumsum((speed[1:] + speed[:-1]) / 2 * np.diff(grid)))
        edges = np.interp(np.linspace(0, done[-1], math.ceil(done[-1] / PANEL) + 1), done, grid)
        half = np.diff(edges)[:, None] / 2
        self._times = np.exp(edges[:-1, None] + half * (1 + ABSCISSAE)).ravel()
        self._weights = (half * WEIGHTS).ravel() * self._times

    def _choose_roots(self, numbers: int, low: float, high: float) -> None:
        """Set the roots of unity: as many as numbers of guests can be seen in that time, odd so that none is -1."""
        least, most = (float(self._seen(time)[1] @ self.count) for time in (low, high))
        start = max(0, math.floor(_walk(least, lambda n: self._tail(low, n, -1), -1)) - 2)
        stop = min(int(self.count.sum()), math.ceil(_walk(most, lambda n: self._tail(high, n, 1), 1)))
        size = (stop - start + 1) | 1
        index = np.arange(size // 2 + 1)  # the other half are conjugates
        self._roots: Complexes = np.exp(2j * math.pi * index / size)
        powers = np.exp(-2j * math.pi * (np.outer(np.arange(start, numbers), index) % size) / size)
        powers *= np.where(index, 2, 1) / size
        self._last, self._fewer = powers[-1], powers.sum(0)  # U - 1 guests, and at most U - 1

    def _inverse(self, node: int) -> Complexes:
        """Return 1 / (characteristic function of one guest) for each group and root."""
        if node in self._kept:
            return self._kept[node]
        unseen, seen = self._seen(self._times[node])
        inverse = 1 / (unseen[:, None] + seen[:, None] * self._roots)
        if inverse.size * len(self._times) <= KEEP:
            self._kept[node] = inverse
        return inverse

    def _integrate(self, low: float) -> None:
        """Set the moments of the gap, and what a pass of `_next` needs."""
        self.mean = np.full(len(self.share), low)  # until then the probability of a longer gap is 1
        self.square = np.full(len(self.share), (low - self.centre) ** 2)
        self._itself = np.zeros(len(self.share))
        self._whole = []
        alone = bool((self.count == 1).all())
        for node, (time, weight) in enumerate(zip(self._times, self._weights, strict=True)):
            inverse = self._inverse(node)
            whole = 1 / inverse if alone else (1 / inverse) ** self.count[:, None]
            product = whole.prod(axis=0)
            longer = weight * _real(inverse, product * self._fewer)
            self.mean += longer
            self.square += 2 * (time - self.centre) * longer
            self._whole.append(product * self._last)
            self._itself += weight * self.share * self._seen(time)[0] * _real(inverse**2, self._whole[-1])

    def _next(self, law: Floats) -> Floats:
        """Return the law of the next guest that flushes, from that of the one before (a guest never follows itself)."""
        follows = np.zeros(len(law))
        for node, (time, weight) in enumerate(zip(self._times, self._weights, strict=True)):
            inverse = self._inverse(node)
            before = (law @ inverse.view(float)).view(complex)
            follows += weight * self._seen(time)[0] * _real(inverse, before * self._whole[node])
        return self.count * self.share * follows - law * self._itself

    def flusher(self) -> Floats:
        """Return how often a guest of each group is the one that flushes, in the long run.

        It is the law that `_next` leaves as it is; each pass takes the best mixture of all passes before.
        """
        law = self.count * self.share * self._seen(self.centre)[0]
        law /= law.sum()
        images: list[Floats] = []
        errors: list[Floats] = []
        for _ in range(40):
            image = self._next(law)
            if abs(image.sum() - 1) > 1e-9:
                break
            images.append(image / image.sum())
            errors.append(images[-1] - law)
            last = errors[-1]
            others = np.array([error - last for error in errors[:-1]]).reshape(-1, len(last))
            mix = np.linalg.lstsq(others.T, -last, rcond=None)[0]
            mix = np.append(mix, 1 - mix.sum())
            law = mix @ np.array(images)
            if abs(mix @ np.array(errors)).sum() < 1e-12:
                return np.asarray(law)
        raise InputError("no exact numbers for these shares: rounding spoils them; zipf.fluid has approximate ones")


def _real(factors: Complexes, vector: Complexes) -> Floats:
    """Return the real part of the matrix product."""
    return np.asarray(factors.view(float) @ vector.conj().view(float))


def _walk(start: float, tail: Callable[[float], float], step: float) -> float:
    """Go from `start` in growing steps until a tail's logarithm is negligible."""
    while tail(start) > NEGLIGIBLE:
        start += step
        step *= 1.15
    return start


def fluid_time(share: Floats, count: Floats, numbers: int) -> float:
    """Return the time by which numbers + 1/2 guests are seen on average."""
    entries = float(numbers)
    while True:  # Newton from below, on a concave function: every step goes up to the solution and never beyond it
        unseen = count * np.exp(-share * entries)
        step = (numbers + 0.5 - count.sum() + unseen.sum()) / (share @ unseen)
        entries += step
        if step <= 1e-9 * entries:
            return float(entries)
