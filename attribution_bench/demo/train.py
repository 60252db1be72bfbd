"""Trains the demonstration models and writes their weights and their performance into the package.

Run it with ``python -m attribution_bench.demo.train``; it takes minutes, and needs PyTorch, safetensors and
scikit-learn.
"""

import json
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

import torch
from safetensors.torch import save
from torch import nn
from torch.nn import functional as F

from attribution_bench.demo.models_torch import Classifier, Profile
from attribution_bench.demo.performance import classifier_performance, profile_performance
from attribution_bench.demo.planting import PlantedSequences, held_out_sequences, training_sequences
from attribution_bench.files import write_whole

SEED = 20261126
COUNT = 60_000
HELD_OUT_SEED = 1
HELD_OUT_COUNT = 2000
WEIGHT_DECAY = 1e-3
GRADIENT_NORM = 1.0
COUNT_WEIGHT = 30.0
"""Weight of the squared error of the count beside the likelihood of the profile, per read of a mean sequence."""
WEIGHTS = Path(__file__).parent / "weights"
PACKAGES = ("torch", "numpy", "safetensors", "scikit-learn")

Module = TypeVar("Module", bound=nn.Module)
Result = TypeVar("Result")
Loss = Callable[[dict[str, torch.Tensor], torch.Tensor], torch.Tensor]
"""Loss of a model's outputs, given the targets (N, ...)."""


@dataclass(frozen=True)
class Recipe:
    """How long and how fast a model learns."""

    epochs: int
    batch_size: int
    learning_rate: float
    """The highest of the schedule (one cycle: Smith and Topin, arXiv 1708.07120)."""


CLASSIFIER_RECIPE = Recipe(epochs=4, batch_size=128, learning_rate=4e-3)
PROFILE_RECIPE = Recipe(epochs=2, batch_size=32, learning_rate=2e-3)


def classifier_loss(outputs: dict[str, torch.Tensor], probability: torch.Tensor) -> torch.Tensor:
    """Cross-entropy to the true probability (N,) of being accessible."""
    return F.binary_cross_entropy_with_logits(outputs["accessible"][:, 0], probability)


def profile_loss(outputs: dict[str, torch.Tensor], reads: torch.Tensor) -> torch.Tensor:
    """Multinomial likelihood of the places of reads (N, L), and the squared error of log(1 + their number)."""
    count = reads.sum(dim=1)
    likelihood = -(reads * outputs["profile"].log_softmax(dim=1)).sum(dim=1).mean() / count.mean()
    return likelihood + COUNT_WEIGHT * F.mse_loss(outputs["count"][:, 0], count.log1p())


def fit(build: Callable[[], Module], loss: Loss, x: torch.Tensor, target: torch.Tensor, recipe: Recipe) -> Module:
    """Train a new module; every other batch is read on the other strand.

    Parameters
    ----------
    build
        Makes the module.
    loss
        What is made small.
    x
        (N, 4, L) sequences.
    target
        (N,) or (N, L); the latter turns with the strand.
    recipe
        How to train.

    Returns
    -------
    The module in inference mode. PyTorch's random state is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        model = build().train()
        steps = len(x) // recipe.batch_size
        optimiser = torch.optim.AdamW(model.parameters(), weight_decay=WEIGHT_DECAY)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, recipe.learning_rate, total_steps=recipe.epochs * steps, pct_start=0.1
        )
        for _ in range(recipe.epochs):
            order = torch.randperm(len(x))[: steps * recipe.batch_size].reshape(steps, recipe.batch_size)
            for index, rows in enumerate(order):
                batch, wanted = x[rows], target[rows]
                if index % 2:
                    batch, wanted = batch.flip(1, 2), wanted.flip(1) if wanted.ndim > 1 else wanted
                optimiser.zero_grad()
                loss(model(batch), wanted).backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(model.parameters(), GRADIENT_NORM)
                optimiser.step()
                schedule.step()
    return model.eval()


def train_classifier(planted: PlantedSequences) -> Classifier:
    """Return a classifier trained on the true probabilities of being accessible."""
    x = torch.from_numpy(planted.sequences.one_hot())
    return fit(Classifier, classifier_loss, x, torch.from_numpy(planted.accessibility).sigmoid(), CLASSIFIER_RECIPE)


def train_profile(planted: PlantedSequences) -> Profile:
    """Return a profile model trained on the simulated reads."""
    x = torch.from_numpy(planted.sequences.one_hot())
    return fit(Profile, profile_loss, x, torch.from_numpy(planted.reads).float(), PROFILE_RECIPE)


def main() -> None:
    """Write ``weights/classifier.safetensors``, ``weights/profile.safetensors`` and ``weights/performance.json``."""
    planted, generating = _timed(lambda: training_sequences(COUNT, SEED))
    classifier, classifier_time = _timed(lambda: train_classifier(planted))
    profile, profile_time = _timed(lambda: train_profile(planted))
    held_out = held_out_sequences(HELD_OUT_COUNT, HELD_OUT_SEED)
    record = {
        "classifier": {
            "held_out": classifier_performance(classifier, held_out),
            "recipe": asdict(CLASSIFIER_RECIPE),
            "training": classifier_time,
        },
        "profile": {
            "held_out": profile_performance(profile, held_out),
            "recipe": asdict(PROFILE_RECIPE),
            "training": profile_time,
        },
        "training_sequences": {"count": COUNT, "seed": SEED, "generating": generating},
        "held_out_sequences": {"count": HELD_OUT_COUNT, "seed": HELD_OUT_SEED},
        "threads": torch.get_num_threads(),
        "versions": {"python": platform.python_version(), **{package: version(package) for package in PACKAGES}},
    }
    for name, model in (("classifier", classifier), ("profile", profile)):
        write_whole(WEIGHTS / f"{name}.safetensors", save(model.state_dict()))
    write_whole(WEIGHTS / "performance.json", json.dumps(record, indent=2) + "\n")
    print(json.dumps(record, indent=2))


def _timed(work: Callable[[], Result]) -> tuple[Result, dict[str, float]]:
    """Return what work returns, with the seconds that passed and those that its threads spent on processors."""
    wall, processor = time.monotonic(), time.process_time()
    result = work()
    return result, {
        "seconds": round(time.monotonic() - wall, 1),
        "processor_seconds": round(time.process_time() - processor, 1),
    }


if __name__ == "__main__":
    main()
