"""c1w: embedding 24, convolution 8×128, global maximum, 64, 1; 35,329 parameters. And how it is trained."""

import math

import torch
from torch import nn
from torch.nn import functional

from . import preprocessing

RECIPE = {
    "network": "c1w", "optimizer": "AdamW", "peak_learning_rate": 2e-3, "warm_up": 0.1, "schedule": "cosine", "batch": 256,
    "epochs": 8, "batches": "of like length, from pools of 64", "weight_decay": 1e-3, "spatial_dropout": 0.05, "dropout": 0.25,
}

WINDOW = 8  # the convolution's width
POOL = 64  # batches that are sorted by length together


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(preprocessing.VOCABULARY, 24)
        self.convolution = nn.Conv1d(24, 128, WINDOW)
        self.hidden = nn.Linear(128, 64)
        self.output = nn.Linear(64, 1)
        self.spatial = nn.Dropout1d(RECIPE["spatial_dropout"])
        self.dropout = nn.Dropout(RECIPE["dropout"])

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Logits, one a row."""
        embedded = self.spatial(self.embedding(ids).transpose(1, 2))
        found = functional.relu(functional.adaptive_max_pool1d(self.convolution(embedded), 1).squeeze(2))
        hidden = functional.relu(self.hidden(self.dropout(found)))
        return self.output(self.dropout(hidden)).squeeze(1)


def tensors(rows) -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.tensor([preprocessing.ids(row.url.encode()) for row in rows], dtype=torch.int32)
    return ids, torch.tensor([row.label for row in rows], dtype=torch.float32)


def batches_of(lengths: torch.Tensor):
    """One epoch's batches, each of URLs of like length: three times faster, and the same function, since behind the end of
    the longest URL and one window of padding every further window gives what that one gave."""
    for pool in torch.randperm(len(lengths)).split(RECIPE["batch"] * POOL):
        batches = pool[lengths[pool].argsort(stable=True)].split(RECIPE["batch"])
        for place in torch.randperm(len(batches)):
            yield batches[place]


def train(rows, seed: int, epochs: int) -> Network:
    """The same seed, machine and thread count give the same weights. No choice is made by looking at any score."""
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(seed)
    ids, labels = tensors(rows)
    lengths = (ids != preprocessing.PAD).sum(dim=1)
    network = Network().train()
    pool = RECIPE["batch"] * POOL
    batches = sum(math.ceil(min(pool, len(ids) - start) / RECIPE["batch"]) for start in range(0, len(ids), pool))
    optimizer = torch.optim.AdamW(network.parameters(), lr=RECIPE["peak_learning_rate"], weight_decay=RECIPE["weight_decay"])
    steps, warm = epochs * batches, max(1, int(epochs * batches * RECIPE["warm_up"]))
    rate = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: (step + 1) / warm if step < warm else
                                             0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm))))
    for epoch in range(epochs):
        total = 0.0
        for chosen in batches_of(lengths):
            end = min(preprocessing.POSITIONS, int(lengths[chosen].max()) + WINDOW)
            loss = functional.binary_cross_entropy_with_logits(network(ids[chosen, :end]), labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            rate.step()
            total += loss.item() * len(chosen)
        print(f"epoch {epoch + 1}/{epochs}: training loss {total / len(ids):.4f}", flush=True)
    return network.eval()


@torch.no_grad()
def logits(network: Network, rows) -> torch.Tensor:
    ids, _ = tensors(rows)
    return torch.cat([network(part) for part in ids.split(1024)])


def temperature(scores: torch.Tensor, labels: torch.Tensor) -> float:
    """The divisor of the logits that makes validation likelihood best (Guo et al. 2017), fitted in the logarithm."""
    log = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([log], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = functional.binary_cross_entropy_with_logits(scores.double() / log.exp(), labels.double())
        loss.backward()
        return loss

    optimizer.step(closure)
    return log.exp().item()
