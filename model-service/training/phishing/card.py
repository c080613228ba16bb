"""The model card, written from the metrics file, so that no figure in it is typed by hand."""

ROWS = [("accuracy", "accuracy at 0.5"), ("auc", "AUC"), ("precision", "precision"), ("recall", "recall"),
        ("recall_at_1_percent_fpr", "recall at 1 % false positives"), ("brier", "Brier score"), ("ece", "ECE (15 bins)"),
        ("ece_uncalibrated", "ECE before calibration")]


def text(told: dict) -> str:
    training, validation, test = told["training"], told["validation"], told["test"]
    figures = "\n".join(f"| {name} | {test[key]:.4f} | {validation[key]:.4f} |" for key, name in ROWS)
    return f"""# {told["model"]} {told["version"]}

Id (SHA-256 of the file): `{told["id"]}`; {told["bytes"]:,} bytes.

**What it does.** P(phishing) from the characters of a URL: the first 200 bytes without `http://` or `https://`. It sees nothing else: not
the page, not the domain's age, no list.

**Data.** {"PhishStorm (96,018 URLs, balanced, of 2014 or before)" if training["profile"] == "full" else "Made-up URLs of `sample.csv`; the figures mean nothing"}, split
`{training["split"]}`: {"no registrable domain is on two sides. " if training["split"] == "domain_disjoint" else ""}It learned from the training rows only; the
temperature ({told["temperature"]:.3f}) was fitted on the validation rows. Its rows overlap with other splits of the same data, so it may be scored on none of those.

| part | rows | SHA-256 of the file of rows |
|---|---|---|
| train | {training["rows"]:,} | `{training["train_rows_sha256"]}` |
| validation | {validation["rows"]:,} | `{validation["rows_sha256"]}` |
| test | {test["rows"]:,} | `{test["rows_sha256"]}` |

**Figures** of this file under onnxruntime, one training (seed {training["seed"]}), so without a spread; differences under half a point mean little.

| | test | validation (used for the temperature) |
|---|---|---|
{figures}

**Limits.** The data is old: nearly all of it is http, so the scheme is not looked at. On URLs of
another source than its training, models of this family lost about ten points of accuracy; this file has not been measured there. Half of the
training rows are phishing, which is far more than in traffic: the probability is calibrated for such a mixture, not for yours.

**Training.** `python -m phishing all --seed {training["seed"]}`: {training["network"]}, {training["optimizer"]}, peak learning rate {training["peak_learning_rate"]},
warm-up {training["warm_up"]:.0%} and cosine, batch {training["batch"]}, {training["epochs"]} epochs, weight decay {training["weight_decay"]}, dropout {training["dropout"]}
(spatial {training["spatial_dropout"]}). No epoch or setting was chosen by a score of this run.
"""
