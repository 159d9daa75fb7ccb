"""CUB: every released layout, its boxes, and its faults."""

import os
import pickle
import shutil
import tarfile

import numpy as np
import pytest
import tensorflow_datasets as tfds

from attngan_tf.data import catalog, cub
from attngan_tf.data.raw import FaultsError
from attngan_tf.errors import UserError

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


class CubFolder:
    """CUB in small: two pictures a class, in the folders as downloaded."""

    def __init__(self, root, make_image):
        self.root, self.names, self.boxes = root, [], {}
        (root / "CUB_200_2011").mkdir(parents=True)
        for label in CLASSES:
            for i in range(2):
                self._add(f"{label}/{label[4:]}_000{i}_{len(self.names)}")
        for split in ("train", "test"):
            names = [n for n in self.names if CLASSES[n.split("/")[0]] == split]
            ids = [int(name[:3]) for name in names]
            self.pickle(f"{split}/filenames.pickle", names)
            self.pickle(f"{split}/class_info.pickle", ids)
        for i, name in enumerate(self.names):
            image = make_image(size=SIZES[i % 3], seed=i)
            self.write(f"CUB_200_2011/images/{name}.jpg", image)
        self.write_tables()

    def _add(self, name):
        self.boxes[name] = BOXES[len(self.names)]
        self.names.append(name)
        lines = [f"caption {i} of {name}" for i in range(10)]
        self.write(f"text/{name}.txt", "\n".join(lines) + "\n")

    def write(self, path, content):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            content = content.encode()
        file.write_bytes(content)

    def pickle(self, path, content):
        self.write(path, pickle.dumps(content, protocol=2))

    def write_tables(self):
        rows = list(enumerate(self.names, start=1))
        self.write(
            "CUB_200_2011/images.txt",
            "".join(f"{i} {name}.jpg\n" for i, name in rows),
        )
        boxes = [(i, *self.boxes[name]) for i, name in rows]
        self.write(
            "CUB_200_2011/bounding_boxes.txt",
            "".join("{} {} {} {} {}\n".format(*row) for row in boxes),
        )


@pytest.fixture
def cub_folder(tmp_path, make_image):
    return CubFolder(tmp_path / "raw", make_image)


def prepare(source, tmp_path, captions=0):
    prepared = tmp_path / "prepared"
    builder = catalog.open_builder("cub", str(source), str(prepared), captions)
    return builder, catalog.prepare(builder)


def names_of(builder, split):
    return sorted(r["name"].decode() for r in records(builder, split))


def records(builder, split):
    return list(
        builder.as_data_source(
            split, decoders={"image": tfds.decode.SkipDecoding()}
        )
    )


def faults_of(folder, tmp_path):
    with pytest.raises(FaultsError) as error:
        prepare(folder.root, tmp_path)
    left = (tmp_path / "prepared").rglob("*")
    assert not [path for path in left if path.is_file()]
    return error.value.faults


def expected_crop(box, size):
    """Bounds of the pixels nearer to the box's centre than its radius."""
    x, y, w, h = np.trunc(box)
    radius = np.floor(max(w, h) * 3 / 4)
    columns = np.arange(size[0]) - np.floor(x + w / 2)
    rows = np.arange(size[1]) - np.floor(y + h / 2)
    (columns,) = np.nonzero((columns >= -radius) & (columns < radius))
    (rows,) = np.nonzero((rows >= -radius) & (rows < radius))
    return [rows[0], columns[0], len(rows), len(columns)]


def test_released_layout(cub_folder, tmp_path):
    builder, report = prepare(cub_folder.root, tmp_path)
    assert report.pictures == {"train": 4, "test": 2}
    assert report.captions == {"train": 40, "test": 20}
    found = records(builder, "train") + records(builder, "test")
    assert sorted(r["name"].decode() for r in found) == cub_folder.names
    images = cub_folder.root / "CUB_200_2011/images"
    for record in found:
        name = record["name"].decode()
        assert record["image"] == (images / f"{name}.jpg").read_bytes()
        assert record["class_id"] == int(name[:3])
        assert record["captions"][3].decode() == f"caption 3 of {name}"
        size = SIZES[cub_folder.names.index(name) % 3]
        crop = expected_crop(cub_folder.boxes[name], size)
        assert record["crop"].tolist() == crop
    assert report.notes == {
        "bounding boxes cut at the edge": [
            # x + width = 32 and 38.6 in pictures 31 and 40 wide: only one.
            cub_folder.names[2]
        ]
    }


