"""Scores of the tiny model, and of images that replace its own."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from attngan_tf.data.demo import builder, captions
from attngan_tf.data.views import centre_views
from attngan_tf.encoders import load_encoders
from attngan_tf.evaluation import evaluator
from attngan_tf.evaluation.evaluator import Evaluator
from attngan_tf.evaluation.features.extractor import FeatureExtractor
from attngan_tf.sampling import to_uint8

TRAIN, TEST = 24, 110  # images of birds_folder
SIZE = 16  # of generated images


def mean_colours(images):
    """Features that numpy computes as easily."""
    colour = tf.reduce_mean(images, [1, 2])
    return {"pooled": colour, "probabilities": tf.nn.softmax(4 * colour)}


@pytest.fixture(scope="module")
def colours():
    return FeatureExtractor(
        name="colours", sha256="c01042", size=SIZE, network=mean_colours
    )


@pytest.fixture(scope="module")
def make(tiny_model, tiny_data):
    """Makes an evaluator of metrics; arguments override."""

    def make(*metrics, **changes):
        arguments = {
            "model": tiny_model,
            "encoders": tiny_model.encoders,
            "extractor": None,
            "data": tiny_data,
            "split": "test",
            "metrics": metrics,
            "num_images": TEST,
        }
        return Evaluator(**{**arguments, **changes})

    return make


class Copier:
    """A model that returns given images, by seed; records the captions."""

    last_images = "images"

    def __init__(self, images, model):
        self._images = images  # float32
        self.config, self.step = model.config, model.step
        self.captions = []

    def encode(self, captions):
        self.captions += [text.decode() for text in captions.numpy()]
        return {"lengths": tf.zeros(len(captions))}

    def from_features(self, text, seeds):
        return {"images": tf.gather(tf.constant(self._images), seeds)}

    def images(self, captions, seeds):
        self.captions += list(captions)
        return to_uint8(self._images[list(seeds)]).numpy()


def real_images(records, indices=None):
    batches = centre_views(records, (SIZE,), 64, indices)
    return np.concatenate([batch[f"images_{SIZE}"] for batch in batches])


def test_copies_of_real_images_score_as_they_do(make, colours, tiny_data):
    names = ["is", "fid", "kid", "precision_recall", "r_precision"]
    found = make(*names, "diversity", extractor=colours)
    images = real_images(tiny_data.test, found.held_out.indices)
    found.model = copier = Copier(images, found.model)
    rows = {row.name: row for row in found.score()}
    for name in ("inception_score", "r_precision"):
        assert rows[name].generated == pytest.approx(rows[name].real)
    assert rows["frechet"].generated.mean < 1e-6 < rows["frechet"].real.mean
    assert rows["kid"].generated.mean < 1e-6
    for name in ("precision", "recall"):
        assert rows[name].generated == (100, TEST, None)
        assert rows[name].real.n == TRAIN
    assert rows["diversity_captions"].generated.n == 100  # the first ones
    assert copier.captions[:TEST] == found.held_out.first_captions()


def test_batches_have_the_models_images_and_their_features(
    make, colours, tiny_model
):
    found = make("fid", extractor=colours, seed=7)
    batches = list(found._batches(60))
    assert [len(batch["images"]) for batch in batches] == [50, 10]
    images, pooled = (
        np.concatenate([batch[name] for batch in batches])
        for name in ("images", "pooled")
    )
    lines = [found.held_out.lines[i] for i in found.held_out.caption_rows(60)]
    expected = tiny_model.images(lines, range(7, 67))
    np.testing.assert_array_equal(to_uint8(images), expected)
    means = (expected / 127.5 - 1).mean((1, 2))
    np.testing.assert_allclose(pooled, means, atol=1e-5)
    assert found._generate.experimental_get_tracing_count() <= 2


def test_real_scores_are_those_of_the_other_split(make, tiny_data):
    found = make("fid", split="train")
    found.model = copier = Copier(real_images(tiny_data.test), found.model)
    (frechet,) = found.score()
    assert frechet.generated.n == frechet.real.n == TEST
    assert frechet.generated.mean == pytest.approx(frechet.real.mean, rel=1e-4)
    # Four captions of each train image, and the fifth of some.
    lines = found.held_out.captions
    expected = [line[k] for k in range(5) for line in lines]
    assert copier.captions == expected[:TEST]


def test_other_evaluation_encoders(make, colours, tiny_model, tiny_workdir):
    other = load_encoders(str(tiny_workdir))
    for weight in other.image_encoder.image_projection.weights:
        weight.assign(tf.zeros_like(weight))  # no image finds its caption
    found = make("r_precision", extractor=colours, encoders=other)
    (row,) = found.score()
    assert row.generated.mean == row.real.mean == 0
    own, theirs = (
        x.conditions()["encoders"] for x in (make("r_precision"), found)
    )
    assert own.pop("sha256") != theirs.pop("sha256")
    assert own == theirs


@pytest.mark.parametrize(
    ("metrics", "computed"),
    [
        (["is", "fid", "kid", "diversity"], {"pooled", "probabilities"}),
        (["r_precision"], {"image_features", "pooled"}),
        (["kid", "r_precision"], {"image_features", "pooled", "probabilities"}),
        (["diversity"], set()),
    ],
)
def test_only_needed_features_are_computed(make, colours, metrics, computed):
    features = make(*metrics, extractor=colours)._features()
    assert set(features(tf.zeros([1, SIZE, SIZE, 3]))) == computed


def test_retrieval_generates_no_images(make):
    found = make("retrieval")
    found.sentences = np.eye(TEST)[found.held_out.owners]
    found.real_image_features = np.eye(TEST)
    found._generate = None
    rows = found.score()
    assert [row.real.mean for row in rows] == 6 * [100]
    assert {row.generated for row in rows} == {None}


def test_diversity_of_a_collapsed_generator(make, tiny_data):
    found = make("diversity")
    grey = np.zeros((TEST, SIZE, SIZE, 3), np.float32)
    found.model = copier = Copier(grey, found.model)
    rows = found.score()
    assert len(copier.captions) == 100 + 160  # and not TEST + 160
    assert [row.generated.mean for row in rows] == [0, 0, 0]
    assert [row.generated.n for row in rows] == [160, 160, 100]
    real = to_uint8(real_images(tiny_data.test)[:100]).numpy() / 255
    i, j = np.triu_indices(100, 1)
    distances = np.sqrt(((real[i] - real[j]) ** 2).mean((1, 2, 3)))
    known = distances.mean(), distances.min(), distances.mean()
    assert [row.real.mean for row in rows] == pytest.approx(known)


@pytest.fixture(scope="module")
def demo_data(make_demo_data):
    return make_demo_data(20, 120)


def test_colour_of_birds_of_one_colour(
    make, tiny_model, demo_data, render_bird
):
    found = make("colour", data=demo_data)
    captions, colours = zip(
        *builder.single_colour_captions(110, seed=0), strict=True
    )
    birds = [
        render_bird(colour, index).resize((SIZE, SIZE), Image.BOX)
        for index, colour in enumerate(colours)
    ]
    birds = np.stack(birds) / np.float32(127.5) - 1
    found.model = copier = Copier(birds, tiny_model)
    (row,) = found.score()
    assert tuple(copier.captions) == captions
    assert row.generated.mean >= 90
    single = [
        bird
        for bird in builder.birds(builder.SEED, "test", 120)
        if builder.is_single_coloured(bird)
    ]
    assert row.generated.n == 110
    assert row.real.n == len(single) > 10
    assert row.real.mean >= 80


class Hash:
    """Replaces the classifier: each image has colours of its own."""

    provenance = {"network": "hash"}  # noqa: RUF012

    def classify(self, images):
        pixels = tf.cast(to_uint8(images), tf.int64)
        sums = tf.reduce_sum(pixels, [1, 2, 3])[:, None]
        return {"part_colours": sums // 5 ** np.arange(5) % 11}

    def colours(self, batches):
        return np.concatenate(
            [self.classify(x)["part_colours"] for x in batches]
        )


def test_parts_of_copies_of_real_images(
    make, tiny_model, demo_data, monkeypatch
):
    monkeypatch.setattr(evaluator, "PartClassifier", lambda *arguments: Hash())
    found = make("parts", data=demo_data, num_images=150)
    images = real_images(demo_data.test, found.held_out.indices)
    owners = found.held_out.owners[found.held_out.caption_rows(150)]
    for copies, same in ((images, True), (images[::-1], False)):
        found.model = copier = Copier(copies[owners], tiny_model)
        found.__dict__.pop("_generate", None)
        rows = found.score()
        assert copier.captions[:120] == found.held_out.first_captions()
        assert len(copier.captions) == 150
        assert (rows[0].generated.mean == rows[0].real.mean) == same
    named = [len(captions.asked_colours(x)) for x in copier.captions]
    assert rows[0].name == "parts"
    assert rows[0].generated.n == rows[0].real.n == sum(named)
    conditions = found.conditions()
    assert conditions["part_classifier"] == {"network": "hash"}
    assert conditions["generated"] == {"images": 150, "first_seed": 0}
