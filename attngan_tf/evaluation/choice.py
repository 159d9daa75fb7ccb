"""Which metrics apply to a model and a backend."""

from collections.abc import Sequence

from attngan_tf.config import Config
from attngan_tf.errors import UserError
from attngan_tf.evaluation.evaluator import METRICS
from attngan_tf.evaluation.features.extractor import Backend

COLOUR_LEAST_SIZE = 16  # side of a picture in which a bird can be found


def choose_metrics(
    asked: Sequence[str] | None, config: Config, backend: Backend | None
) -> list[str]:
    """The metrics to compute: those asked for, or all that apply.

    Args:
      asked: names; None: all.
      config: the model's.
      backend: see `Evaluation`.

    Raises:
      UserError: there is no such metric, or it does not apply.
    """
    lacking = _lacking(config, backend)
    if asked is None:
        return [name for name in METRICS if name not in lacking]
    for name in asked or [""]:
        if name not in METRICS:
            raise UserError(
                f"--metrics must be some of {', '.join(METRICS)}, with commas "
                f"between them; received {name!r}"
            )
        if name in lacking:
            raise UserError(f"--metrics={name} {lacking[name]}")
    return list(dict.fromkeys(asked))


def _lacking(config: Config, backend: Backend | None) -> dict[str, str]:
    """Why metrics do not apply, by their names."""
    lacking, size = {}, config.image_sizes[-1]
    if backend is None or backend.classes is None:
        name = backend.name if backend else "the run's own image encoder"
        lacking["is"] = (
            f"needs a backend that gives probabilities of classes; {name} "
            "gives none; name one by --backend, such as inception_v3"
        )
    if backend and backend.pooled_size is None:
        for name in ("fid", "kid"):
            lacking[name] = (
                f"needs a backend that gives pooled features; {backend.name} "
                "gives none; name another --backend"
            )
    if config.dataset != "demo" or size < COLOUR_LEAST_SIZE:
        for name in ("colour", "parts"):
            lacking[name] = (
                "looks for the birds of --dataset=demo in pictures of "
                f"{COLOUR_LEAST_SIZE} pixels or more; this model was trained "
                f"on {config.dataset}, {size} pixels; leave it out"
            )
    return lacking