def test_crop_of_the_released_code_by_hand():
    # r = int(0.75 * 325) = 243; centre 222, 179; picture 500 x 335.
    crop = cub.crop_around((60.0, 27.0, 325.0, 304.0), 500, 335)
    assert crop == (0, 0, 335, 465)


def test_split_by_classes(cub_folder, tmp_path):
    for split in ("train", "test"):
        shutil.rmtree(cub_folder.root / split)
    cub_folder.write(
        "trainvalclasses.txt", "002.Laysan_Albatross\r\n004.Groove_billed_Ani"
    )
    cub_folder.write("testclasses.txt", "001.Black_footed_Albatross\n")
    builder, _ = prepare(cub_folder.root, tmp_path)
    assert names_of(builder, "train") == cub_folder.names[2:]
    assert names_of(builder, "test") == cub_folder.names[:2]
    assert {r["class_id"] for r in records(builder, "train")} == {2, 4}


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("text", "."),
        ("text_c10", "."),
        ("CUB_200_2011/text", "."),
        ("CUB_200_2011/text_c10", "CUB_200_2011"),
        ("text", "CUB_200_2011"),
        ("birds/text", "."),
    ],
)
def test_places_of_captions(cub_folder, tmp_path, text, source):
    root = cub_folder.root
    if text.startswith("birds"):  # the released layout, one folder higher
        root.rename(root.with_name("birds"))
        root.mkdir()
        root.with_name("birds").rename(root / "birds")
    elif text != "text":
        (root / "text").rename(root / text)
    _, report = prepare(root / source, tmp_path)
    assert report.captions == {"train": 40, "test": 20}


@pytest.mark.parametrize("named", ["the archive", "its folder"])
def test_archive_as_downloaded(cub_folder, tmp_path, named):
    root = cub_folder.root
    archive = root / "CUB_200_2011.tgz"
    with tarfile.open(archive, "w:gz") as file:
        file.add(root / "CUB_200_2011", "CUB_200_2011")
        file.add(root / "text", "../escaped")
        file.add(root / "text", "CUB_200_2011/../../escaped")
    unpacked, _ = prepare(root, tmp_path / "1")
    shutil.rmtree(root / "CUB_200_2011")
    source = archive if named == "the archive" else root
    builder, _ = prepare(source, tmp_path / "2")
    for split in ("train", "test"):
        assert [
            (r["name"], r["image"], r["crop"].tolist())
            for r in records(builder, split)
        ] == [
            (r["name"], r["image"], r["crop"].tolist())
            for r in records(unpacked, split)
        ]
    left = [path.name for path in (tmp_path / "2").rglob("*")]
    assert "escaped" not in left
    assert "unpacked" not in left


def test_damaged_archive(cub_folder, tmp_path):
    archive = cub_folder.root / "CUB_200_2011.tgz"
    with tarfile.open(archive, "w:gz") as file:
        file.add(cub_folder.root / "CUB_200_2011", "CUB_200_2011")
    shutil.rmtree(cub_folder.root / "CUB_200_2011")
    archive.write_bytes(archive.read_bytes()[:-2000])
    with pytest.raises(UserError, match="must be a whole archive"):
        prepare(cub_folder.root, tmp_path)
    left = (tmp_path / "prepared").rglob("*")
    assert not [path for path in left if path.is_file()]


def _pipe(archive):
    os.mkfifo(archive)


def _file_for_folder(archive):
    with tarfile.open(archive, "w:gz") as file:
        for name in ("CUB_200_2011", "CUB_200_2011/images"):
            file.addfile(tarfile.TarInfo(name))
        file.addfile(tarfile.TarInfo("CUB_200_2011/images/a.jpg"))


