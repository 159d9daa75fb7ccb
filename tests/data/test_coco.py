"""COCO: as unpacked, and as TFDS prepares it."""

import json

import numpy as np
import pytest
import tensorflow_datasets as tfds

from attngan_tf.data.findings import Findings
from attngan_tf.data.records import Report
from attngan_tf.errors import UserError
from tests.data import helpers
from tests.data.helpers import check_faults, image_bytes, records

IDS = {"train2014": [9, 25, 30], "val2014": [42, 73, 74]}
SPLITS = {"train": [9, 25, 30], "val": [42], "test": [73], "restval": [74]}


def file_name(year, number):
    return f"COCO_{year}_{number:012d}.jpg"


class CocoFolder(helpers.Files):
    """A small COCO 2014, as its archives unpack."""

    def __init__(self, root):
        super().__init__(root)
        self.captions = {}
        for year, numbers in IDS.items():
            self.captions[year] = self._annotations(year, numbers)
            for number in numbers:
                path = f"{year}/{file_name(year, number)}"
                self.write(path, image_bytes(seed=number))
        self.write_annotations()

    def _annotations(self, year, numbers):
        images = [
            {"file_name": file_name(year, n), "height": 30, "id": n}
            for n in numbers
        ]
        # As in the real file, captions of an image are not adjacent.
        annotations = [
            {"image_id": n, "id": 100 * n + i, "caption": f"{i} of {n}."}
            for i in range(5)
            for n in reversed(numbers)
        ]
        return {"info": {}, "images": images, "annotations": annotations}

    def write_annotations(self):
        for year, content in self.captions.items():
            path = f"annotations/captions_{year}.json"
            self.write(path, json.dumps(content))


class CocoCaptions(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Records in the form of TFDS's own coco_captions."""

    name = "coco_captions"
    VERSION = tfds.core.Version("1.1.0")
    numbers = SPLITS

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(encoding_format="jpeg"),
                    "image/filename": tfds.features.Text(),
                    "image/id": np.int64,
                    "captions": tfds.features.Sequence(
                        {"text": np.str_, "id": np.int64}
                    ),
                }
            ),
        )

    def _split_generators(self, dl_manager):
        return {
            split: self._generate_examples(split, numbers)
            for split, numbers in self.numbers.items()
        }

    def _generate_examples(self, split, numbers):
        year = "train2014" if split == "train" else "val2014"
        for number in numbers:
            yield (
                number,
                {
                    "image": image_bytes(seed=number),
                    "image/filename": file_name(year, number),
                    "image/id": number,
                    "captions": [
                        {"text": f"{i}\nof {number} ", "id": i}
                        for i in range(5)
                    ],
                },
            )


@pytest.fixture
def coco_folder(tmp_path):
    return CocoFolder(tmp_path / "raw")


@pytest.fixture
def prepare(tmp_path):
    return helpers.Preparation("coco", tmp_path / "prepared")


def make_tfds(root, numbers, shards=None):
    """Prepares coco_captions below a folder."""
    config = tfds.core.BuilderConfig(name="2014")
    builder = CocoCaptions(data_dir=str(root), config=config)
    builder.numbers = numbers
    download = tfds.download.DownloadConfig(num_shards=shards)
    builder.download_and_prepare(download_config=download)
    return root


@pytest.fixture(scope="module")
def tfds_folder(tmp_path_factory):
    return make_tfds(tmp_path_factory.mktemp("tfds"), SPLITS)


def check_records(builder):
    """Everything was prepared, as it was."""
    train, test = records(builder, "train"), records(builder, "test")
    assert len(train) == len(test) == 3
    for name, record in {**train, **test}.items():
        number = int(name[-12:])
        assert name in (file_name(year, number)[:-4] for year in IDS)
        assert record["image"] == image_bytes(seed=number)
        assert record["crop"].tolist() == [0, 0, 0, 0]
        assert [text.decode().rstrip(".") for text in record["captions"]] == [
            f"{i} of {number}" for i in range(5)
        ]
    ids = [int(r["class_id"]) for r in {**train, **test}.values()]
    assert sorted(ids) == [0, 1, 2, 3, 4, 5]
    assert max(int(record["class_id"]) for record in train.values()) == 2


@pytest.mark.parametrize("inner", ["", "images/"])
def test_unpacked_folder(coco_folder, prepare, inner):
    for year in IDS:
        target = coco_folder.root / f"{inner}{year}"
        target.parent.mkdir(exist_ok=True)
        (coco_folder.root / year).rename(target)
    coco_folder.write(f"{inner}train2014/unlisted.jpg", "never read")
    builder, report = prepare(coco_folder.root)
    check_records(builder)
    assert report.pictures == {"train": 3, "test": 3}
    assert report.captions == {"train": 15, "test": 15}
    assert report.notes == {
        "images in no list": [f"{inner}train2014/unlisted.jpg"]
    }


