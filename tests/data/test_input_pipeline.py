"""From records to batches: keyed random numbers, images in order."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from attngan_tf.data import views
from attngan_tf.data.input_pipeline import ScaledImages, Slice, TrainingData
from attngan_tf.data.views import Records
from attngan_tf.data.vocabulary import Vocabulary
from tests.data.helpers import Files, Preparation, encoded

COUNT = 7  # training images, not a whole number of batches of 4
WIDTH, HEIGHT = 90, 60
OPTIONS = {
    "words_num": 4,
    "image_sizes": (8, 16, 32),
    "batch_size": 4,
    "seed": 3,
    "z_size": 5,
    "condition_size": 6,
    "dropout_size": 2,
    "augmentation_draws": 3,
}


def ramp(number: int) -> np.ndarray:
    """Red shows the column, green the row, blue the image."""
    x, y = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    channels = [20 + 2 * x, 20 + 3 * y, 10 * number + 0 * x]
    pixels = np.stack(channels, -1).astype(np.uint8)
    return pixels.swapaxes(0, 1) if number % 2 else pixels


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Images whose blue is 10 times their number, with 3 captions each."""
    raw = Files(tmp_path_factory.mktemp("raw"))
    for split, numbers in (("train", range(COUNT)), ("test", range(7, 10))):
        names = [f"class{n // 2}/p{n}" for n in numbers]
        raw.write(f"{split}.txt", "\n".join(names))
        for n, name in zip(numbers, names, strict=True):
            raw.write(f"images/{name}.png", encoded(ramp(n)))
            lines = [f"p{n} c{k} a b c" for k in range(3)]
            raw.write(f"text/{name}.txt", "\n".join(lines))
    prepare = Preparation("folder", tmp_path_factory.mktemp("prepared"))
    builder, _ = prepare(raw.root)
    vocabulary = Vocabulary.load(str(builder.data_dir))
    return Records(builder, "train"), Records(builder, "test"), vocabulary


@pytest.fixture(scope="module")
def training(prepared):
    def make(**options) -> TrainingData:
        return TrainingData(
            records=prepared[0], vocabulary=prepared[2], **OPTIONS | options
        )

    return make


def collect(dataset: tf.data.Dataset, count: int) -> list[dict]:
    return list(dataset.take(count).as_numpy_iterator())


@pytest.fixture(scope="module")
def first_batches(training) -> list[dict]:
    """The first six batches of a run."""
    return collect(training().whole_batches(), 6)


def assert_equal(found: list[dict], expected: list[dict]) -> None:
    assert len(found) == len(expected)
    for batch, other in zip(found, expected, strict=True):
        assert set(batch) == set(other)
        for name, value in batch.items():
            np.testing.assert_array_equal(value, other[name], err_msg=name)


def rows_of(batches: list[dict]) -> dict[str, np.ndarray]:
    names = batches[0]
    return {k: np.concatenate([batch[k] for batch in batches]) for k in names}


def named_by(vocabulary, ids) -> tuple[int, int]:
    """Number of the image and of the caption that words name, or -1."""
    words = [vocabulary.words[i] for i in ids if i]
    return tuple(
        next((int(w[1:]) for w in words if w[0] == letter and w[1:]), -1)
        for letter in "pc"
    )


def test_a_batch_holds_what_is_asked_for(training, first_batches):
    batch = first_batches[0]
    found = {k: (v.shape, v.dtype.name) for k, v in batch.items()}
    assert found == {
        "token_ids": ((4, 4), "int32"),
        "lengths": ((4,), "int32"),
        "class_id": ((4,), "int64"),
        "images_8": ((4, 8, 8, 3), "float32"),
        "images_16": ((4, 16, 16, 3), "float32"),
        "images_32": ((4, 32, 32, 3), "float32"),
        "z": ((4, 5), "float32"),
        "eps": ((4, 6), "float32"),
        "dropout_draws": ((4, 4, 2), "float32"),
        "augmentation": ((4, 2, 3), "float32"),
    }
    names = ("z_size", "condition_size", "dropout_size", "augmentation_draws")
    (bare,) = collect(training(**dict.fromkeys(names, 0)).whole_batches(), 1)
    assert set(batch) - set(bare) == {
        *("z", "eps", "dropout_draws", "augmentation"),
    }
    for name, value in bare.items():  # options change no other number
        np.testing.assert_array_equal(value, batch[name])


