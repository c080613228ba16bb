"""Softer targets: what networks that never saw a row's domain say of it, mixed with its label.

A network answers its own training rows with certainty, which teaches nothing; so each fold of domains is answered by networks
trained on the others (cross-fitting), and the answers of several such sets are averaged.
"""

import numpy

from . import data, network


def targets(ids: numpy.ndarray, labels: numpy.ndarray, domains: list[str], settings: dict, shape: dict, recipe: dict, seed: int) -> numpy.ndarray:
    """P(phishing) of each row: (1 - share)·label + share·(what the networks of the other folds say). All students share it."""
    folds = settings["folds"]
    if not folds:
        return labels
    fold = numpy.array([data.bucket("fold", domain) % folds for domain in domains])
    recipe = {**recipe, "epochs": settings["epochs"]}
    answers = numpy.zeros((settings["teachers"], len(ids)), numpy.float32)

    def teach(which: tuple[int, int]) -> None:
        teacher, held = which
        trained = network.train(ids[fold != held], labels[fold != held], shape, recipe, seed * 1000 + teacher * folds + held, lambda line: None)
        answers[teacher, fold == held] = trained.logits(ids[fold == held])
        print(f"teacher {teacher + 1}/{settings['teachers']}, fold {held + 1}/{folds}", flush=True)

    network.parallel(teach, [(teacher, held) for teacher in range(settings["teachers"]) for held in range(folds)])
    return (1 - settings["share"]) * labels + settings["share"] * network.sigmoid(answers.mean(axis=0))
