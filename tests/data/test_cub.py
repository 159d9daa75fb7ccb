"""CUB: every released layout, its boxes, and its faults."""

import os
import pickle
import shutil
import tarfile

import numpy as np
import pytest
from PIL import Image

from attngan_tf.data import raw
from attngan_tf.errors import UserError
from tests.data import helpers
from tests.data.helpers import check_faults, contents, image_bytes, records

CLASSES = {
    "001.Black_footed_Albatross": "test",
    "002.Laysan_Albatross": "train",
    "004.Groove_billed_Ani": "train",
}
SIZES = [(50, 40), (40, 50), (31, 32)]
# x, y, width, height; in the middle, at edges, a pixel outside, fractions.
BOXES = [
    (10.0, 5.0, 20.0, 11.0),
    (0.0, 0.0, 40.0, 50.0),
    (20.0, 9.0, 12.0, 13.0),
    (1.0, 30.0, 8.0, 10.0),
    (30.7, 2.9, 7.9, 3.0),
    (3.0, 3.0, 25.0, 26.0),
]


class CubFolder(helpers.Files):
    """A small CUB: two images a class, in the folders as downloaded."""

    def __init__(self, root):
        super().__init__(root)
        self.names, self.boxes = [], {}
        for label in CLASSES:
            for i in range(2):
                self._add(f"{label}/{label[4:]}_000{i}_{len(self.names)}")
        for split in ("train", "test"):
            names = [n for n in self.names if CLASSES[n.split("/")[0]] == split]
            self.pickle(f"{split}/filenames.pickle", names)
            ids = [int(name[:3]) for name in names]
            self.pickle(f"{split}/class_info.pickle", ids)
        self.write_tables()

    def _add(self, name):
        number = len(self.names)
        self.boxes[name] = BOXES[number]
        self.names.append(name)
        lines = [f"caption {i} of {name}" for i in range(10)]
        self.write(f"text/{name}.txt", "\n".join(lines) + "\n")
        image = image_bytes(size=SIZES[number % 3], seed=number)
        self.write(f"CUB_200_2011/images/{name}.jpg", image)

    def pickle(self, path, content):
        self.write(path, pickle.dumps(content, protocol=2))

    def write_tables(self):
        images, boxes = [], []
        for number, name in enumerate(self.names, start=1):
            images.append(f"{number} {name}.jpg\n")
            boxes.append("{} {} {} {} {}\n".format(number, *self.boxes[name]))
        self.write("CUB_200_2011/images.txt", "".join(images))
        self.write("CUB_200_2011/bounding_boxes.txt", "".join(boxes))


@pytest.fixture
def cub_folder(tmp_path):
    return CubFolder(tmp_path / "raw")


@pytest.fixture
def prepare(tmp_path):
    return helpers.Preparation("cub", tmp_path / "prepared")


def expected_crop(box, size):
    """Bounds of the pixels nearer to the box's centre than its radius."""
    x, y, w, h = np.trunc(box)
    radius = np.floor(max(w, h) * 3 / 4)
    columns = np.arange(size[0]) - np.floor(x + w / 2)
    rows = np.arange(size[1]) - np.floor(y + h / 2)
    (columns,) = np.nonzero((columns >= -radius) & (columns < radius))
    (rows,) = np.nonzero((rows >= -radius) & (rows < radius))
    return [rows[0], columns[0], len(rows), len(columns)]


def test_released_layout(cub_folder, prepare):
    builder, report = prepare(cub_folder.root)
    assert report.pictures == {"train": 4, "test": 2}
    assert report.captions == {"train": 40, "test": 20}
    found = records(builder)
    assert sorted(found) == cub_folder.names
    images = cub_folder.root / "CUB_200_2011/images"
    for name, record in found.items():
        assert record["image"] == (images / f"{name}.jpg").read_bytes()
        assert record["class_id"] == int(name[:3])
        assert record["captions"][3].decode() == f"caption 3 of {name}"
        size = SIZES[cub_folder.names.index(name) % 3]
        crop = expected_crop(cub_folder.boxes[name], size)
        assert record["crop"].tolist() == crop
    assert report.notes == {}


def test_crop_of_the_released_code_by_hand():
    # r = int(0.75 * 325) = 243; centre 222, 179; image 500 x 335.
    crop = raw.crop_around((60.0, 27.0, 325.0, 304.0), 500, 335)
    assert crop == (0, 0, 335, 465)


def test_split_by_classes(cub_folder, prepare):
    for split in ("train", "test"):
        shutil.rmtree(cub_folder.root / split)
    cub_folder.write(
        "trainvalclasses.txt", "002.Laysan_Albatross\r\n004.Groove_billed_Ani"
    )
    cub_folder.write("testclasses.txt", "001.Black_footed_Albatross\n")
    builder, _ = prepare(cub_folder.root)
    train = records(builder, "train")
    assert sorted(train) == cub_folder.names[2:]
    assert sorted(records(builder, "test")) == cub_folder.names[:2]
    assert {record["class_id"] for record in train.values()} == {2, 4}


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("text_c10", "."),
        ("CUB_200_2011/text_c10", "CUB_200_2011"),
        ("text", "CUB_200_2011"),
        ("birds/text", "."),
    ],
)
def test_locations_of_captions(cub_folder, prepare, text, source):
    root = cub_folder.root
    if text.startswith("birds"):  # the released layout, one folder higher
        root.rename(root.with_name("birds"))
        root.mkdir()
        root.with_name("birds").rename(root / "birds")
    elif text != "text":
        (root / "text").rename(root / text)
    _, report = prepare(root / source)
    assert report.captions == {"train": 40, "test": 20}


