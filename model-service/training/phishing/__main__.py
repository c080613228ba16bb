"""The stages, each reads and writes files of one folder: prepare → split → train → calibrate → export → evaluate → card."""

import argparse
import json
from pathlib import Path

import torch

from . import card, data, export, metrics, network

STAGES = ["prepare", "split", "train", "calibrate", "export", "evaluate", "card"]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m phishing", description=__doc__)
    parser.add_argument("stage", choices=[*STAGES, "all"])
    parser.add_argument("--profile", choices=["full", "smoke"], default="full", help="full reads DATA_DIR, smoke the bundled made-up URLs")
    parser.add_argument("--split", choices=["domain_disjoint", "official"], default="domain_disjoint")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--version", default="v1", help="the model's version, told by the service")
    parser.add_argument("--threads", type=int, default=1, help="part of what makes a run repeatable")
    parser.add_argument("--out", type=Path, default=Path("work"))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for stage in STAGES if arguments.stage == "all" else [arguments.stage]:
        print(f"== {stage}", flush=True)
        STEPS[stage](arguments, arguments.out)


def prepare(arguments, out: Path) -> None:
    rows, official = data.prepare(arguments.profile)
    data.write(rows, out / "rows.csv")
    (out / "official-test.txt").write_text("".join(f"{url}\n" for url in sorted(official)), "utf-8")
    print(f"{len(rows)} rows, {sum(row.label for row in rows)} phishing, {len({row.domain for row in rows})} domains")


def split(arguments, out: Path) -> None:
    official = {url for url in (out / "official-test.txt").read_text("utf-8").split("\n") if url}
    for name, rows in data.split(data.read(out / "rows.csv"), arguments.split, official).items():
        data.write(rows, out / f"{name}.csv")
        print(f"{name}: {len(rows)} rows")


def train(arguments, out: Path) -> None:
    epochs = 40 if arguments.profile == "smoke" else network.RECIPE["epochs"]
    trained = network.train(data.read(out / "train.csv"), arguments.seed, epochs)
    torch.save(trained.state_dict(), out / "weights.pt")
    told = {**network.RECIPE, "epochs": epochs, "seed": arguments.seed, "threads": arguments.threads,
            "split": arguments.split, "profile": arguments.profile, "train_rows_sha256": data.digest(out / "train.csv")}
    (out / "training.json").write_text(json.dumps(told, indent=2) + "\n")


def _network(out: Path) -> network.Network:
    trained = network.Network()
    trained.load_state_dict(torch.load(out / "weights.pt", weights_only=True))
    return trained.eval()


def calibrate(_arguments, out: Path) -> None:
    rows = data.read(out / "validation.csv")
    found = network.temperature(network.logits(_network(out), rows), network.tensors(rows)[1])
    (out / "temperature.json").write_text(json.dumps({"temperature": found}) + "\n")
    print(f"temperature {found:.4f}")


def export_name(arguments) -> str:
    return f"c1w-{arguments.split.replace('_', '-')}" + ("-smoke" if arguments.profile == "smoke" else "")


def evaluate(arguments, out: Path) -> None:
    """Score the exported file, not the weights in memory: the figures are those of what is shipped."""
    training = json.loads((out / "training.json").read_text())
    if data.digest(out / "train.csv") != training["train_rows_sha256"]:
        raise SystemExit("train.csv is not the file this model was trained on")
    parts = {name: data.read(out / f"{name}.csv") for name in ("train", "validation", "test")}
    data.check(parts, training["split"])
    model = (out / f"{export_name(arguments)}.onnx").read_bytes()
    temperature = json.loads((out / "temperature.json").read_text())["temperature"]
    figures = {}
    for name in ("validation", "test"):
        probabilities = export.probabilities(model, [row.url for row in parts[name]]).astype("float64")
        labels = network.tensors(parts[name])[1].numpy()
        uncalibrated = torch.sigmoid(network.logits(_network(out), parts[name])).numpy()
        figures[name] = {"rows": len(labels), "rows_sha256": data.digest(out / f"{name}.csv"), **metrics.measure(probabilities, labels),
                         "ece_uncalibrated": round(metrics.ece(uncalibrated, labels), 6)}
    told = {"model": export_name(arguments), "id": export.model_id(model), "bytes": len(model), "version": arguments.version,
            "seeds": 1, "note": "one seed; the temperature was fitted on validation, so its ECE there is not a test",
            "training": {**training, "rows": len(parts["train"])}, "temperature": round(temperature, 6), **figures}
    (out / f"{export_name(arguments)}.metrics.json").write_text(json.dumps(told, indent=2) + "\n")
    print(json.dumps(figures["test"], indent=2))


def _export(arguments, out: Path) -> None:
    training = json.loads((out / "training.json").read_text())
    temperature = json.loads((out / "temperature.json").read_text())["temperature"]
    told = {"name": export_name(arguments), "version": arguments.version, "split": training["split"], "temperature": f"{temperature:.6f}",
            "training": json.dumps(training, sort_keys=True)}
    content = export.onnx_model(_network(out), temperature, told)
    (out / f"{export_name(arguments)}.onnx").write_bytes(content)
    print(f"{export_name(arguments)}.onnx: {len(content)} bytes, id {export.model_id(content)}")


def _card(arguments, out: Path) -> None:
    told = json.loads((out / f"{export_name(arguments)}.metrics.json").read_text())
    (out / f"{export_name(arguments)}.md").write_text(card.text(told), "utf-8")


STEPS = {"prepare": prepare, "split": split, "train": train, "calibrate": calibrate, "export": _export, "evaluate": evaluate, "card": _card}

if __name__ == "__main__":
    main()
