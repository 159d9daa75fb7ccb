"""python -m attngan_tf.evaluate: how good generated pictures are."""

import dataclasses
import functools
import os
import sys
from collections.abc import Callable, Sequence

import numpy as np
import tqdm
from absl import flags

from attngan_tf import command
from attngan_tf.config import Config, UserError
from attngan_tf.data import catalog, demo, views
from attngan_tf.metrics.colour import colour_accuracy
from attngan_tf.metrics.diversity import pairwise_distance
from attngan_tf.metrics.scores import Row, Value, table
from attngan_tf.model import Model, load
from attngan_tf.sampling import to_uint8
from attngan_tf.training import assembly, checkpoint, evaluation
from attngan_tf.training.assembly import Data
from attngan_tf.training.evaluation import Drawn, GeneratedScores, HeldOut
from attngan_tf.training.log import Log

SAMPLES = 16  # pictures of one caption that are compared
ONE_CAPTIONS = 10  # captions that have so many drawn
COLOUR_CAPTIONS = 330  # 30 for each colour of the palette
COLOUR_LEAST_SIZE = 16  # side of a picture in which a bird can be found


class Evaluation:
    """What metrics are computed from; each part is computed once.

    Args:
      model: draws the pictures.
      data: the prepared data set.
      split: which of its splits gives captions and reference pictures.
      num_images: pictures to draw; at most so many real ones are used.
    """

    def __init__(
        self, *, model: Model, data: Data, split: str, num_images: int
    ):
        self.model = model
        self.split = split
        self.num_images = num_images
        self.size = model.config.image_sizes[-1]
        self.data = data
        self.held_out = self._hold_out(split)
        self.scores = GeneratedScores(
            held_out=self.held_out,
            text_encoder=model.sampler.text_encoder,
            image_encoder=model.image_encoder,
            size=self.size,
        )

    def _hold_out(self, split: str) -> HeldOut:
        return HeldOut(
            records=getattr(self.data, split),
            vocabulary=self.data.vocabulary,
            words_num=self.model.config.words_num_test,
            count=self.num_images,
        )

    @property
    def other_split(self) -> str:
        """The split that is not scored on."""
        return "train" if self.split == "test" else "test"

    @functools.cached_property
    def drawn(self) -> Drawn:
        """The generated pictures."""
        bar = functools.partial(
            tqdm.tqdm,
            desc=f"drawing {self.num_images} pictures",
            unit="batch",
            mininterval=0.5 if sys.stderr.isatty() else 60,
        )
        return self.scores.draw(self.model.sampler, self.num_images, bar)

    def fid(self) -> list[Row]:
        """Frechet distance; beside it, that of the other split's pictures."""
        pooled = self.drawn.features["pooled"]
        other = self._hold_out(self.other_split)
        real = other.trunk_features(self.model.image_encoder, self.size)
        return [
            Row(
                "frechet",
                "Frechet distance",
                Value(self.scores.frechet(pooled), len(pooled)),
                Value(self.scores.frechet(real), len(real)),
            )
        ]

    def r_precision(self) -> list[Row]:
        """R-precision; beside it, that of the real pictures described.

        Both choose among the same captions.
        """
        found = self.scores.r_precision(self.drawn)
        real = self.scores.real_r_precision(self.drawn.rows)
        label = f"R-precision among {self.held_out.candidates}, %"
        values = [Value(x.mean, x.n, x.std) for x in (found, real)]
        return [Row("r_precision", label, *values)]

    def diversity(self) -> list[Row]:
        """Pixel distances; beside each, that of different real pictures."""
        captions = self.held_out.first_captions()
        chosen = evaluation.take(captions, ONE_CAPTIONS)
        same = evaluation.one_caption_distances(
            self.model.sampler, [captions[i] for i in chosen], SAMPLES
        )
        means = [distance.mean for distance in same]
        count = sum(distance.n for distance in same)
        smallest = min(distance.smallest for distance in same)
        different = pairwise_distance(self.drawn.images)
        real = pairwise_distance(self.scores.real_images())
        mean, least = Value(real.mean, real.n), Value(real.smallest, real.n)
        label = f"pixel distance, {SAMPLES} of one caption"
        spread = Value(float(np.mean(means)), count, float(np.std(means)))
        return [
            Row("diversity_one_caption", label, spread, mean, 4),
            Row(
                "diversity_one_caption_smallest",
                "the smallest of these",
                Value(smallest, count),
                least,
                4,
            ),
            Row(
                "diversity_captions",
                "pixel distance, different captions",
                Value(different.mean, different.n),
                mean,
                4,
            ),
        ]

    def colour(self) -> list[Row]:
        """Share of birds in the one colour asked for; `demo` only."""
        pairs = demo.single_colour_captions(
            min(self.num_images, COLOUR_CAPTIONS), seed=0
        )
        captions, asked = zip(*pairs, strict=True)
        images = self.model.sampler.pictures(captions, range(len(captions)))
        share = colour_accuracy(images, asked, demo.PALETTE)
        images, shown = self._real_birds_of_one_colour()
        real = colour_accuracy(images, shown, demo.PALETTE)
        return [
            Row(
                "colour",
                "birds in the one colour asked for, %",
                Value(100 * share, len(asked)),
                Value(100 * real, len(shown)),
            )
        ]

    def _real_birds_of_one_colour(self) -> tuple[np.ndarray, list[str]]:
        """The split's pictures of such birds, and their colours."""
        names = demo.single_colour_classes()
        records = getattr(self.data, self.split)
        class_ids = records.class_ids().tolist()
        places = [i for i, k in enumerate(class_ids) if k in names]
        batches = views.centre_views(
            records, (self.size,), evaluation.BATCH, places
        )
        images = [to_uint8(b[f"images_{self.size}"]).numpy() for b in batches]
        return np.concatenate(images), [names[class_ids[i]] for i in places]

    def texts(self) -> dict[str, str]:
        """What the scores depend on: the networks, and the real pictures."""
        config, records = self.model.config, getattr(self.data, self.split)
        path = checkpoint.find(config.workdir, "damsm", "best")
        step = path.rsplit("-", 1)[1]
        backend = "small_cnn, trained with the text encoder"
        if config.image_encoder == "inception_v3" and step == "0":
            backend = "inception_v3 of the converted file, last average pool"
        elif config.image_encoder == "inception_v3":
            weights = os.path.basename(config.inception_weights)
            backend = f"inception_v3 of weights {weights}, last average pool"
        return {
            "backend": f"{backend}; encoders of DAMSM step {step}; pictures "
            f"{self.size} x {self.size}, "
            f"seen at {config.image_encoder_size}; {config.precision}",
            "reference": f"{len(self.held_out.places)} of the {len(records)} "
            f"pictures of {config.dataset}'s {self.split} split, reduced to "
            f"{self.size} x {self.size}; the real Frechet distance is that of "
            f"{self.other_split} pictures from them",
        }


