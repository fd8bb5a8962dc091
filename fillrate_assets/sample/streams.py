"""Random streams of the sample network, one per purpose and key, and the arrays drawn from them."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


class Stream(IntEnum):
    """Purposes that draw apart, so that a change to one leaves the others as they were."""

    CATALOGUE = 1
    SITE = 2
    SPELLS = 3
    TRADE = 4
    RECORDS = 5
    CORRECTIONS = 6
    LAYOUT = 7
    TROUBLE = 8
    FLOOR = 9
    FEEDS = 10
    LOAD = 11
    SUPPLY = 12


def make_generator(seed: int, stream: Stream, *key: int) -> np.random.Generator:
    """Make the stream of one purpose and key, e.g. one DC and day; it does not depend on what others have drawn."""
    return np.random.default_rng([seed, stream, *key])