@pytest.mark.parametrize("named", ["", "coco_captions/2014/1.1.0"])
def test_tfds_records(tfds_folder, prepare, named):
    builder, report = prepare(tfds_folder / named)
    check_records(builder)
    assert report.pictures == {"train": 3, "test": 3}


def entries(prepare, folder, workers=None):
    builder = prepare.open(folder)
    builder.workers = workers
    return builder.entries(Findings(Report()))


def test_tfds_records_are_read_in_the_order_of_tfds(tmp_path, prepare):
    """Class ids, which are written, count the records in this order."""
    make_tfds(tmp_path, dict.fromkeys(SPLITS, range(100)), shards=20)
    found = entries(prepare, tmp_path)
    folder = tmp_path / "coco_captions/2014/1.1.0"
    builder = tfds.builder_from_directory(folder)
    expected = [
        record["image/filename"].decode()[:-4]
        for record in tfds.as_numpy(builder.as_dataset(split="train"))
    ]
    assert expected != sorted(expected)
    for _ in range(2):
        assert [entry.name for entry in found["train"]] == expected
        ids = [entry.class_id for entry in found["train"]]
        assert ids == list(range(100))
    assert next(iter(found["test"])).class_id == 100


def test_beam_is_for_images_in_files(tfds_folder, prepare):
    with pytest.raises(UserError, match="--beam_options is for images in file"):
        entries(prepare, tfds_folder, workers=object())


def test_faults_of_tfds_records(tmp_path, prepare):
    folder = make_tfds(tmp_path / "tfds", SPLITS | {"restval": [73]})
    where = "coco_captions {} " + file_name("val2014", 73)
    few = "must hold 6 captions (--captions_per_image); found 5"
    faults = prepare.faults(folder, captions=6)
    assert f"{where.format('test')}: {few}" in faults
    twice = where.format("restval") + ": an image must be listed once; this one"
    assert sum(fault.startswith(twice) for fault in faults) == 1
    assert len(faults) == 7  # each once, although records are read twice


@pytest.mark.parametrize("damage", ["damaged", "missing"])
def test_damaged_tfds_records_are_a_fault(tmp_path, prepare, damage):
    folder = make_tfds(tmp_path / "tfds", SPLITS)
    (shard,) = folder.rglob("*-val.tfrecord*")
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 255
    shard.write_bytes(data)
    if damage == "missing":
        shard.unlink()
    (fault,) = prepare.faults(folder)
    assert fault.startswith("coco_captions val: must be complete TFRecords; ")


def test_all_faults_are_listed_at_once(coco_folder, prepare):
    train, val = (coco_folder.captions[year] for year in IDS)
    train["annotations"].pop()
    both = file_name("train2014", 30)
    val["images"].append({"file_name": both, "id": 30})
    coco_folder.write_annotations()
    (coco_folder.root / "train2014" / file_name("train2014", 25)).unlink()
    coco_folder.write(f"val2014/{file_name('val2014', 42)}", b"")
    few = "must hold 5 captions (--captions_per_image); found"
    check_faults(
        prepare.faults(coco_folder.root),
        [
            f"train2014/{file_name('train2014', 9)}: {few} 4",
            f"val2014/{both}: {few} none",
            f"val2014/{both}: an image must be listed once; this one is in tr",
            f"train2014/{file_name('train2014', 25)}: cannot be read: No such",
            f"val2014/{both}: cannot be read: No such",
            f"val2014/{file_name('val2014', 42)}: empty file (zero bytes)",
        ],
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"{", "JSONDecodeError"),
        (b"[" * 100000, "RecursionError"),
        (b'{"images": []}', "KeyError: 'annotations'"),
        (b'{"images": [7], "annotations": []}', "TypeError"),
        (b'{"images": "\xff"}', "UnicodeDecodeError"),
    ],
)
def test_annotations_of_another_form(coco_folder, prepare, content, reason):
    file = "annotations/captions_val2014.json"
    coco_folder.write(file, content)
    (fault,) = prepare.faults(coco_folder.root)
    assert fault.startswith(f"{file}: must be JSON of images with id and")
    assert f"; reading it failed: {reason}" in fault


def test_a_lone_surrogate_is_a_fault(coco_folder, prepare):
    coco_folder.captions["val2014"]["annotations"][0]["caption"] = "\ud83d a"
    coco_folder.write_annotations()
    (fault,) = prepare.faults(coco_folder.root)
    assert "surrogates not allowed" in fault


def test_missing_parts_are_named(coco_folder, prepare):
    (coco_folder.root / "val2014").rename(coco_folder.root / "val2017")
    with pytest.raises(UserError, match=r"lacks val2014$"):
        prepare(coco_folder.root)
