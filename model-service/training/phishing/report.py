"""REPORT.md and its curves, written from the figures, so that no number in it is typed by hand."""

COLOURS = {"official": "#1f6feb", "domain_disjoint": "#d1242f"}
NAMES = [("accuracy", "accuracy at 0.5"), ("auc", "AUC"), ("precision", "precision"), ("recall", "recall"),
         ("recall_at_1_percent_fpr", "recall at 1 % false positives"), ("brier", "Brier score"), ("ece", "ECE (15 bins)"),
         ("ece_uncalibrated", "ECE before calibration")]


def text(figures: dict, missed: list[str], thresholds: dict) -> str:
    parts = ["# The models: what was measured\n", "Written by `dvc repro` (stage `gate`). Every figure is that of an exported file on the test rows of the split it was trained on;",
             "nearly all test rows of one split are training rows of the other, so no model is scored on the other's. Rows that a model reads as it",
             "reads one that it was fitted to (training, or validation for the temperature) are left out: it sees neither the scheme nor",
             "the case of the host nor what is behind 200 bytes, so `http://` and `https://` of one URL are one row to it.",
             "No other source was measured: the recipe was chosen by stand-ins for the shift (`experiments/shift.md`), not by test rows.\n"]
    parts += ["**Every threshold is met.**\n"] if not missed else ["**Missed**\n", *[f"- {miss}" for miss in missed], ""]
    for split, told in figures.items():
        parts += _split(split, told, thresholds.get(split, {}))
    parts += ["## Curves\n", "![recall at low false-positive rates](curves/recall.svg)\n", "![reliability](curves/reliability.svg)\n"]
    return "\n".join(parts)


def _split(split: str, told: dict, bars: dict) -> list[str]:
    summary, shipped = told["summary"], told["seeds"][0]
    files = ", ".join(f"{seed.replace('-', ' ')} `{id}`" for seed, id in summary["ids"].items())
    lines = [f"## Trained on `{split}`\n", f"{shipped['train_rows']:,} training rows (`{summary['train_rows_sha256'][:12]}…`), {summary['test_rows'] + summary['test_rows_left_out']:,} test rows "
             f"(`{summary['test_rows_sha256'][:12]}…`), {summary['test_rows_left_out']:,} of them left out. Files: {files}; the first is "
             f"shipped, {summary['shipped_bytes']:,} bytes.\n",
             "| | mean | spread | shipped | bar |", "|---|---|---|---|---|"]
    for key, name in NAMES:
        value = summary[key]
        spread = "" if value["spread"] is None else f"{value['spread']:.4f}"
        bar = f"{'≤' if key == 'ece' else '≥'} {bars[key]}" if key in bars else ""
        lines.append(f"| {name} | {value['mean']:.4f} | {spread} | {value['shipped']:.4f} | {bar} |")
    lines += ["", _calibration(summary, shipped), *_counted_otherwise(split, summary, shipped)]
    lines += ["", "Slices of its test rows (shipped file):\n", "| slice | rows | phishing | accuracy | AUC |", "|---|---|---|---|---|"]
    for name, part in shipped["slices"].items():
        lines.append(f"| {name} | {part['rows']:,} | {part['phishing']:.2f} | {_shown(part['accuracy'])} | {_shown(part['auc'])} |")
    lines += ["", "Rewritings that should not matter (shipped file):\n", "| rewriting | rows it changes | verdicts that change | mean change of the probability |", "|---|---|---|---|"]
    for name, part in shipped["metamorphic"].items():
        lines.append(f"| {name.replace('_', ' ')} | {part['rows']:,} | {part['flipped']:.2%} | {part['moved']:.4f} |")
    lines += ["", "Its test rows cut short, with the label of the whole row: what the data lacks and today's web is full of. What a training row gives too is "
              "left out, here and at the slash of a host: training shows it. (Shipped file; to compare models by, not what a user will see: the host of a "
              "broken-into site is no phishing.)\n", "| cut to | rows | accuracy | AUC |", "|---|---|---|---|"]
    lines += [f"| {name} | {part['rows']:,} | {_shown(part['accuracy'])} | {_shown(part['auc'])} |" for name, part in shipped["shortened"].items()]
    cost, drift = shipped["cost"], shipped["monitoring"]
    lines += ["", f"Cost: {cost['file_bytes']:,} bytes as a file, {cost['folded_bytes']:,} folded in memory, {cost['additions']:,} additions for a URL of full length. "
              "Drift against the reference in the file (population stability index), on the test rows and on their hosts alone: "
              f"length {drift['length_same']:.3f} and {drift['length_other']:.3f}, score {drift['score_same']:.3f} and {drift['score_other']:.3f}."]
    return [*lines, ""]


