"""Refuses a candidate that misses a threshold or is worse than the current model; else it becomes the current one."""

from pathlib import Path

from . import evaluate, export


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


def worse(candidate: dict, current: bytes, rows: Path, allowed: dict) -> list[str]:
    """Where the candidate loses more than allowed against the current file, both scored now on the same test rows, of the folder `rows`.
    The current one must be of the same split: of another, it may have been trained on these rows."""
    split = candidate["training"]["split"]
    of = export.told(current)["split"]
    if of != split:
        return [f"{split}: the current model learned from `{of}`, so these rows cannot compare the two; ship it under another name"]
    measured, found = evaluate.test(current, rows), []
    for name, most in allowed.items():
        loss = measured[name] - candidate["test"][name]
        loss = -loss if name == "ece" else loss
        if loss > most:
            found.append(f"{split}: {name} is {candidate['test'][name]}, the current model's {measured[name]}; {most} may be lost")
    return found
