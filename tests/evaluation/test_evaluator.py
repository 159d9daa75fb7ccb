"""Scores of a tiny model that was really trained."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from attngan_tf import evaluate
from attngan_tf.data import catalog, prepared_data
from attngan_tf.data.demo import builder, captions
from attngan_tf.data.demo.drawing import draw_bird
from attngan_tf.data.views import centre_views
from attngan_tf.encoders import load_encoders
from attngan_tf.evaluation import evaluator
from attngan_tf.evaluation.evaluator import Evaluator
from attngan_tf.evaluation.features.extractor import FeatureExtractor
from attngan_tf.evaluation.metrics.fid import frechet_distance, statistics
from attngan_tf.evaluation.metrics.r_precision import r_precision
from attngan_tf.sampling import to_uint8
from attngan_tf.text_to_image import load

TRAIN, TEST = 24, 110  # pictures of birds_folder
SIZE = 16  # of generated pictures


@pytest.fixture(scope="module")
def model(tiny_workdir):
    return load(str(tiny_workdir))


@pytest.fixture(scope="module")
def data(model, birds_folder):
    return evaluate.open_data(model.config, str(birds_folder), None)


class Classifier(FeatureExtractor):
    """Sees the mean colour, and says how red, green or blue it is."""

    def __init__(self):
        def network(images):
            colour = tf.reduce_mean(images, [1, 2])
            return {
                "pooled": colour,
                "probabilities": tf.nn.softmax(4 * colour),
            }

        super().__init__(
            name="colours", sha256="c01042", size=SIZE, network=network
        )


@pytest.fixture
def evaluation_of(model, data):
    """Makes an evaluation of metrics; arguments override."""

    def make(*metrics, **changes):
        arguments = {
            "model": model,
            "encoders": model.encoders,
            "extractor": None,
            "data": data,
            "split": "test",
            "metrics": metrics,
            "num_images": TEST,
        }
        return Evaluator(**{**arguments, **changes})

    return make


class Copier:
    """Answers with given pictures, by seed, instead of drawing any."""

    last_images = "images"

    def __init__(self, images, model):
        self.images = images  # float32
        self.config, self.step = model.config, model.step
        self.captions = []

    def encode(self, captions):
        self.captions += [text.decode() for text in captions.numpy()]
        return {"lengths": tf.zeros(len(captions))}

    def from_features(self, text, seeds):
        return {"images": tf.gather(tf.constant(self.images), seeds)}

    def generate(self, captions, seeds):
        self.captions += list(captions)
        return to_uint8(self.images[list(seeds)]).numpy()


def real_images(records, places=None):
    batches = centre_views(records, (SIZE,), 64, places)
    return np.concatenate([batch[f"images_{SIZE}"] for batch in batches])


def test_copies_of_real_pictures_score_as_they_do(
    evaluation_of, model, data, monkeypatch
):
    names = ["is", "fid", "kid", "r_precision"]
    found = evaluation_of(*names, extractor=Classifier())
    copier = Copier(real_images(data.test, found.held_out.indices), found.model)
    found.model = copier
    score, frechet, kernel, precision = found.score()
    assert score.generated == pytest.approx(score.real)
    assert precision.generated == pytest.approx(precision.real)
    assert frechet.generated.mean < 1e-6 < frechet.real.mean
    assert kernel.generated.mean < 1e-6
    assert copier.captions == found.held_out.first_captions()


def test_scores_are_of_what_the_backend_says(evaluation_of, model, data):
    found = evaluation_of(
        "is", "fid", extractor=Classifier(), num_images=100, splits=4
    )
    score, frechet = found.score()
    captions = [
        found.held_out.lines[i] for i in found.held_out.caption_rows(100)
    ]
    drawn = model.generate(captions, range(100)) / 127.5 - 1
    colours = drawn.mean((1, 2))
    p = np.exp(4 * colours) / np.exp(4 * colours).sum(1, keepdims=True)
    parts = [
        np.exp((q * np.log(q / q.mean(0))).sum(1).mean())
        for q in np.split(p, 4)
    ]
    assert score.generated.mean == pytest.approx(np.mean(parts), rel=1e-4)
    assert score.generated.std == pytest.approx(np.std(parts), rel=1e-3)
    places = found.held_out.indices
    real = to_uint8(real_images(data.test, places)).numpy() / 127.5 - 1
    expected = frechet_distance(*map(statistics, (colours, real.mean((1, 2)))))
    assert frechet.generated.mean == pytest.approx(expected, rel=1e-3)
    assert found.conditions()["feature_extractor"]["sha256"] == "c01042"
    assert found.conditions()["splits"] == 4


def test_real_distance_is_that_of_the_other_split(
    evaluation_of, model, data, monkeypatch
):
    found = evaluation_of("fid", split="train")
    copier = Copier(real_images(data.test), found.model)
    found.model = copier
    (frechet,) = found.score()
    assert frechet.generated.n == frechet.real.n == TEST
    assert frechet.generated.mean == pytest.approx(frechet.real.mean, rel=1e-4)
    # Four captions of each train picture, and the fifth of some.
    captions = found.held_out.captions
    order = copier.captions
    assert order[:TRAIN] == [lines[0] for lines in captions]
    assert order[TRAIN : 2 * TRAIN] == [lines[1] for lines in captions]
    assert order[4 * TRAIN :] == [lines[4] for lines in captions[:14]]


def test_r_precision_pairs_each_picture_with_its_caption(evaluation_of, model):
    found = evaluation_of("r_precision")
    (row,) = found.score()
    held_out = found.held_out
    rows = held_out.caption_rows(TEST)
    pictures = model.generate([held_out.lines[i] for i in rows], range(TEST))
    features = model.image_encoder(pictures / np.float32(127.5) - 1)
    sentences = model.encode_text(held_out.lines)["sentence_features"]
    groups = held_out.groups[held_out.owners]
    expected = r_precision(
        features["image_features"].numpy(),
        sentences[rows],
        groups[rows],
        candidates=held_out.candidates,
        seed=0,
        pool_features=sentences,
        pool_groups=groups,
    )
    assert row.generated.mean == pytest.approx(expected.mean, abs=1)


def test_another_runs_encoders_judge(evaluation_of, model, tiny_workdir):
    other_encoders = load_encoders(str(tiny_workdir))
    for weight in other_encoders.image_encoder.image_projection.weights:
        weight.assign(tf.zeros_like(weight))  # nothing finds its caption
    own = evaluation_of("r_precision", extractor=Classifier())
    other = evaluation_of(
        "r_precision", extractor=Classifier(), encoders=other_encoders
    )
    (theirs,), (ours,) = other.score(), own.score()
    assert theirs.generated.mean == theirs.real.mean == 0
    assert ours.generated.mean + ours.real.mean > 0
    told = [found.conditions()["encoders"] for found in (own, other)]
    digests = [identity.pop("sha256") for identity in told]
    assert digests[0] != digests[1]
    assert told[0] == told[1]


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        (["is", "fid", "kid", "diversity"], {"pooled", "probabilities"}),
        (["r_precision"], {"image_features", "pooled"}),
        (["kid", "r_precision"], {"image_features", "pooled", "probabilities"}),
        (["diversity"], set()),
    ],
)
def test_no_network_looks_at_pictures_for_nothing(evaluation_of, metrics, said):
    found = evaluation_of(*metrics, extractor=Classifier())
    (batch,) = found.generation.batches(["a bird"], [0])
    assert set(batch) == {"images"} | said


def test_retrieval_is_of_real_pictures(evaluation_of, monkeypatch):
    found = evaluation_of("retrieval")
    found.sentences = np.eye(TEST)[found.held_out.owners]
    found.real_image_features = np.eye(TEST)
    found.generation = None  # no image is generated for it
    rows = found.score()
    assert [row.real.mean for row in rows] == 6 * [100]
    assert {row.generated for row in rows} == {None}


def test_diversity_of_a_generator_that_draws_one_picture(
    evaluation_of, model, data, monkeypatch
):
    grey = np.zeros((TEST, SIZE, SIZE, 3), np.float32)
    found = evaluation_of("diversity")
    copier = Copier(grey, found.model)
    found.model = copier
    rows = found.score()
    assert len(copier.captions) == 100 + 160  # and not TEST + 160
    assert [row.generated.mean for row in rows] == [0, 0, 0]
    assert [row.generated.n for row in rows] == [160, 160, 100]
    real = to_uint8(real_images(data.test)[:100]).numpy() / 255
    i, j = np.triu_indices(100, 1)
    distances = np.sqrt(((real[i] - real[j]) ** 2).mean((1, 2, 3)))
    for row, known in zip(
        rows, (distances.mean(), distances.min(), distances.mean()), strict=True
    ):
        assert row.real.mean == pytest.approx(known)


@pytest.fixture
def demo_data(tmp_path, monkeypatch):
    pictures = {"train": 20, "test": 120}
    monkeypatch.setattr(builder.Demo, "NUM_IMAGES", pictures)
    dataset = catalog.open_builder("demo", "", str(tmp_path))
    catalog.prepare(dataset)
    return prepared_data.read_data(dataset)


def draw(colours):
    """Birds of these colours, reduced to SIZE: float32."""
    pictures = []
    for index, colour in enumerate(colours):
        bird = builder.Bird(
            colours=dict.fromkeys(builder.PARTS, colour),
            pose=builder.POSES[index % 3],
            left=False,
            size=0.5,
            long_beak=False,
            ground="plain",
        )
        picture = draw_bird(bird, np.random.default_rng(index))
        pictures.append(np.asarray(picture.resize((SIZE, SIZE), Image.BOX)))
    return np.stack(pictures) / np.float32(127.5) - 1


def test_colour_asked_for(evaluation_of, model, demo_data, monkeypatch):
    found = evaluation_of("colour", data=demo_data)
    captions, colours = zip(
        *builder.single_colour_captions(110, seed=0), strict=True
    )
    birds = draw(colours)
    for images, low, high in ((birds, 90, 100), (birds[::-1], 0, 10)):
        copier = Copier(images, model)
        found.model = copier
        (row,) = found.score()
        assert low <= row.generated.mean <= high
        assert tuple(copier.captions) == captions
    single = [
        bird
        for bird in builder.birds(builder.SEED, "test", 120)
        if builder.is_single_coloured(bird)
    ]
    assert row.generated.n == 110
    assert row.real.n == len(single) > 10
    assert row.real.mean >= 80


class Hash:
    """Stands for a classifier: each image has colours of its own."""

    provenance = {"network": "hash"}  # noqa: RUF012

    def classify(self, images):
        pixels = tf.cast(to_uint8(images), tf.int64)
        sums = tf.reduce_sum(pixels, [1, 2, 3])[:, None]
        return {"part_colours": sums // 5 ** np.arange(5) % 11}

    def colours(self, batches):
        return np.concatenate(
            [self.classify(x)["part_colours"] for x in batches]
        )


def test_parts_of_copies_of_real_pictures_score_as_theirs(
    evaluation_of, model, demo_data, monkeypatch
):
    monkeypatch.setattr(evaluator, "PartClassifier", lambda *arguments: Hash())
    found = evaluation_of("parts", data=demo_data, num_images=150)
    pictures = real_images(demo_data.test, found.held_out.indices)
    owners = found.held_out.owners[found.held_out.caption_rows(150)]
    for images, same in ((pictures, True), (pictures[::-1], False)):
        copier = Copier(images[owners], model)
        found.model = copier
        found.__dict__.pop("generation", None)
        rows = found.score()
        assert copier.captions[:120] == found.held_out.first_captions()
        assert len(copier.captions) == 150
        assert (rows[0].generated.mean == rows[0].real.mean) == same
    named = [len(captions.asked_colours(x)) for x in copier.captions]
    assert rows[0].name == "parts"
    assert rows[0].generated.n == rows[0].real.n == sum(named)
    told = found.conditions()
    assert told["part_classifier"] == {"network": "hash"}
    assert told["generated"] == {"images": 150, "first_seed": 0}
