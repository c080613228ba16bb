"""Other views of a row that keep its label, so that the network leans on more than one part of a URL (augmentation)."""

import numpy

from . import preprocessing

SLASH = ord("/") - preprocessing.FIRST + 2


def places(ids: numpy.ndarray) -> tuple[numpy.ndarray, numpy.ndarray]:
    """For each row the end of its host (behind the first slash, or its length), and its length."""
    lengths = preprocessing.lengths(ids)
    slash = ids == SLASH
    return numpy.where(slash.any(axis=1), slash.argmax(axis=1) + 1, lengths), lengths


def seen(ids: numpy.ndarray, places, chances: dict, chance: numpy.random.Generator) -> numpy.ndarray:
    """One epoch's view of each row.

    `cut`: share of rows that end somewhere behind the host; `host`: share that ends with it; `noise`: share of characters, in
    every second row, that become `other`.
    """
    hosts, lengths = places
    found, rows = ids.copy(), len(ids)
    draw = chance.random(rows)
    keep = numpy.where(draw < chances["cut"], hosts + (chance.random(rows) * (lengths - hosts + 1)).astype(numpy.int64), lengths)
    keep = numpy.where(draw > 1 - chances["host"], hosts, keep)
    if chances["noise"]:
        limit = max(1, round(chances["noise"] * 256))
        found[(chance.integers(0, 256, ids.shape, numpy.uint8) < limit) & (chance.random(rows) < 0.5)[:, None]] = preprocessing.OTHER
    found[numpy.arange(ids.shape[1]) >= keep[:, None]] = preprocessing.PAD
    return found
