"""Other views of a row that keep its label, so that the network leans on more than one part of a URL (augmentation).

The data has no URL without a path, today's web is full of them: what a host alone says must be learned from hosts cut out.
"""

import numpy

from . import preprocessing

SLASHES = numpy.frombuffer(preprocessing.IDS[ord("/"):ord("/") + 1] + preprocessing.HOST_IDS[ord("/"):ord("/") + 1], numpy.uint8)
DIGITS = [ids[ord("0")] for ids in (preprocessing.IDS, preprocessing.HOST_IDS)]  # the first of ten


def places(ids: numpy.ndarray) -> tuple[numpy.ndarray, numpy.ndarray]:
    """For each row the end of its host (behind its slash), and its length."""
    return (ids >= preprocessing.HOST_FIRST).sum(axis=1), preprocessing.lengths(ids)


def seen(ids: numpy.ndarray, labels: numpy.ndarray, places, chances: dict, chance: numpy.random.Generator) -> numpy.ndarray:
    """One epoch's view of each row.

    `swap`: share of rows whose path becomes that of another row of their label; `cut`: share that ends somewhere behind the host;
    `host`: share that ends with it; `slash`: share of what then ends with a slash that loses it; `digits`: share in which each digit
    becomes any; `noisy`: share in which the share `noise` of characters becomes `other`.
    """
    (hosts, lengths), rows = places, numpy.arange(len(ids))
    found = ids.copy()
    if chances["swap"]:
        found, lengths = _swapped(found, labels, hosts, lengths, chances["swap"], chance)
    draw = chance.random(len(ids))
    keep = numpy.where(draw < chances["cut"], hosts + (chance.random(len(ids)) * (lengths - hosts + 1)).astype(numpy.int64), lengths)
    keep = numpy.where(draw > 1 - chances["host"], hosts, keep)
    if chances["slash"]:
        keep = keep - (numpy.isin(found[rows, numpy.maximum(keep, 1) - 1], SLASHES) & (chance.random(len(ids)) < chances["slash"]))
    if chances["digits"]:
        some, other = (chance.random(len(ids)) < chances["digits"])[:, None], chance.integers(0, 10, ids.shape, numpy.uint8)
        for first in DIGITS:
            found = numpy.where((found >= first) & (found < first + 10) & some, other + numpy.uint8(first), found)
    if chances["noise"]:
        limit = max(1, round(chances["noise"] * 256))
        lost = (chance.integers(0, 256, ids.shape, numpy.uint8) < limit) & (chance.random(len(ids)) < chances["noisy"])[:, None]
        other = numpy.where(found >= preprocessing.HOST_FIRST, numpy.uint8(preprocessing.HOST_OTHER), numpy.uint8(preprocessing.OTHER))
        found = numpy.where(lost, other, found)
    found[numpy.arange(ids.shape[1]) >= keep[:, None]] = preprocessing.PAD
    return found


def _swapped(ids, labels, hosts, lengths, share: float, chance) -> tuple[numpy.ndarray, numpy.ndarray]:
    """What a host hides behind its slash says little about the next path there, and the other way round."""
    found, longest = ids.copy(), ids.shape[1]
    ends = ids[numpy.arange(len(ids)), numpy.maximum(hosts, 1) - 1] == SLASHES[1]
    for label in (False, True):
        rows = numpy.flatnonzero(((labels >= 0.5) == label) & ends)
        if not len(rows):
            continue
        some = rows[chance.random(len(rows)) < share]
        others = rows[chance.integers(0, len(rows), len(some))]
        place = numpy.arange(longest) - hosts[some][:, None]
        path = numpy.take_along_axis(ids[others], numpy.clip(place + hosts[others][:, None], 0, longest - 1), axis=1)
        path[place + hosts[others][:, None] >= longest] = preprocessing.PAD
        found[some] = numpy.where(place < 0, ids[some], path)
    return found, preprocessing.lengths(found)
