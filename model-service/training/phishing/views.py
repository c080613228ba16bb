"""Other views of a row that keep its label, so that the network leans on more than one part of a URL (augmentation).

The data has no URL without a path, today's web is full of them: what a host alone says must be learned from hosts cut out.
"""

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

    `cut`: share of rows that end somewhere behind the host; `host`: share that ends with it; `slash`: share of what then ends
    with a slash that loses it; `noisy`: share of rows in which the share `noise` of characters becomes `other`.
    """
    hosts, lengths = places
    found, rows = ids.copy(), numpy.arange(len(ids))
    draw = chance.random(len(ids))
    keep = numpy.where(draw < chances["cut"], hosts + (chance.random(len(ids)) * (lengths - hosts + 1)).astype(numpy.int64), lengths)
    keep = numpy.where(draw > 1 - chances["host"], hosts, keep)
    if chances["slash"]:
        keep = keep - ((found[rows, numpy.maximum(keep, 1) - 1] == SLASH) & (chance.random(len(ids)) < chances["slash"]))
    if chances["noise"]:
        limit = max(1, round(chances["noise"] * 256))
        found[(chance.integers(0, 256, ids.shape, numpy.uint8) < limit) & (chance.random(len(ids)) < chances["noisy"])[:, None]] = preprocessing.OTHER
    found[numpy.arange(ids.shape[1]) >= keep[:, None]] = preprocessing.PAD
    return found
