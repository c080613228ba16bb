"""The stages, each reads and writes files: prepare → split → train → calibrate → export → evaluate → gate. `dvc.yaml` runs them."""

import argparse
import json
from pathlib import Path

import numpy
import yaml

from . import calibrate, card, cost, data, distil, evaluate, export, gate, network, preprocessing, reference, report


class Run:
    """What the stages share: the settings, and where things lie."""

    def __init__(self, params: Path) -> None:
        self.params = yaml.safe_load(params.read_text("utf-8"))
        where = self.params["folders"]
        self.work, self.models, self.report = Path(where["work"]), Path(where["models"]), Path(where["report"])
        self.splits, self.seeds, self.profile = self.params["splits"], self.params["seeds"], self.params["data"]["profile"]

    def rows(self, split: str, part: str) -> tuple[list[data.Row], numpy.ndarray, numpy.ndarray]:
        """Rows, their ids and their labels."""
        rows = data.read(self.work / split / "rows" / f"{part}.csv")
        return rows, preprocessing.matrix([row.url for row in rows]), numpy.array([row.label for row in rows], numpy.float32)

    def training(self, split: str, seed: int) -> dict:
        return json.loads((self.work / split / "weights" / f"seed-{seed}.json").read_text("utf-8"))


def folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


def write(path: Path, value) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", "utf-8")


def prepare(run: Run) -> None:
    rows, official = data.prepare(run.profile, Path(run.params["data"]["feedback"]))
    data.write(rows, folder(run.work) / "rows.csv")
    (run.work / "official-test.txt").write_text("".join(f"{url}\n" for url in sorted(official)), "utf-8")
    told = sum(row.origin == "feedback" for row in rows)
    print(f"{len(rows)} rows, {sum(row.label for row in rows)} phishing, {len({row.domain for row in rows})} domains, {told} from feedback")


def split(run: Run) -> None:
    rows = data.read(run.work / "rows.csv")
    official = {url for url in (run.work / "official-test.txt").read_text("utf-8").split("\n") if url}
    for name in run.splits:
        for part, found in data.split(rows, name, official).items():
            data.write(found, folder(run.work / name / "rows") / f"{part}.csv")
            print(f"{name} {part}: {len(found)} rows")


def train(run: Run) -> None:
    settings = run.params["train"]
    for name in run.splits:
        rows, ids, labels = run.rows(name, "train")
        out, digest = folder(run.work / name / "weights"), data.digest(run.work / name / "rows" / "train.csv")
        targets = distil.targets(ids, labels, [row.domain for row in rows], settings["distil"], settings["network"], settings["recipe"], run.seeds[0])

        def one(seed: int) -> None:
            def say(line: str) -> None:
                print(f"{name}, seed {seed}, {line}", flush=True)

            network.train(ids, targets, settings["network"], settings["recipe"], seed, say).save(out / f"seed-{seed}.npz")
            write(out / f"seed-{seed}.json", {"split": name, "seed": seed, "profile": run.profile, **settings, "train_rows_sha256": digest})

        network.parallel(one, run.seeds)


def _network(run: Run, name: str, seed: int) -> network.Ensemble:
    return network.Ensemble.load(run.training(name, seed)["network"], run.work / name / "weights" / f"seed-{seed}.npz")


def _calibrate(run: Run) -> None:
    for name in run.splits:
        _, ids, labels = run.rows(name, "validation")
        found = {str(seed): calibrate.temperature(_network(run, name, seed).logits(ids), labels) for seed in run.seeds}
        write(run.work / name / "temperatures.json", found)
        print(f"{name}: temperatures {found}")


