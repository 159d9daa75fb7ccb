"""How good the pictures of a trained model are."""

import functools
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import tensorflow as tf

from attngan_tf.data.prepared_data import Data
from attngan_tf.encoders import Encoders
from attngan_tf.evaluation import held_out, provenance
from attngan_tf.evaluation.accumulator import Kept
from attngan_tf.evaluation.birds import asked_colours
from attngan_tf.evaluation.differences import diversity_rows
from attngan_tf.evaluation.encoders import encoder_backend, encoders_text
from attngan_tf.evaluation.features.extractor import Backend
from attngan_tf.evaluation.generated import Drawing, Look
from attngan_tf.evaluation.held_out import HeldOut
from attngan_tf.evaluation.metrics.fid import (
    RunningMoments,
    Statistics,
    frechet_distance,
    small_sample_warning,
    statistics,
)
from attngan_tf.evaluation.metrics.inception_score import RunningInceptionScore
from attngan_tf.evaluation.metrics.kid import RunningKernelDistance
from attngan_tf.evaluation.metrics.r_precision import RPrecision
from attngan_tf.evaluation.metrics.retrieval import retrieval
from attngan_tf.evaluation.parts import PartScore
from attngan_tf.evaluation.reference import real_features
from attngan_tf.runs.scores import Row, Value
from attngan_tf.sampling import to_uint8
from attngan_tf.text_to_image import TextToImage

# Metrics by what looks at the drawn pictures for them.
BY_BACKEND = {"is", "fid", "kid"}
BY_ENCODERS = {"r_precision"}
LOOKED_AT = {*BY_BACKEND, *BY_ENCODERS, "parts"}
OWN_PICTURES = {"retrieval", "colour"}  # draw their own, or none


