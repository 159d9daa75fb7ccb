"""COCO: as unpacked, and as TFDS prepares it."""

import json

import numpy as np
import pytest
import tensorflow_datasets as tfds

from attngan_tf.data import catalog
from attngan_tf.data.raw import FaultsError
from attngan_tf.errors import UserError

IDS = {"train2014": [9, 25, 30], "val2014": [42, 73, 74]}


def file_name(year, number):
    return f"COCO_{year}_{number:012d}.jpg"


class CocoFolder:
    """COCO 2014 in small, as its archives unpack."""

    def __init__(self, root, make_image):
        self.root, self.images, self.captions = root, {}, {}
        for year, numbers in IDS.items():
            self.captions[year] = self._annotations(year, numbers)
            (root / year).mkdir(parents=True)
            for number in numbers:
                file = file_name(year, number)
                self.images[file] = make_image(seed=number)
                (root / year / file).write_bytes(self.images[file])
        self.write()

    def _annotations(self, year, numbers):
        images = [
            {
                "license": 5,
                "file_name": file_name(year, number),
                "coco_url": f"http://images.cocodataset.org/{year}/x.jpg",
                "height": 30,
                "width": 40,
                "date_captured": "2013-11-14 16:28:13",
                "id": number,
            }
            for number in numbers
        ]
        # As in the real file, captions of one picture do not stand together.
        annotations = [
            {
                "image_id": number,
                "id": 100 * number + i,
                "caption": f"A thing {i} of {number}.",
            }
            for i in range(5)
            for number in reversed(numbers)
        ]
        info = {"year": 2014, "version": "1.0"}
        return {
            "info": info,
            "images": images,
            "licenses": [],
            "annotations": annotations,
        }

    def write(self):
        (self.root / "annotations").mkdir(exist_ok=True)
        for year, content in self.captions.items():
            path = self.root / f"annotations/captions_{year}.json"
            path.write_text(json.dumps(content))