def _zero_byte(archive):
    with tarfile.open(archive, "w:gz", format=tarfile.PAX_FORMAT) as file:
        member = tarfile.TarInfo("x")
        member.pax_headers = {"path": "CUB_200_2011/images/a\0.jpg"}
        file.addfile(member)


@pytest.mark.parametrize("make", [_pipe, _file_for_folder, _zero_byte])
def test_archives_that_are_none(cub_folder, tmp_path, make):
    shutil.rmtree(cub_folder.root / "CUB_200_2011")
    make(cub_folder.root / "CUB_200_2011.tgz")
    with pytest.raises(UserError, match=r"\.tgz must be a whole archive; read"):
        prepare(cub_folder.root, tmp_path)


class _Harm:
    def __init__(self, witness):
        self.witness = witness

    def __reduce__(self):
        return open, (str(self.witness), "w")


def test_every_fault_is_found_in_one_run(cub_folder, tmp_path):
    names = cub_folder.names
    cub_folder.boxes[names[0]] = (45.0, 5.0, 20.0, 10.0)
    cub_folder.boxes[names[1]] = (-9.0, 5.0, 20.0, 10.0)
    cub_folder.boxes[names[2]] = (5.0, 5.0, 0.0, 10.0)
    cub_folder.boxes[names[3]] = (5.0, float("nan"), 9.0, 10.0)
    cub_folder.boxes[names[4]] = (5.0, "five", 9.0, 10.0)
    cub_folder.write_tables()
    tables = cub_folder.root / "CUB_200_2011"
    with open(tables / "images.txt", "a") as file:
        file.write(f"7 {names[0]}.jpg\n8 009.Some/bird.jpg extra\n")
        file.write("9 010.Other/bird.jpg\n")
    with open(tables / "bounding_boxes.txt", "a") as file:
        file.write("1 1 1 9 9\n99 1 1 9 9\n")
    cub_folder.write(f"text/{names[1]}.txt", "one\ntwo\n")
    (cub_folder.root / f"text/{names[2]}.txt").unlink()
    cub_folder.write(f"CUB_200_2011/images/{names[5]}.jpg", b"")
    cub_folder.pickle(
        "train/filenames.pickle", [*names[2:], "003.Sooty/Sooty_1", names[0]]
    )
    cub_folder.pickle("train/class_info.pickle", [2, 2, 4, 4, 3, 1])
    faults = faults_of(cub_folder, tmp_path)
    expected = [
        f"images.txt line 7: a picture must stand once; found {names[0]}.jpg",
        "images.txt line 8: must have 2 columns; found '8 009.Some/bird.jpg ex",
        "bounding_boxes.txt line 4: must be numbers; found 5.0 nan 9.0 10.0",
        "bounding_boxes.txt line 5: must be numbers; found 5.0 five 9.0 10.0",
        "bounding_boxes.txt line 7: must be a picture's only box; found number",
        "bounding_boxes.txt line 8: must be a picture's only box; found number",
        "bounding_boxes.txt: must hold a box for 010.Other/bird",
        "train/filenames.pickle: must name pictures of images.txt; found 003",
        f"{names[0]}: a picture must be in one split; this one is in train/f",
        f"text/{names[1]}.txt: must hold 10 captions "
        "(--captions_per_image); found 2",
        f"text/{names[2]}.txt: must be a text file: No such file",
        f"images/{names[0]}.jpg: its bounding box must lie in the 50 x 40",
        f"images/{names[1]}.jpg: its bounding box must lie in the 40 x 50",
        f"images/{names[2]}.jpg: its bounding box must lie in the 31 x 32",
        f"images/{names[5]}.jpg: empty file (zero bytes)",
    ]
    for part in expected:
        assert any(fault.startswith(part) for fault in faults), part
    assert len(faults) == len(expected)


@pytest.mark.parametrize(
    "box",
    [
        (50.0, 5.0, 2.0, 2.0),  # beside the picture, within the tolerance
        (5.0, 40.0, 9.0, 1.5),  # below it
        (5.0, 5.0, 1.0, 1.0),  # 1.5 times it rounds to nothing
    ],
)
def test_boxes_that_leave_nothing_to_see(cub_folder, tmp_path, box):
    cub_folder.boxes[cub_folder.names[0]] = box  # a picture of 50 x 40
    cub_folder.write_tables()
    (fault,) = faults_of(cub_folder, tmp_path)
    assert "its bounding box must lie in the 50 x 40 picture" in fault


