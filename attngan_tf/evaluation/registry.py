"""The metrics, by the names that --metrics takes."""

from collections.abc import Sequence

from attngan_tf.config import Config
from attngan_tf.errors import UserError
from attngan_tf.evaluation.demo_colours import ColourMetric, PartsMetric
from attngan_tf.evaluation.features.extractor import FeatureExtractor
from attngan_tf.evaluation.metrics.diversity import DiversityMetric
from attngan_tf.evaluation.metrics.fid import FidMetric
from attngan_tf.evaluation.metrics.inception_score import InceptionScoreMetric
from attngan_tf.evaluation.metrics.kid import KidMetric
from attngan_tf.evaluation.metrics.metric import Metric
from attngan_tf.evaluation.metrics.precision_recall import (
    PrecisionRecallMetric,
)
from attngan_tf.evaluation.metrics.r_precision import RPrecisionMetric
from attngan_tf.evaluation.metrics.retrieval import RetrievalMetric

METRICS: dict[str, type[Metric]] = {
    "is": InceptionScoreMetric,
    "fid": FidMetric,
    "kid": KidMetric,
    "precision_recall": PrecisionRecallMetric,
    "r_precision": RPrecisionMetric,
    "retrieval": RetrievalMetric,
    "diversity": DiversityMetric,
    "colour": ColourMetric,
    "parts": PartsMetric,
}


def choose_metrics(
    names: Sequence[str] | None,
    config: Config,
    extractor: FeatureExtractor | None,
) -> list[str]:
    """The metrics to compute: those named, or all that apply.

    Args:
      names: chosen by a user; None: all that apply.
      config: the model's.
      extractor: see `Evaluator`.

    Raises:
      UserError: there is no such metric, or it does not apply.
    """
    missing = {k: x.missing(config, extractor) for k, x in METRICS.items()}
    if names is None:
        return [name for name in METRICS if not missing[name]]
    for name in names or [""]:
        if name not in METRICS:
            raise UserError(
                f"--metrics must be some of {', '.join(METRICS)}, separated by "
                f"commas; received {name!r}"
            )
        if missing[name]:
            raise UserError(f"--metrics={name} {missing[name]}")
    return list(dict.fromkeys(names))
