"""Which recipe travels: recipes × stand-ins for URLs of other sources, as a table. `DATA_DIR=… python -m experiments.shift`.

No other source is used. Rows are of the domain-disjoint split's training and validation sides, without the official test rows, so no
test row of either split has a say. Models learn from four fifths of the domains, and from a kind of row alone; they are scored on
domains left out, on the other kind, and on rows cut short as today's web has them. Accuracy is the mean of both classes'.
"""

import hashlib
from collections import Counter, defaultdict
from pathlib import Path

import phishing  # noqa: F401  before numpy: it sets the threads
import numpy
import yaml

from phishing import checks, data, metrics, network, preprocessing

HERE = Path(__file__).parent
SEEDS = [1, 2]


class Lab:
    def __init__(self) -> None:
        rows, official = data.prepare("full")
        kept = [row for row in rows if row.url not in official and data.place(row, "domain_disjoint", official) != "test"]
        content = "".join(f"{row.url},{row.label}\n" for row in kept).encode()
        self.about = f"{len(kept):,} rows; lines of URL and label have the SHA-256 {hashlib.sha256(content).hexdigest()}"
        held = [data.place(row, "domain_disjoint", official) == "validation" or data.bucket("fold", row.domain) % 5 == 0 for row in kept]
        self.train = [row for row, out in zip(kept, held) if not out]
        self.held = [row for row, out in zip(kept, held) if out]
        count = Counter(row.domain for row in kept)
        longer = lambda row: len(row.url.split("://", 1)[-1]) > 40  # noqa: E731
        www = lambda row: checks.host(row.url).startswith("www.")  # noqa: E731
        every = lambda row: True  # noqa: E731
        self.groups = {
            "unseen domains": (every, every), "long → short": (longer, lambda row: not longer(row)), "www. → none": (www, lambda row: not www(row)),
            "rare → common domains": (lambda row: count[row.domain] < 3, lambda row: count[row.domain] >= 5),
        }
        self.labels: dict[str, set[int]] = defaultdict(set)
        for row in kept:
            self.labels[row.domain].add(row.label)

    def tests(self, group: str) -> dict[str, tuple[list[str], numpy.ndarray]]:
        rows = [row for row in self.held if self.groups[group][1](row)]
        found = {group: [(row.url, row.label) for row in rows]}
        if group == "unseen domains":
            for name, cut in checks.SHORTENED.items():
                found[name] = list({cut(row.url): row.label for row in rows if len(self.labels[row.domain]) == 1}.items())
        return {name: ([url for url, _ in pairs], numpy.array([label for _, label in pairs])) for name, pairs in found.items()}

    def score(self, recipe: dict, shape: dict, group: str, seed: int) -> dict[str, tuple[float, float]]:
        rows = [row for row in self.train if self.groups[group][0](row)]
        ids, labels = preprocessing.matrix([row.url for row in rows]), numpy.array([row.label for row in rows], numpy.float32)
        trained, found = network.train(ids, labels, shape, recipe, seed, lambda line: None), {}
        for name, (urls, truth) in self.tests(group).items():
            logits = trained.logits(preprocessing.matrix(urls))
            right = [((logits > 0) == truth)[truth == label].mean() for label in (0, 1)]
            found[name] = (float(numpy.mean(right)), metrics.auc(logits, truth == 1))
        return found


def main() -> None:
    lab, settings = Lab(), yaml.safe_load((HERE / "recipes.yaml").read_text("utf-8"))
    print(lab.about)
    first = True
    for name, change in settings["recipes"].items():
        recipe = {**settings["base"]["recipe"], **change.get("recipe", {})}
        recipe["views"] = {**settings["base"]["recipe"]["views"], **change.get("recipe", {}).get("views", {})}
        shape = {**settings["base"]["network"], **change.get("network", {})}
        told: dict[str, list] = {}
        for found in network.parallel(lambda job: lab.score(recipe, shape, *job), [(group, seed) for seed in SEEDS for group in lab.groups]):
            for test, figures in found.items():
                told.setdefault(test, []).append(figures)
        if first:
            print(f"| recipe | {' | '.join(told)} |\n|---|{'---|' * len(told)}", flush=True)
            first = False
        cells = [f"{numpy.mean(figures, axis=0)[0]:.3f} / {numpy.mean(figures, axis=0)[1]:.3f}" for figures in told.values()]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