def test_pictures_of_a_folder_are_of_one_class(cub_folder, tmp_path):
    cub_folder.pickle("train/class_info.pickle", [2, 2, 4, 5])
    assert faults_of(cub_folder, tmp_path) == [
        f"{cub_folder.names[5]}: pictures of a folder must be of one class; "
        "found 4 and 5"
    ]


def test_pictures_in_no_split_are_noted(cub_folder, tmp_path):
    cub_folder.pickle("train/filenames.pickle", cub_folder.names[3:])
    cub_folder.pickle("train/class_info.pickle", [2, 4, 4])
    _, report = prepare(cub_folder.root, tmp_path)
    assert report.pictures == {"train": 3, "test": 2}
    assert report.notes["pictures in no split"] == [cub_folder.names[2]]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ({"a": 1}, "must be a list of names; received a dict"),
        ([1, 2], "must be a list of names; received a list of int"),
    ],
)
def test_pickles_of_the_wrong_form(cub_folder, tmp_path, content, fault):
    cub_folder.pickle("test/filenames.pickle", content)
    cub_folder.pickle("train/class_info.pickle", [2, 2])
    assert faults_of(cub_folder, tmp_path) == [
        "train/class_info.pickle: must hold a number for each of the 4 names; "
        "received 2",
        f"test/filenames.pickle: {fault}",
    ]


def test_pickles_that_would_run_code_are_refused(cub_folder, tmp_path):
    witness = tmp_path / "witness"
    cub_folder.pickle("test/filenames.pickle", _Harm(witness))
    (fault,) = faults_of(cub_folder, tmp_path)
    assert fault.startswith("test/filenames.pickle: refused: it asks for ")
    assert not witness.exists()


def test_orientation_and_box(cub_folder, tmp_path, make_image):
    name = cub_folder.names[0]
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0"
    image = make_image(size=(40, 60), exif=exif + b"\0\0\0\0")
    cub_folder.write(f"CUB_200_2011/images/{name}.jpg", image)
    cub_folder.boxes[name] = (45.0, 5.0, 14.0, 10.0)
    cub_folder.write_tables()
    builder, report = prepare(cub_folder.root, tmp_path)
    (record,) = [
        r for r in records(builder, "test") if r["name"].decode() == name
    ]
    # Shown, it is 60 wide and 40 high: the box is one of what is shown.
    assert record["crop"].tolist() == expected_crop((45, 5, 14, 10), (60, 40))
    kind = "converted to PNG: turned (EXIF orientation)"
    assert report.notes[kind] == [f"images/{name}.jpg"]


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("CUB_200_2011", "must hold CUB_200_2011/ or CUB_200_2011.tgz"),
        ("text", "must hold the captions of Reed et al"),
        ("test", "must hold the split into 150 and 50 classes: train/filen"),
    ],
)
def test_missing_parts_are_named(cub_folder, tmp_path, missing, message):
    shutil.rmtree(cub_folder.root / missing)
    with pytest.raises(UserError, match=message):
        prepare(cub_folder.root, tmp_path)


def test_all_missing_parts_are_named_at_once(cub_folder, tmp_path):
    for part in ("CUB_200_2011", "text", "test"):
        shutil.rmtree(cub_folder.root / part)
    with pytest.raises(UserError) as raised:
        prepare(cub_folder.root, tmp_path)
    said = str(raised.value)
    for part in ("CUB_200_2011.tgz", "captions of Reed", "150 and 50 classes"):
        assert part in said
    assert "\n" not in said


def test_a_pickle_that_is_a_folder_is_a_fault(cub_folder, tmp_path):
    path = cub_folder.root / "test" / "filenames.pickle"
    path.unlink()
    path.mkdir()
    (fault,) = faults_of(cub_folder, tmp_path)
    assert fault == (
        "test/filenames.pickle: must be a file to read: Is a directory"
    )