class CocoCaptions(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Records of the form of TFDS's own coco_captions."""

    name = "coco_captions"
    VERSION = tfds.core.Version("1.1.0")
    numbers = None
    make_image = None

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(encoding_format="jpeg"),
                    "image/filename": tfds.features.Text(),
                    "image/id": np.int64,
                    "objects": tfds.features.Sequence(
                        {"bbox": tfds.features.BBoxFeature()}
                    ),
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
        box = tfds.features.BBox(0.0, 0.0, 0.5, 0.5)
        for number in numbers:
            yield (
                number,
                {
                    "image": type(self).make_image(seed=number),
                    "image/filename": file_name(year, number),
                    "image/id": number,
                    "objects": [{"bbox": box}] * 2,
                    "captions": [
                        {"text": f"A thing {i}\nof {number} ", "id": i}
                        for i in range(5)
                    ],
                },
            )


@pytest.fixture
def coco_folder(tmp_path, make_image):
    return CocoFolder(tmp_path / "raw", make_image)


@pytest.fixture
def tfds_folder(tmp_path, make_image):
    def prepare(numbers):
        CocoCaptions.numbers = numbers
        CocoCaptions.make_image = staticmethod(make_image)
        config = tfds.core.BuilderConfig(name="2014")
        folder = str(tmp_path / "tfds")
        CocoCaptions(data_dir=folder, config=config).download_and_prepare()
        return tmp_path / "tfds"

    return prepare


def prepare(source, tmp_path, captions=0):
    prepared = tmp_path / "prepared"
    builder = catalog.open_builder("coco", str(source), str(prepared), captions)
    return builder, catalog.prepare(builder)


def records(builder, split):
    source = builder.as_data_source(
        split, decoders={"image": tfds.decode.SkipDecoding()}
    )
    return {record["name"].decode(): record for record in source}


def check_records(builder, images):
    """Everything that was prepared is there, as it was."""
    train, test = records(builder, "train"), records(builder, "test")
    everything = {**train, **test}
    assert len(train) == 3
    assert len(test) == 3
    for file, image in images.items():
        record = everything[file.removesuffix(".jpg")]
        assert record["image"] == image
        assert record["crop"].tolist() == [0, 0, 0, 0]
        number = int(file[-16:-4])
        assert [text.decode().rstrip(".") for text in record["captions"]] == [
            f"A thing {i} of {number}" for i in range(5)
        ]
    ids = [int(record["class_id"]) for record in everything.values()]
    assert sorted(ids) == [0, 1, 2, 3, 4, 5]
    assert max(int(r["class_id"]) for r in train.values()) == 2


@pytest.mark.parametrize("inner", ["", "images/"])
def test_unpacked_folder(coco_folder, tmp_path, inner):
    for year in IDS:
        target = coco_folder.root / f"{inner}{year}"
        target.parent.mkdir(exist_ok=True)
        (coco_folder.root / year).rename(target)
    builder, report = prepare(coco_folder.root, tmp_path)
    check_records(builder, coco_folder.images)
    assert report.pictures == {"train": 3, "test": 3}
    assert report.captions == {"train": 15, "test": 15}


@pytest.mark.parametrize(
    "named", ["", "coco_captions", "coco_captions/2014/1.1.0"]
)
def test_tfds_records(tfds_folder, coco_folder, tmp_path, named):
    folder = tfds_folder(
        {"train": [9, 25, 30], "val": [42], "test": [73], "restval": [74]}
    )
    builder, report = prepare(folder / named, tmp_path)
    check_records(builder, coco_folder.images)
    assert report.pictures == {"train": 3, "test": 3}


def test_tfds_records_have_faults_once(tfds_folder, tmp_path):
    folder = tfds_folder(
        {"train": [9], "val": [42], "test": [73], "restval": [73]}
    )
    with pytest.raises(FaultsError) as error:
        prepare(folder, tmp_path, captions=6)
    places = [
        f"coco_captions {split} {file_name(year, number)}"
        for split, year, number in (
            ("train", "train2014", 9),
            ("val", "val2014", 42),
            ("test", "val2014", 73),
            ("restval", "val2014", 73),
        )
    ]
    assert sorted(error.value.faults) == sorted(
        [
            *(
                f"{place}: must hold 6 captions (--captions_per_image); found 5"
                for place in places
            ),
            f"{places[-1]}: a picture must stand once",
        ]
    )


def test_a_picture_in_both_splits_is_found(coco_folder, tmp_path):
    both = file_name("train2014", 9)
    (coco_folder.root / "val2014" / both).write_bytes(coco_folder.images[both])
    val = coco_folder.captions["val2014"]
    val["images"].append({"file_name": both, "id": 9})
    val["annotations"] += [
        {"image_id": 9, "id": i, "caption": f"A thing {i}."} for i in range(5)
    ]
    coco_folder.write()
    with pytest.raises(FaultsError) as error:
        prepare(coco_folder.root, tmp_path)
    (fault,) = error.value.faults
    assert fault.startswith(f"{both[:-4]}: a picture must be in one split")


def test_pictures_in_no_list_are_noted(coco_folder, tmp_path):
    extra = coco_folder.root / "train2014" / "unlisted.jpg"
    extra.write_bytes(b"never read")
    _, report = prepare(coco_folder.root, tmp_path)
    assert report.notes == {"pictures in no list": ["train2014/unlisted.jpg"]}


def test_half_a_surrogate_pair_is_a_fault(coco_folder, tmp_path):
    annotation = coco_folder.captions["val2014"]["annotations"][0]
    annotation["caption"] = "half of it \ud83d"
    coco_folder.write()
    with pytest.raises(FaultsError) as error:
        prepare(coco_folder.root, tmp_path)
    fault = error.value.faults[0]
    assert fault.startswith("annotations/captions_val2014.json annotation ")
    assert "UTF-8; found half a surrogate pair, U+D83D" in fault


def test_an_annotation_file_that_is_a_folder_is_a_fault(coco_folder, tmp_path):
    path = coco_folder.root / "annotations" / "captions_val2014.json"
    path.unlink()
    path.mkdir()
    with pytest.raises(FaultsError) as error:
        prepare(coco_folder.root, tmp_path)
    assert "must be a file to read; Is a directory" in error.value.faults[0]


@pytest.mark.parametrize("content", ["", "[]", '{"a": 1}', '{"name": '])
def test_a_damaged_tfds_description_is_named(tfds_folder, tmp_path, content):
    folder = tfds_folder(
        {"train": [9], "val": [42], "test": [73], "restval": [74]}
    )
    (info,) = folder.rglob("dataset_info.json")
    info.write_text(content)
    with pytest.raises(UserError, match=r"dataset_info\.json must be a desc"):
        prepare(folder, tmp_path)


@pytest.mark.parametrize("form", ["pythonClassName", "type", "json"])
def test_features_of_strangers_are_not_imported(
    tfds_folder, tmp_path, monkeypatch, form
):
    """TFDS imports the module of any class that features.json names."""
    folder = tfds_folder(
        {"train": [9], "val": [42], "test": [73], "restval": [74]}
    )
    marker = tmp_path / "marker"
    module = f"open({str(marker)!r}, 'w').close()\n"
    (tmp_path / f"strange_{form}.py").write_text(module)
    monkeypatch.syspath_prepend(tmp_path)
    (path,) = folder.rglob("features.json")
    content = json.loads(path.read_text())
    strange = {"type": f"strange_{form}.Feature", "content": {}}
    if form == "pythonClassName":
        content[form] = strange["type"]
    elif form == "type":
        content = strange
    else:
        place = content["featuresDict"]["features"]["captions"]
        place["json"] = {"json": json.dumps({"feature": strange})}
    path.write_text(json.dumps(content))
    with pytest.raises(UserError) as raised:
        prepare(folder, tmp_path)
    assert str(raised.value).startswith(
        f"{path} must name features of tensorflow_datasets; received "
        f"strange_{form}.Feature"
    )
    assert not marker.exists()


def test_damaged_tfds_records_are_a_fault(tfds_folder, tmp_path):
    folder = tfds_folder(
        {"train": [9], "val": [42], "test": [73], "restval": [74]}
    )
    (shard,) = folder.rglob("*-val.tfrecord*")
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 255
    shard.write_bytes(data)
    with pytest.raises(FaultsError) as error:
        prepare(folder, tmp_path)
    (fault,) = error.value.faults
    assert fault.startswith("coco_captions val: must be whole TFRecords; ")


def test_tfds_splits_must_be_there(tfds_folder, tmp_path):
    folder = tfds_folder({"train": [9], "val": [42]})
    with pytest.raises(FaultsError) as error:
        prepare(folder, tmp_path)
    assert [fault.split(": ")[1] for fault in error.value.faults] == [
        "must have a split restval; found none",
        "must have a split test; found none",
    ]


def test_every_fault_is_found_in_one_run(coco_folder, tmp_path):
    root, train = coco_folder.root, coco_folder.captions["train2014"]
    train["annotations"].pop()
    train["annotations"].append(
        {"image_id": 77, "id": 1, "caption": "of no picture"}
    )
    train["images"].append(dict(train["images"][0]))
    val = coco_folder.captions["val2014"]
    for annotation in val["annotations"]:
        annotation["caption"] = "..."
    val["annotations"] = val["annotations"][::2]
    coco_folder.write()
    (root / "train2014" / file_name("train2014", 25)).unlink()
    (root / "val2014" / file_name("val2014", 42)).write_bytes(b"")
    with pytest.raises(FaultsError) as error:
        prepare(root, tmp_path)
    path = "annotations/captions_train2014.json"
    assert sorted(error.value.faults) == sorted(
        [
            f"{path}: image 9 must stand once",
            f"{path} annotation 1: must be of a listed image; found image_id "
            "77",
            f"train2014/{file_name('train2014', 9)}: must hold 5 captions "
            "(--captions_per_image); found 4",
            f"val2014/{file_name('val2014', 42)}: must hold 5 captions "
            "(--captions_per_image); found none",
            f"val2014/{file_name('val2014', 73)}: must hold 5 captions "
            "(--captions_per_image); found none",
            f"val2014/{file_name('val2014', 74)}: must hold 5 captions "
            "(--captions_per_image); found none",
            f"train2014/{file_name('train2014', 25)}: cannot be read: No such "
            "file or directory",
            f"val2014/{file_name('val2014', 42)}: empty file (zero bytes)",
        ]
    )


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"{", "must be JSON"),
        (b'{"images": [{"id": 1}], "annotations": []}', "another form"),
        (b"[]", "another form"),
        (b'{"images": "\xff"}', "must be UTF-8"),
    ],
)
def test_annotations_of_another_form(coco_folder, tmp_path, content, fault):
    path = coco_folder.root / "annotations/captions_val2014.json"
    path.write_bytes(content)
    with pytest.raises(FaultsError, match=fault):
        prepare(coco_folder.root, tmp_path)


def test_missing_parts_are_named(coco_folder, tmp_path):
    (coco_folder.root / "val2014").rename(coco_folder.root / "val2017")
    with pytest.raises(UserError, match=r"lacks val2014$"):
        prepare(coco_folder.root, tmp_path)