def _export(run: Run) -> None:
    shipped = {entry["split"]: entry for entry in run.params["ship"]}
    for name in run.splits:
        temperatures = json.loads((run.work / name / "temperatures.json").read_text("utf-8"))
        entry = shipped.get(name, {"name": name, "version": "v0"})
        urls, (_, ids, _) = [row.url for row in run.rows(name, "train")[0]], run.rows(name, "validation")
        for seed in run.seeds:
            training = {**run.training(name, seed), "temperature": temperatures[str(seed)]}
            trained = _network(run, name, seed)
            scores = network.sigmoid(trained.logits(ids) / temperatures[str(seed)])
            told = {"name": entry["name"], "version": entry["version"], "split": name, "training": json.dumps(training, sort_keys=True),
                    "reference": json.dumps(reference.of(urls, scores))}
            content = export.onnx_model(trained, temperatures[str(seed)], told)
            (folder(run.work / name / "onnx") / f"seed-{seed}.onnx").write_bytes(content)
            print(f"{name}, seed {seed}: {len(content)} bytes, id {export.model_id(content)}")


def _evaluate(run: Run) -> None:
    figures = {}
    for name in run.splits:
        contents = [(run.work / name / "onnx" / f"seed-{seed}.onnx").read_bytes() for seed in run.seeds]
        seeds = [evaluate.of(content, run.work / name / "rows", json.loads(export.told(content)["training"])) for content in contents]
        figures[name] = {"summary": evaluate.summary(seeds), "seeds": seeds}
    write(run.work / "figures.json", figures)
    write(run.report / "metrics.json", {name: told["summary"] for name, told in figures.items()})
    for name, told in figures.items():
        print(name, {key: told["summary"][key] for key in ("accuracy", "auc", "ece", "recall_at_1_percent_fpr")})


def _gate(run: Run) -> None:
    """Ship, or say why not; REPORT.md is written either way."""
    figures = json.loads((run.work / "figures.json").read_text("utf-8"))
    thresholds = yaml.safe_load(Path(run.params["folders"]["thresholds"]).read_text("utf-8"))
    missed, best = [miss for name in run.splits for miss in gate.misses(figures[name], thresholds)], {}
    for entry in run.params["ship"]:
        measured = cost.measured(run.work / entry["split"] / "onnx" / f"seed-{run.seeds[0]}.onnx")
        print(f"{entry['name']} here, by onnxruntime: {measured}")
        missed += gate.costly(entry["split"], measured, thresholds["measured"])
        current, rows = run.models / f"{entry['name']}.onnx", run.work / entry["split"] / "rows"
        lost, best[entry["name"]] = gate.compared(figures[entry["split"]]["seeds"][0], current, rows, thresholds["worse"])
        missed += lost
    (run.report / "REPORT.md").write_text(report.text(figures, missed, thresholds), "utf-8")
    for name, drawn in report.curves(figures).items():
        (folder(run.report / "curves") / name).write_text(drawn, "utf-8")
    if missed:
        raise SystemExit("refused, the current models stay:\n" + "\n".join(f"  {miss}" for miss in missed))
    for entry in run.params["ship"]:
        told, target = figures[entry["split"]], folder(run.models) / f"{entry['name']}.onnx"
        target.write_bytes((run.work / entry["split"] / "onnx" / f"seed-{run.seeds[0]}.onnx").read_bytes())
        kept = {key: value for key, value in told["seeds"][0].items() if key != "curves"}
        write(target.with_suffix(".metrics.json"), {"model": entry["name"], "version": entry["version"], **kept, "all_seeds": told["summary"], "best": best[entry["name"]]})
        score = evaluate.scorer(target.read_bytes())
        target.with_suffix(".md").write_text(card.text(entry["name"], entry["version"], told["seeds"][0], told["summary"], run.profile, score), "utf-8")
        print(f"shipped {target}: {told['summary']['shipped_id']}")


STAGES = {"prepare": prepare, "split": split, "train": train, "calibrate": _calibrate, "export": _export, "evaluate": _evaluate, "gate": _gate}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m phishing", description=__doc__)
    parser.add_argument("stage", choices=[*STAGES, "all"])
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="the settings; smoke/params.yaml needs no data")
    arguments = parser.parse_args()
    run = Run(arguments.params)
    for name in STAGES if arguments.stage == "all" else [arguments.stage]:
        print(f"== {name}", flush=True)
        STAGES[name](run)


if __name__ == "__main__":
    main()