def test_caching_in_memory_changes_nothing(training, first_batches):
    cached = training(memory_mb=1)
    assert isinstance(cached.scaled.__self__, ScaledImages)
    assert not hasattr(training(memory_mb=0).scaled, "__self__")
    assert_equal(collect(cached.whole_batches(), 5), first_batches[:5])


class NoiseRecords:
    """Records of noise: images of two shapes, by their index."""

    def __init__(self, count: int):
        self.count = count

    def __len__(self):
        return self.count

    def pixels(self, index):
        shape = [40, tf.where(index % 2 == 0, 40, 55), 3]
        noise = tf.random.stateless_uniform(shape, [0, index], 0, 256, tf.int32)
        return tf.cast(noise, tf.uint8)


PROGRAM = """
import tensorflow as tf
from attngan_tf.benchmarking.memory import peak_rss
from attngan_tf.data.input_pipeline import ScaledImages
from tests.data.test_input_pipeline import NoiseRecords

ScaledImages(NoiseRecords(4), 256)  # what TensorFlow takes once
before = peak_rss()
cached = ScaledImages(NoiseRecords(300), 256)
sizes = tf.data.Dataset.range(600).map(
    lambda i: tf.size(cached.read(i % 300), tf.int64)
)
total = sum(sizes.as_numpy_iterator()) // 2
print((peak_rss() - before) / (4 * total), total)
"""


@pytest.mark.slow
def test_peak_memory_is_that_of_the_images(pytestconfig):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=pytestconfig.rootpath,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    ratio, numbers = done.stdout.split()
    assert int(numbers) == 150 * 304 * (304 + 418) * 3  # 395 MB
    assert float(ratio) < 1.5


def test_image_caption_and_class_are_of_one_record(training, prepared):
    rows = rows_of(collect(training(words_num=9).whole_batches(), 7))
    for image, ids, class_id, length in zip(
        rows["images_32"],
        rows["token_ids"],
        rows["class_id"],
        rows["lengths"],
        strict=True,
    ):
        number, _ = named_by(prepared[2], ids)
        blue = (image[:, :, 2] + 1) * 127.5
        np.testing.assert_allclose(blue, 10 * number, atol=1e-3)
        assert class_id == number // 2
        assert length == 5
        assert not ids[5:].any()


def test_a_resumed_run_has_the_batches_of_an_uninterrupted_one(
    training, first_batches
):
    resumed = collect(training().whole_batches(4), 2)
    assert_equal(resumed, first_batches[4:])


