"""Scores beside those of torchmetrics, on the same features."""

import numpy as np
import pytest
import torch
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.inception import InceptionScore
from torchmetrics.image.kid import KernelInceptionDistance

from attngan_tf.evaluation.metrics.fid import frechet_distance, statistics
from attngan_tf.evaluation.metrics.inception_score import RunningInceptionScore
from attngan_tf.evaluation.metrics.kid import RunningKernelDistance

KEEPS_ALL = r"ignore:Metric .* will save all extracted features:UserWarning"


class Given(torch.nn.Module):
    """Takes features for pictures, and gives them back."""

    num_features = 48

    def forward(self, features):
        return features


def features(N, seed):
    """Positive and correlated, as those of Inception's last pool are."""
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(N, 48)) @ rng.normal(size=(48, 48)) / 7
    return np.maximum(mixed + rng.uniform(size=48), 0)


@pytest.mark.parametrize("N", [30, 500])  # fewer than dimensions, and more
def test_frechet_distance(N):
    generated, real = features(N, 0), features(400, 1)
    metric = FrechetInceptionDistance(feature=Given())
    metric.set_dtype(torch.float64)
    metric.update(torch.tensor(generated), real=False)
    metric.update(torch.tensor(real), real=True)
    expected = metric.compute().item()
    distance = frechet_distance(statistics(generated), statistics(real))
    assert distance == pytest.approx(expected, rel=1e-6)


@pytest.mark.filterwarnings(KEEPS_ALL)
def test_inception_score():
    # It shuffles the rows first: in the order of a seed.
    logits = torch.tensor(4 * features(200, 0))
    metric = InceptionScore(feature=Given(), splits=10)
    metric.update(logits)
    torch.manual_seed(0)
    mean, std = metric.compute()
    torch.manual_seed(0)
    shuffled = logits[torch.randperm(200)].softmax(dim=1).numpy()
    running = RunningInceptionScore(200, 48)
    running.update(0, shuffled)
    score = running.score()
    assert score.mean == pytest.approx(mean.item(), rel=1e-9)
    # Its variance is divided by 9, the published code's by 10.
    assert score.std == pytest.approx(std.item() * np.sqrt(0.9), rel=1e-6)


@pytest.mark.filterwarnings(KEEPS_ALL)
def test_kernel_distance():
    generated, real = features(300, 0), features(300, 1)
    metric = KernelInceptionDistance(
        feature=Given(), subsets=1, subset_size=300
    )
    metric.update(torch.tensor(generated), real=False)
    metric.update(torch.tensor(real), real=True)
    expected = metric.compute()[0].item()
    running = RunningKernelDistance(real, 300)
    running.update(generated)
    assert running.score().mean == pytest.approx(expected, rel=1e-9)