def _calibration(summary: dict, shipped: dict) -> str:
    before, after, validation = summary["ece_uncalibrated"]["mean"], summary["ece"]["mean"], shipped["validation"]
    return (f"Calibration: ECE is {before:.4f} before and {after:.4f} after it, so {'worse' if after > before else 'no worse'} after it, on these rows "
            f"(mean); on the validation rows {validation['ece_uncalibrated']:.4f} and {validation['ece']:.4f} (shipped file). The temperature, "
            f"{shipped['training']['temperature']:.3f}, makes the validation rows most likely, and is kept, since no test row has a say.")


def _counted_otherwise(split: str, summary: dict, shipped: dict) -> list[str]:
    """What `data` says of two rows: only the data itself has them, not the sample."""
    if split != "domain_disjoint" or shipped["training"]["profile"] != "full":
        return []
    test, train = summary["test_rows"] + summary["test_rows_left_out"], shipped["train_rows"]
    return ["", f"Two URLs begin with a quotation mark, in which a parser of URLs finds no host. The host behind `://` counts and is of the test side, so there are "
            f"{test:,} test and {train:,} training rows here; by such a parser it would be {test - 2:,} and {train + 2:,}."]


def _shown(figure: float | None) -> str:
    return "" if figure is None else f"{figure:.4f}"


def curves(figures: dict) -> dict[str, str]:
    """File name → SVG: recall by false-positive rate, and share of phishing by probability."""
    shown = {split: told["seeds"][0]["curves"] for split, told in figures.items()}
    recall = {split: [(rate * 10, value) for rate, value in told["recall"]] for split, told in shown.items()}
    reliability = {split: [(p, share) for p, share, _ in told["reliability"]] for split, told in shown.items()}
    return {"recall.svg": _svg(recall, "false-positive rate", "recall", [f"{step} %" for step in range(0, 11, 2)]),
            "reliability.svg": _svg(reliability, "probability said", "share of phishing", [f"{step / 5:.1f}" for step in range(6)], diagonal=True)}


def _svg(lines: dict, across: str, up: str, ticks: list[str], diagonal: bool = False) -> str:
    def at(x: float, y: float) -> str:
        return f"{60 + 400 * x:.1f},{20 + 260 * (1 - y):.1f}"

    parts = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 500 340" font-family="sans-serif" font-size="12">',
             '<rect width="500" height="340" fill="#fff"/>']
    for step in range(6):
        x, y = 60 + 80 * step, 20 + 52 * step
        parts.append(f'<path d="M{x} 20V280M60 {y}H460" stroke="#ddd"/><text x="{x}" y="297" text-anchor="middle">{ticks[step]}</text>'
                     f'<text x="52" y="{y + 4}" text-anchor="end">{1 - step / 5:.1f}</text>')
    if diagonal:
        parts.append(f'<polyline points="{at(0, 0)} {at(1, 1)}" fill="none" stroke="#999" stroke-dasharray="4"/>')
    for place, (name, points) in enumerate(lines.items()):
        drawn = " ".join(at(x, y) for x, y in points)
        parts.append(f'<polyline points="{drawn}" fill="none" stroke="{COLOURS.get(name, "#000")}" stroke-width="2"/>')
        parts.append(f'<text x="300" y="{236 + 18 * place}" fill="{COLOURS.get(name, "#000")}">{name.replace("_", "-")}</text>')
    parts.append(f'<text x="260" y="320" text-anchor="middle">{across}</text><text transform="translate(14 150) rotate(-90)" text-anchor="middle">{up}</text></svg>')
    return "\n".join(parts) + "\n"