def test_archive_as_downloaded(cub_folder, prepare):
    root, archive = cub_folder.root, cub_folder.root / "CUB_200_2011.tgz"
    with tarfile.open(archive, "w:gz") as file:
        file.add(root / "CUB_200_2011", "CUB_200_2011")
        file.add(root / "text", "../escaped")
        file.add(root / "text", "CUB_200_2011/../../escaped")
    unpacked = contents(prepare(root)[0])
    shutil.rmtree(root / "CUB_200_2011")
    for source in (archive, root):
        builder, _ = prepare(source)
        assert contents(builder) == unpacked
    left = [path.name for path in prepare.prepared.rglob("*")]
    assert not {"escaped", "unpacked"} & set(left)


def test_a_truncated_archive_is_a_user_error(cub_folder, prepare):
    archive = cub_folder.root / "CUB_200_2011.tgz"
    with tarfile.open(archive, "w:gz") as file:
        file.add(cub_folder.root / "CUB_200_2011", "CUB_200_2011")
    os.truncate(archive, archive.stat().st_size // 2)
    with pytest.raises(UserError, match=r"\.tgz must be a complete archive"):
        prepare(archive)
    assert helpers.files_below(prepare.prepared) == []


def test_all_faults_are_listed_at_once(cub_folder, prepare):
    names = cub_folder.names
    cub_folder.boxes[names[0]] = (45.0, 5.0, 20.0, 10.0)  # 15 pixels outside
    cub_folder.boxes[names[1]] = (5.0, 5.0, 1.0, 1.0)  # its crop has no pixel
    cub_folder.boxes[names[2]] = (5.0, float("nan"), 9.0, 10.0)
    cub_folder.boxes[names[3]] = (5.0, "five", 9.0, 10.0)
    cub_folder.write_tables()
    cub_folder.append("CUB_200_2011/images.txt", "9 010.Other/bird.jpg\n")
    cub_folder.append("CUB_200_2011/images.txt", "10 ../bird.jpg\n")
    cub_folder.write(f"text/{names[1]}.txt", "one\ntwo\n")
    (cub_folder.root / f"text/{names[4]}.txt").unlink()
    cub_folder.write(f"CUB_200_2011/images/{names[5]}.jpg", b"")
    listed = "train/filenames.pickle"
    cub_folder.pickle(listed, [*names[2:], names[0]])
    cub_folder.pickle("train/class_info.pickle", [2, 2, 4, 4, 1])
    check_faults(
        prepare.faults(cub_folder.root),
        [
            "bounding_boxes.txt: must hold 4 numbers for image 3; found 5.0 na",
            "bounding_boxes.txt: must hold 4 numbers for image 4; found 5.0 fi",
            "bounding_boxes.txt: must hold 4 numbers for image 9; found none",
            "images.txt 10: a name must be a path below its folder; found ../b",
            f"{listed}: must name images with a box; found {names[2]}",
            f"{listed}: must name images with a box; found {names[3]}",
            f"images/{names[0]}.jpg: an image must be listed once; this one is",
            f"text/{names[1]}.txt: must hold 10 captions "
            "(--captions_per_image); found 2",
            f"text/{names[4]}.txt: must be a text file: No such file",
            f"images/{names[0]}.jpg: its bounding box must lie in the 50 x 40",
            f"images/{names[1]}.jpg: its bounding box must lie in the 40 x 50",
            f"images/{names[5]}.jpg: empty file (zero bytes)",
        ],
    )


def test_images_in_no_split_are_noted(cub_folder, prepare):
    cub_folder.pickle("train/filenames.pickle", cub_folder.names[3:])
    cub_folder.pickle("train/class_info.pickle", [2, 4, 4])
    _, report = prepare(cub_folder.root)
    assert report.pictures == {"train": 3, "test": 2}
    assert report.notes["images in no split"] == [cub_folder.names[2]]


def test_invalid_pickles_are_a_fault(cub_folder, prepare):
    cub_folder.write("train/class_info.pickle", b"")
    cub_folder.pickle("test/filenames.pickle", {"a": 1})
    check_faults(
        prepare.faults(cub_folder.root),
        [
            "train/class_info.pickle: not a complete pickle: ",
            "test/filenames.pickle: must be a list of names; received {'a': 1}",
        ],
    )


def test_boxes_are_those_of_the_upright_image(cub_folder, prepare):
    name, exif = cub_folder.names[0], Image.Exif()
    exif[0x0112] = 6  # 40 x 60 pixels are shown as 60 x 40
    image = image_bytes(size=(40, 60), exif=exif)
    cub_folder.write(f"CUB_200_2011/images/{name}.jpg", image)
    cub_folder.boxes[name] = (45.0, 5.0, 14.0, 10.0)
    cub_folder.write_tables()
    builder, report = prepare(cub_folder.root)
    crop = records(builder)[name]["crop"].tolist()
    assert crop == expected_crop((45, 5, 14, 10), (60, 40))
    kind = "converted to PNG: rotated (EXIF orientation)"
    assert report.notes[kind] == [f"images/{name}.jpg"]


def test_all_missing_parts_are_named_at_once(cub_folder, prepare):
    for part in ("CUB_200_2011", "text", "test"):
        shutil.rmtree(cub_folder.root / part)
    with pytest.raises(UserError) as raised:
        prepare(cub_folder.root)
    message = str(raised.value)
    for part in ("CUB_200_2011.tgz", "captions of Reed", "150 and 50 classes"):
        assert part in message
    assert "\n" not in message
