"""Refuses a candidate that misses a threshold or is worse than the best model so far; else it becomes the current one."""

import json
from pathlib import Path

from . import evaluate, export, preprocessing


def misses(figures: dict, thresholds: dict) -> list[str]:
    """What the summary of a split and its shipped file miss, as sentences; nothing means all is met."""
    found, told, shipped = [], figures["summary"], figures["seeds"][0]
    split = told["training_split"]
    for name, bar in thresholds[split].items():
        for kind in ("mean", "shipped"):
            value = told[name][kind]
            if value > bar if name == "ece" else value < bar:
                found.append(f"{split}: {kind} {name} is {value}, the bar {bar}")
    for name, most in thresholds["spread"].items():
        if told[name]["spread"] is not None and told[name]["spread"] > most:
            found.append(f"{split}: {name} spreads {told[name]['spread']} over the seeds, at most {most} is allowed")
    named = thresholds["slices"]["named"]
    for name, part in shipped["slices"].items():
        bar = named.get(name, thresholds["slices"])
        if part["rows"] >= bar["rows"] and part["accuracy"] < bar["accuracy"]:
            found.append(f"{split}: accuracy on `{name}` ({part['rows']} rows) is {part['accuracy']}, the bar {bar['accuracy']}")
    for name, bar in named.items():
        if (rows := shipped["slices"].get(name, {"rows": 0})["rows"]) < bar["rows"]:
            found.append(f"{split}: `{name}` has {rows} rows, its bar is for {bar['rows']}")
    for name, most in thresholds["metamorphic"].items():
        if shipped["metamorphic"][name]["flipped"] > most:
            found.append(f"{split}: {name} flips {shipped['metamorphic'][name]['flipped']} of the verdicts, at most {most} is allowed")
    for name, least in thresholds["shortened"][split].items():
        value = shipped["shortened"][name]["auc"]
        if value is None or value < least:
            found.append(f"{split}: AUC on rows cut to `{name}` is {value}, the bar {least}")
    for name, most in thresholds["cost"].items():
        if shipped["cost"][name] > most:
            found.append(f"{split}: {name} is {shipped['cost'][name]}, at most {most} is allowed")
    for name, value in shipped["monitoring"].items():
        bar = thresholds["monitoring"][name.split("_")[1]]
        if value > bar if name.endswith("same") else value < bar:
            found.append(f"{split}: drift {name} is {value}, the bar {bar}")
    return found


def costly(split: str, measured: dict, allowed: dict) -> list[str]:
    """What was measured on this machine and is more than allowed."""
    return [f"{split}: {name} is {measured[name]:.3f} here, at most {most} is allowed" for name, most in allowed.items() if measured[name] > most]


def compared(candidate: dict, current: Path, rows: Path, allowed: dict) -> tuple[list[str], dict]:
    """Where the candidate loses more than allowed against the best so far, and the best with it: the current file, scored now on the
    test rows in the folder `rows` (one of another pre-processing: as it was scored when it was shipped), and what files before it had there (`best` in the metrics beside it; to let a model be worse, take
    it out). Compared with the current one alone, models could sink step by step. The current one must be of the same split: of
    another, it may have been trained on these rows."""
    split, test = candidate["training"]["split"], candidate["test"]
    if not current.exists():
        return [], _best(test, None)
    content, beside = current.read_bytes(), current.with_suffix(".metrics.json")
    of = export.told(content)["split"]
    if of != split:
        return [f"{split}: the current model learned from `{of}`, so these rows cannot compare the two; ship it under another name"], {}
    recorded = json.loads(beside.read_text("utf-8")) if beside.exists() else {}
    if export.told(content)["preprocessing"] == preprocessing.VERSION:
        now = evaluate.test(content, rows)
    elif "test" in recorded:  # what it reads of a URL cannot be made here any more
        now = recorded["test"]
    else:
        return [f"{split}: the current model reads URLs by other rules, and {beside.name} with its figures is not there"], {}
    best, found = _best(now, recorded.get("best")), []
    for name, most in allowed.items():
        if abs(_better(name, best[name], test[name]) - test[name]) > most:
            found.append(f"{split}: {name} is {test[name]}, the best model's so far {best[name]}; {most} may be lost")
    return found, _best(test, best)


def _best(test: dict, before: dict | None) -> dict:
    """Of each figure the better one, if both are of the same rows; else those of `test`."""
    about = {name: test[name] for name in ("rows", "rows_sha256")}
    same = before is not None and about.items() <= before.items()
    return {**about, **{name: _better(name, test[name], before[name] if same else test[name]) for name in evaluate.FIGURES}}


def _better(name: str, one: float, other: float) -> float:
    return min(one, other) if name in ("ece", "brier") else max(one, other)
