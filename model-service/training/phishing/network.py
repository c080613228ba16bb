"""The family: several small networks side by side, each embedding ∘ convolution → global maximum → hidden layer → logit, and the mean
of their logits. Trained each for itself they err differently: on what is new to them their mean is better than one network of their
size together (`experiments/shift.md`), at the same cost. Numbers and gradients in numpy and the kernel.

One thread and no library that may reorder a sum: the same seed on the same machine gives the same bits.
"""

import math
from concurrent.futures import ThreadPoolExecutor

import numpy

from . import kernel, preprocessing, views

ORDER = ["embedding", "convolution", "bias", "hidden", "hidden_bias", "output", "output_bias"]


class Network:
    """`weights`: embedding [vocabulary, e], convolution [e, width·features], hidden [features, h], output [h, 1], and biases."""

    def __init__(self, shape: dict, weights: dict[str, numpy.ndarray]) -> None:
        self.shape, self.weights = shape, weights

    @classmethod
    def new(cls, shape: dict, chance: numpy.random.Generator) -> "Network":
        e, width, features, h = shape["embedding"], shape["width"], shape["features"], shape["hidden"]

        def uniform(size, fan_in: int) -> numpy.ndarray:  # PyTorch's default for these layers
            return chance.uniform(-1, 1, size).astype(numpy.float32) / numpy.float32(math.sqrt(fan_in))

        return cls(shape, {
            "embedding": chance.standard_normal((preprocessing.VOCABULARY, e), numpy.float32),
            "convolution": uniform((e, width * features), e * width), "bias": uniform(features, e * width),
            "hidden": uniform((features, h), features), "hidden_bias": uniform(h, features),
            "output": uniform((h, 1), h), "output_bias": uniform(1, h),
        })

    def table(self) -> numpy.ndarray:
        """Embedding and convolution folded: what each character adds to each feature at each place of the window."""
        found = self.weights["embedding"] @ self.weights["convolution"]
        return found.reshape(preprocessing.VOCABULARY, self.shape["width"], self.shape["features"])

    def logits(self, ids: numpy.ndarray) -> numpy.ndarray:
        table, w, found = self.table(), self.weights, []
        for part in numpy.array_split(ids, max(1, len(ids) // 1024)):
            most, _ = kernel.forward(table, part, preprocessing.lengths(part), self.shape["left"])
            hidden = numpy.maximum(numpy.maximum(most + w["bias"], 0) @ w["hidden"] + w["hidden_bias"], 0)
            found.append((hidden @ w["output"] + w["output_bias"])[:, 0])
        return numpy.concatenate(found)


class Ensemble:
    """Networks of one shape."""

    def __init__(self, members: list[Network]) -> None:
        self.members, self.shape = members, {**members[0].shape, "members": len(members)}

    def logits(self, ids: numpy.ndarray) -> numpy.ndarray:
        return numpy.mean([member.logits(ids) for member in self.members], axis=0)

    def save(self, path) -> None:
        with open(path, "wb") as file:
            numpy.savez(file, **{f"{name}.{place}": value for place, member in enumerate(self.members) for name, value in member.weights.items()})

    @classmethod
    def load(cls, shape: dict, path) -> "Ensemble":
        with numpy.load(path) as weights:
            return cls([Network(shape, {name: weights[f"{name}.{place}"] for name in ORDER}) for place in range(shape["members"])])


def sigmoid(logits: numpy.ndarray) -> numpy.ndarray:
    return 1 / (1 + numpy.exp(-logits))


def train(ids: numpy.ndarray, targets: numpy.ndarray, shape: dict, recipe: dict, seed: int, say=print) -> Ensemble:
    """`targets`: P(phishing) of each row, a label or a teacher's answer. No choice is made by looking at any score."""
    def one(place: int) -> Network:
        return _train(ids, targets, shape, recipe, numpy.random.Generator(numpy.random.PCG64([seed, place])), lambda line: say(f"network {place + 1}, {line}"))

    return Ensemble([one(place) for place in range(shape["members"])])


def _train(ids: numpy.ndarray, targets: numpy.ndarray, shape: dict, recipe: dict, chance: numpy.random.Generator, say) -> Network:
    network = Network.new(shape, chance)
    w = network.weights
    moments = {name: (numpy.zeros_like(value), numpy.zeros_like(value)) for name, value in w.items()}
    batch, rows, places = recipe["batch"], len(ids), views.places(ids)
    steps = recipe["epochs"] * math.ceil(rows / batch)
    warm, step = max(1, int(steps * recipe["warm_up"])), 0
    targets = targets.astype(numpy.float32)
    for epoch in range(recipe["epochs"]):
        seen, total = views.seen(ids, targets, places, recipe["views"], chance), 0.0
        lengths, order = preprocessing.lengths(seen), chance.permutation(rows)
        for start in range(0, rows, batch):
            chosen = order[start:start + batch]
            loss, gradients = _gradients(network, seen[chosen], lengths[chosen], targets[chosen], recipe["dropout"], chance)
            rate = step / warm if step < warm else 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))
            step += 1
            for name in ORDER:
                kernel.adamw(w[name], gradients[name], *moments[name], step, recipe["rate"] * rate, recipe["decay"])
            total += loss * len(chosen)
        say(f"epoch {epoch + 1}/{recipe['epochs']}: training loss {total / rows:.4f}")
    return network


def _gradients(network: Network, ids, lengths, targets, dropout: float, chance) -> tuple[float, dict[str, numpy.ndarray]]:
    w, table = network.weights, network.table()
    most, where = kernel.forward(table, ids, lengths, network.shape["left"])

    def kept(size) -> numpy.ndarray:
        limit = round(dropout * 256)
        return (chance.integers(0, 256, size, numpy.uint8) >= limit) * numpy.float32(256 / (256 - limit))

    most += w["bias"]
    kept_found = kept(most.shape) * (most > 0)
    found = most * kept_found
    before = found @ w["hidden"] + w["hidden_bias"]
    kept_hidden = kept(before.shape) * (before > 0)
    hidden = before * kept_hidden
    logits = (hidden @ w["output"] + w["output_bias"])[:, 0]
    loss = numpy.logaddexp(0, logits) - targets * logits  # binary cross-entropy

    to_logits = ((sigmoid(logits) - targets) / len(ids))[:, None].astype(numpy.float32)
    to_hidden = (to_logits @ w["output"].T) * kept_hidden
    to_found = (to_hidden @ w["hidden"].T) * kept_found
    to_table = kernel.backward(table.shape, ids, to_found, where).reshape(len(table), -1)
    return float(loss.mean()), {
        "embedding": to_table @ w["convolution"].T, "convolution": w["embedding"].T @ to_table, "bias": to_found.sum(axis=0),
        "hidden": found.T @ to_hidden, "hidden_bias": to_hidden.sum(axis=0),
        "output": hidden.T @ to_logits, "output_bias": to_logits.sum(axis=0),
    }


def parallel(task, things: list) -> list:
    """Two trainings at a time; each is one thread of its own, so what they give does not depend on it."""
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(task, things))