METRICS: dict[str, Callable[[Evaluation], list[Row]]] = {
    "fid": Evaluation.fid,
    "r_precision": Evaluation.r_precision,
    "diversity": Evaluation.diversity,
    "colour": Evaluation.colour,
}


def choose_metrics(asked: Sequence[str] | None, config: Config) -> list[str]:
    """The metrics to compute: those asked for, or all that apply.

    Raises:
      UserError: there is no such metric, or it does not apply.
    """
    draws_birds = (
        config.dataset == "demo" and config.image_sizes[-1] >= COLOUR_LEAST_SIZE
    )
    if asked is None:
        return [name for name in METRICS if name != "colour" or draws_birds]
    for name in asked or [""]:
        if name not in METRICS:
            raise UserError(
                f"--metrics must be some of {', '.join(METRICS)}, with commas "
                f"between them; received {name!r}"
            )
    if "colour" in asked and not draws_birds:
        raise UserError(
            "--metrics=colour looks for the birds of --dataset=demo in "
            f"pictures of {COLOUR_LEAST_SIZE} pixels or more; this model was "
            f"trained on {config.dataset}, {config.image_sizes[-1]} pixels; "
            "leave it out"
        )
    return list(asked)


def define_flags(values: flags.FlagValues) -> None:
    """Defines the command's flags."""
    common = {"flag_values": values}
    flags.DEFINE_string("workdir", None, "folder of a training run", **common)
    flags.DEFINE_list(
        "metrics",
        None,
        f"scores to compute, of {', '.join(METRICS)}; without it, all that "
        "apply (colour: to the demo data set)",
        **common,
    )
    flags.DEFINE_integer(
        "num_images",
        1000,
        "pictures to draw; at most so many real ones are used",
        lower_bound=100,
        **common,
    )
    flags.DEFINE_enum(
        "split",
        "test",
        ["test", "train"],
        "split whose captions are drawn, and whose pictures are compared",
        **common,
    )
    flags.DEFINE_string(
        "checkpoint",
        "last",
        "checkpoint of the GAN: last, best, or the number of a step",
        **common,
    )
    flags.DEFINE_alias("step", "checkpoint", **common)
    flags.DEFINE_string(
        "data_dir",
        None,
        "folder of the raw data; without it, the one the run was made with",
        **common,
    )
    flags.DEFINE_string(
        "prepared_dir",
        None,
        "folder of the prepared data; without it, the run's",
        **common,
    )


def open_data(
    config: Config, data_dir: str | None, prepared_dir: str | None
) -> Data:
    """The data a model was trained on, prepared if it is not yet.

    Args:
      config: the model's.
      data_dir: where the raw data lies now; None: where it did.
      prepared_dir: the same of the prepared data.
    """
    moved = {"data_dir": data_dir, "prepared_dir": prepared_dir}
    moved = {name: path for name, path in moved.items() if path is not None}
    config = dataclasses.replace(config, **moved)
    builder = catalog.open_configured(config)
    catalog.prepare(builder)
    return assembly.open_data(builder, config)


def report(workdir: str, step: int, rows: Sequence[Row], texts: dict) -> None:
    """Appends the scores to metrics.jsonl, and writes them to TensorBoard."""
    numbers = {k: v for row in rows for k, v in row.numbers().items()}
    Log(workdir, "evaluate").report(step, numbers, texts)


def main(values: flags.FlagValues, arguments: list[str]) -> None:
    """The command."""
    if arguments:
        raise command.flags_only("evaluate", arguments)
    if not values.workdir:
        raise UserError(
            "--workdir must name the folder of a training run; received none"
        )
    names = choose_metrics(values.metrics, Config.load(values.workdir))
    model = load(values.workdir, values.checkpoint)
    found = Evaluation(
        model=model,
        data=open_data(model.config, values.data_dir, values.prepared_dir),
        split=values.split,
        num_images=values.num_images,
    )
    rows = [row for name in names for row in METRICS[name](found)]
    texts = found.texts()
    report(values.workdir, model.step, rows, texts)
    print(f"{values.workdir}, GAN step {model.step}, averaged (EMA) weights\n")
    print(table(rows) + "\n")
    for name, text in texts.items():
        print(f"{name}: {text}")


if __name__ == "__main__":
    command.run(define_flags, main)
