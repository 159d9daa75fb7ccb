"""Metrics that apply to a model and a feature extractor."""

import pytest
import tensorflow as tf

from attngan_tf.errors import UserError
from attngan_tf.evaluation.features.extractor import FeatureExtractor
from attngan_tf.evaluation.registry import choose_metrics


def test_metrics_that_apply(tiny_config):
    named = ["fid", "kid", "precision_recall", "r_precision"]
    named += ["retrieval", "diversity"]
    folder = tiny_config()
    assert choose_metrics(None, folder, None) == named
    demo = tiny_config(dataset="demo")
    assert choose_metrics(None, demo, None) == [*named, "colour", "parts"]
    tiny = tiny_config(dataset="demo", num_stages=1)
    assert choose_metrics(None, tiny, None) == named
    twice = ["r_precision", "fid", "r_precision"]
    assert choose_metrics(twice, folder, None) == ["r_precision", "fid"]
    for config in (folder, tiny):
        for name in ("colour", "parts"):
            with pytest.raises(UserError, match=f"--metrics={name}"):
                choose_metrics(["fid", name], config, None)


def only(name):
    """A feature extractor that returns nothing else."""
    outputs = {
        "pooled": lambda images: tf.reduce_mean(images, [1, 2]),
        "probabilities": lambda images: tf.nn.softmax(images[:, 0, 0]),
    }
    return FeatureExtractor(
        name=f"only {name}",
        sha256="",
        size=4,
        network=lambda images: {name: outputs[name](images)},
    )


def test_metrics_that_an_extractor_does_not_support(tiny_config):
    config = tiny_config()
    classes, features = only("probabilities"), only("pooled")
    assert choose_metrics(None, config, classes)[:2] == ["is", "r_precision"]
    assert choose_metrics(None, config, features)[:2] == ["fid", "kid"]
    for name, extractor, rule in (
        ("isc", classes, "some of is, fid,.* received 'isc'"),
        ("", classes, "received ''"),
        ("kid", classes, "pooled features; only probabilities returns none"),
        ("is", features, "probabilities; only pooled returns none"),
        ("is", None, "image encoder returns none; choose one with --backend"),
    ):
        with pytest.raises(UserError, match=rule):
            choose_metrics([name], config, extractor)