class Evaluation:
    """Draws pictures once, and computes scores of them.

    Args:
      model: draws the pictures.
      judge: the encoders by whose features R-precision is measured; the
        model's, as a rule.
      backend: gives the features of Frechet and kernel distances, and the
        probabilities of the Inception score; None: the judge's pooled
        features.
      data: the prepared data set.
      split: which of its splits gives captions and reference pictures.
      metrics: names in METRICS, in the order of the rows.
      num_images: pictures to draw; at most so many real ones are used.
      seed: of the first picture's noise; the n-th has `seed + n`.
      splits: parts of the Inception score.
      strategy: its replicas share each batch of pictures.
      progress: wraps the iteration over batches, such as tqdm does.
    """

    def __init__(
        self,
        *,
        model: TextToImage,
        judge: Encoders,
        backend: Backend | None,
        data: Data,
        split: str,
        metrics: Sequence[str],
        num_images: int,
        seed: int = 0,
        splits: int = 10,
        strategy: tf.distribute.Strategy | None = None,
        progress: Callable[[Iterable[int]], Iterable[int]] = iter,
    ):
        self.model = model
        self.judge = judge
        self.data = data
        self.split = split
        self.metrics = metrics
        self.num_images = num_images
        self.seed = seed
        self.splits = splits
        self.strategy = strategy or tf.distribute.get_strategy()
        self.progress = progress
        self.size = model.config.image_sizes[-1]
        self.backend = backend or encoder_backend(judge, self.size)
        self.held_out = self._hold_out(split)
        self._by_encoders = BY_ENCODERS if backend else BY_ENCODERS | BY_BACKEND

    def _look(self) -> Look:
        """What looks at the drawn pictures: all networks that are needed."""
        looks = []
        if self._by_encoders.intersection(self.metrics):
            looks.append(held_out.features_of(self.judge.image_encoder))
        if (BY_BACKEND - self._by_encoders).intersection(self.metrics):
            looks.append(self.backend.features)
        if "parts" in self.metrics:
            looks.append(self._part_score.classifier.look)
        # Of two networks' pooled features, the backend's count.
        return lambda images: dict(
            pair for look in looks for pair in look(images).items()
        )

    def _hold_out(self, split: str) -> HeldOut:
        return HeldOut(
            records=getattr(self.data, split),
            vocabulary=self.judge.caption_encoder.vocabulary,
            words_num=self.judge.caption_encoder.words_num,
            count=self.num_images,
        )

    @property
    def other_split(self) -> str:
        """The split that is not scored on."""
        return "train" if self.split == "test" else "test"

    @property
    def epoch(self) -> float:
        """Epochs that the model was trained for."""
        return (
            self.model.step
            * self.model.config.batch_size
            / len(self.data.train)
        )

    def score(self) -> list[Row]:
        """Scores of the model as it is now."""
        drawn = None if OWN_PICTURES.issuperset(self.metrics) else self._draw()
        return [
            row for name in self.metrics for row in METRICS[name](self, drawn)
        ]

    def warnings(self) -> list[str]:
        """What a reader of these scores should know."""
        if "fid" not in self.metrics:
            return []
        smaller = min(self.num_images, len(self.held_out.places))
        warning = small_sample_warning(smaller, self.backend.pooled_size)
        return [warning] if warning else []

    @property
    def _looked_at(self) -> int:
        """Drawn pictures that networks look at."""
        return self.num_images if LOOKED_AT.intersection(self.metrics) else 0

    @property
    def _compared(self) -> int:
        """Drawn pictures whose pixels are compared."""
        if "diversity" not in self.metrics:
            return 0
        return min(self.num_images, held_out.DIVERSITY_PICTURES)

    def _draw(self) -> Kept:
        """One pass over all pictures, or over as many as are looked at."""
        names, N = self.metrics, self._looked_at
        rows = self.held_out.caption_rows(max(N, self._compared))
        kept = Kept(
            rows,
            pictures=self._compared,
            moments=RunningMoments(self.backend.pooled_size)
            if "fid" in names
            else None,
            kernel=self._kernel(N) if "kid" in names else None,
            inception=self._inception(N) if "is" in names else None,
        )
        for batch in self.drawing.batches(
            [self.held_out.lines[row] for row in rows],
            range(self.seed, self.seed + len(rows)),
            self.progress,
        ):
            kept.update(batch)
        return kept

    @functools.cached_property
    def drawing(self) -> Drawing:
        """Draws and looks, traced once for all steps of a run."""
        return Drawing(self.model, self._look(), self.strategy)

    def _inception(self, N: int) -> RunningInceptionScore:
        splits = min(self.splits, N)  # of few real pictures
        return RunningInceptionScore(N, self.backend.classes, splits)

    def _kernel(self, N: int) -> RunningKernelDistance:
        return RunningKernelDistance(self._reference["pooled"], N)

    def _real(self, held_out: HeldOut) -> dict[str, np.ndarray]:
        return real_features(
            self.backend, held_out, self.size, self.data.name, self.strategy
        )

    @functools.cached_property
    def _reference(self) -> dict[str, np.ndarray]:
        """What the backend says of the split's pictures."""
        return self._real(self.held_out)

    @functools.cached_property
    def _other(self) -> dict[str, np.ndarray]:
        """The same of the other split's, which stand for a perfect model."""
        return self._real(self._hold_out(self.other_split))

    @functools.cached_property
    def _statistics(self) -> Statistics:
        return statistics(self._reference["pooled"])

    def inception_score(self, drawn: Kept) -> list[Row]:
        """Inception score; beside it, that of the split's real pictures."""
        probabilities = self._reference["probabilities"]
        real = self._inception(len(probabilities))
        real.update(0, probabilities)
        values = [
            Value(x.mean, x.n, x.std)
            for x in (drawn.inception.score(), real.score())
        ]
        label = f"Inception score, {self.splits} splits"
        return [Row("inception_score", label, *values)]

    def frechet(self, drawn: Kept) -> list[Row]:
        """Frechet distance; beside it, that of the other split's pictures."""
        values = [
            Value(frechet_distance(x, self._statistics), x.n)
            for x in (
                drawn.moments.statistics(),
                statistics(self._other["pooled"]),
            )
        ]
        return [Row("frechet", "Frechet distance", *values)]

    def kid(self, drawn: Kept) -> list[Row]:
        """Kernel distance; beside it, that of the other split's pictures."""
        pooled = self._other["pooled"]
        real = self._kernel(len(pooled))
        real.update(pooled)
        values = [
            Value(x.mean, x.n, x.std)
            for x in (drawn.kernel.score(), real.score())
        ]
        return [Row("kid", "kernel distance (KID)", *values)]

    def r_precision(self, drawn: Kept) -> list[Row]:
        """R-precision; beside it, that of the real pictures described.

        Both choose among the same captions.
        """
        owners = self.held_out.owners[drawn.rows]
        found = self._r_precision(drawn.image_features, drawn.rows)
        real = self._r_precision(self._real_image_features[owners], drawn.rows)
        label = f"R-precision among {self.held_out.candidates}, %"
        values = [Value(x.mean, x.n, x.std) for x in (found, real)]
        return [Row("r_precision", label, *values)]

    def _r_precision(self, image_features, rows) -> RPrecision:
        return self.held_out.r_precision(image_features, self._sentences, rows)

    @functools.cached_property
    def _sentences(self) -> np.ndarray:
        return self.held_out.sentences(self.judge.caption_encoder.text_encoder)

    @functools.cached_property
    def _real_image_features(self) -> np.ndarray:
        encoder = self.judge.image_encoder
        pooled = self.held_out.trunk_features(encoder, self.size)
        return encoder.image_projection(pooled).numpy()

    def retrieval(self, drawn: Kept) -> list[Row]:
        """R@1, 5 and 10 of the real pictures and all their captions."""
        del drawn
        found = retrieval(
            self._real_image_features, self._sentences, self.held_out.owners
        )
        ways = [
            ("text_to_image", "caption finds picture", found.captions),
            ("image_to_text", "picture finds caption", found.pictures),
        ]
        return [
            Row(f"{name}_r{k}", f"{label}, R@{k}, %", None, Value(share, n))
            for name, label, n in ways
            for k, share in getattr(found, name).items()
        ]

    def diversity(self, drawn: Kept) -> list[Row]:
        """Pixel distances; beside each, that of different real pictures."""
        return diversity_rows(
            self.model,
            self.held_out.first_captions(),
            drawn.images,
            self._real_images(),
        )

    def _real_images(self) -> np.ndarray:
        """The first held-out pictures, as many as `Kept.images` at most."""
        batches = self.held_out.images(self.size)
        first = batches.unbatch().take(held_out.DIVERSITY_PICTURES)
        return to_uint8(tf.stack(list(first))).numpy()

    def colour(self, drawn: Kept) -> list[Row]:
        """Share of birds in the one colour asked for; `demo` only."""
        del drawn
        records = getattr(self.data, self.split)
        model = self.model
        return [asked_colours(model, records, self.size, self.num_images)]

    @functools.cached_property
    def _part_score(self) -> PartScore:
        return PartScore(self.data, self.held_out, self.size, self.strategy)

    def parts(self, drawn: Kept) -> list[Row]:
        """Parts in the colours that captions ask for; `demo` only."""
        return self._part_score.rows(drawn.rows, drawn.part_colours)

    def conditions(self) -> dict[str, str | int]:
        """What the scores depend on beside their N."""
        backend = self.backend
        reference = provenance.reference_text(
            self.held_out, self.model.config.dataset, self.split, self.size
        )
        found = {
            "backend": provenance.with_digest(backend.name, backend.sha256),
            "encoders": self._encoders,
            "reference": f"{reference}; the real distances are those of "
            f"{self.other_split} pictures from them",
            "weights": provenance.average_text(self.model.step),
        }
        if count := max(self._looked_at, self._compared):
            found["drawn"] = provenance.drawn_text(count, self.size, self.seed)
        if "is" in self.metrics:
            found["splits"] = self.splits
        if "r_precision" in self.metrics:
            found["candidates"] = self.held_out.candidates
        if "parts" in self.metrics:
            found["part_classifier"] = self._part_score.classifier.text
        return found

    @functools.cached_property
    def _encoders(self) -> str:
        return encoders_text(self.judge)


METRICS: dict[str, Callable[[Evaluation, Kept | None], list[Row]]] = {
    "is": Evaluation.inception_score,
    "fid": Evaluation.frechet,
    "kid": Evaluation.kid,
    "r_precision": Evaluation.r_precision,
    "retrieval": Evaluation.retrieval,
    "diversity": Evaluation.diversity,
    "colour": Evaluation.colour,
    "parts": Evaluation.parts,
}