@pytest.mark.parametrize(
    "slices",
    [
        [Slice(0, 4, 2)],  # one worker of two replicas
        [Slice(0, 2, 2), Slice(2, 2, 2)],  # two workers of one
        [Slice(0, 2, 1), Slice(2, 2, 1)],  # two workers of two
    ],
)
def test_replicas_split_the_rows_of_a_batch(training, first_batches, slices):
    per_worker = [
        collect(training().batches(2, s), 3 * s.rows // s.rows_per_replica)
        for s in slices
    ]
    for step, expected in enumerate(first_batches[2:5]):
        found = []
        for s, batches in zip(slices, per_worker, strict=True):
            each = s.rows // s.rows_per_replica
            found += batches[step * each : (step + 1) * each]
        assert_equal([rows_of(found)], [expected])


@pytest.mark.parametrize("count", [1, 3, 400])
def test_every_epoch_is_another_order_of_all_records(count):
    def epochs(seed):
        data = TrainingData(
            records=range(count),  # only its length is used
            vocabulary=None,
            **OPTIONS | {"seed": seed},
        )
        numbers = tf.data.Dataset.range(3 * count).map(data.index)
        return np.reshape(list(numbers.as_numpy_iterator()), (3, count))

    orders = [np.arange(count), *epochs(3), *epochs(4)]
    for i, order in enumerate(orders):
        assert sorted(order) == list(range(count))
        for other in orders[:i] if count == 400 else []:
            # Random orders agree at one position or so.
            assert (order == other).sum() <= 8
            # Neighbours in the data do not stay neighbours.
            assert (np.abs(np.diff(order)) == 1).mean() < 0.2


@pytest.fixture(scope="module")
def many_rows(training):
    """120 epochs without images."""
    options = {"words_num": 9, "views": 3, "z_size": 50, "condition_size": 50}
    options |= {"dropout_size": 20, "augmentation_draws": 20}
    return rows_of(collect(training(**options).whole_batches(), 210))


def test_every_caption_is_chosen_about_as_often(many_rows, prepared):
    counts = np.zeros((COUNT, 3), int)
    for ids in many_rows["token_ids"]:
        counts[named_by(prepared[2], ids)] += 1
    assert (counts.sum(axis=1) == 120).all()
    # 40 expected, standard deviation 5.2.
    assert counts.min() > 17
    assert counts.max() < 63


def test_noise_is_standard_normal_and_seeded(training, many_rows):
    z, eps = many_rows["z"][:240], many_rows["eps"][:240]
    data = training(views=1, z_size=50, condition_size=50, seed=4)
    other = rows_of(collect(data.whole_batches(), 60))["z"]
    for values in (z, eps, other):
        assert values.mean() == pytest.approx(0.0, abs=0.05)
        assert values.std() == pytest.approx(1.0, abs=0.05)
        assert len(np.unique(values)) > 0.99 * values.size
    for values in (eps, other):
        assert abs(np.mean(values * z)) < 0.05


def test_views_are_numbers_instead_of_images(many_rows, prepared):
    assert not [name for name in many_rows if name.startswith("images")]
    assert set(np.unique(many_rows["view"])) == {0, 1, 2}
    rows = [prepared[0].row(i) for i in range(COUNT)]
    for ids, index in zip(
        many_rows["token_ids"], many_rows["index"], strict=True
    ):
        number, _ = named_by(prepared[2], ids)
        assert rows[index]["captions"][0].startswith(b"p%d " % number)


def test_steps_and_epochs(training):
    data = training()
    assert data.steps_per_epoch == 7 / 4
    assert [data.steps(n) for n in (0, 1, 2, 4)] == [0, 1, 3, 7]
    assert [data.epoch(n) for n in (0, 1, 2, 3, 4, 7)] == [0, 0, 1, 1, 2, 4]


def test_class_ids_of_all_records(prepared):
    train = prepared[0]
    rows = [int(train.row(i)["class_id"]) for i in range(COUNT)]
    assert train.class_ids().tolist() == rows


def test_centre_views_come_once_and_in_order(prepared):
    test = prepared[1]
    numbers = [int(test.row(i)["name"].decode()[-1]) for i in range(3)]
    assert sorted(numbers) == [7, 8, 9]

    def blues(**options):
        batches = views.centre_views(test, (8, 16), 2, **options)
        return [
            np.rint((batch["images_16"][:, 0, 0, 2] + 1) * 12.75).tolist()
            for batch in collect(batches, 9)
        ]

    assert blues() == [numbers[:2], numbers[2:]]
    assert blues(indices=[2, 0]) == [[numbers[2], numbers[0]]]


def test_cached_views_can_be_resumed(prepared):
    def cached(seed, first=0):
        batches = views.cached_views(prepared[0], 16, 3, seed, 4, first)
        return list(batches.as_numpy_iterator())

    whole = cached(5)
    assert [len(batch) for batch in whole] == [4, 4, 4, 4, 4, 1]
    for found, expected in zip(cached(5, 2), whole[2:], strict=True):
        np.testing.assert_array_equal(found, expected)
    rows = np.concatenate(whole)
    # Image by image: blue is of the image, red and green of the view.
    blues = np.rint((rows[:, 0, 0, 2] + 1) * 12.75)
    assert (blues[::3] == blues.reshape(COUNT, 3).T).all()
    assert len({row[:, :, :2].tobytes() for row in rows}) >= 18
    assert not np.array_equal(cached(6)[0], whole[0])
