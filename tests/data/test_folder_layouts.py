"""The layouts of a user's own data, and splits by --test_fraction."""

import csv
import io
import json

import pytest

from attngan_tf.data.fraction_split import FractionSplit
from attngan_tf.data.images import ENDINGS
from attngan_tf.errors import UserError
from tests.data import helpers

BIRDS = ("gull/1", "gull/2", "owl/1", "wren/1", "wren/2", "wren/3")


@pytest.fixture
def raw(tmp_path) -> helpers.Files:
    return helpers.Files(tmp_path / "own")


def add_images(raw, *names, seed=0):
    for number, name in enumerate(names, seed):
        raw.write(f"{name}.jpg", helpers.image_bytes(seed=number))


def add_beside(raw, *names):
    """Images with two captions in text files beside them."""
    add_images(raw, *names)
    for name in names:
        raw.write(f"{name}.txt", f"a bird {name}\nthe second of {name}\n")


def in_csv(rows, columns=("file_name", "text")) -> str:
    file = io.StringIO()
    csv.writer(file).writerows([columns, *rows])
    return file.getvalue()


def in_json(rows) -> str:
    return "\n".join(
        json.dumps({"file_name": name, "text": text}) for name, text in rows
    )


def splits(builder):
    """The names of each split."""
    return [set(helpers.records(builder, split)) for split in ("train", "test")]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_metadata_in_the_folders_of_splits(raw, prepare, kind):
    for split, names in (("train", BIRDS[:3]), ("test", BIRDS[3:])):
        add_images(raw, *(f"{split}/{name}" for name in names))
        rows = [(f"{x}.jpg", f'a "{x}", which\nis a bird') for x in names]
        rows.append((f"./{names[0]}.jpg", "another"))
        text = in_csv(rows) if kind == "csv" else in_json(rows)
        raw.write(f"{split}/metadata.{kind}", "\ufeff" + text)
    raw.write("train/more.jpg", "never read")
    builder, report = prepare(raw.root)
    found = helpers.contents(builder)
    assert {name: (x[2], x[3]) for name, x in found.items()} == {
        "train/gull/1.jpg": ([b'a "gull/1", which is a bird', b"another"], 0),
        "train/gull/2.jpg": ([b'a "gull/2", which is a bird'], 0),
        "train/owl/1.jpg": ([b'a "owl/1", which is a bird'], 1),
        "test/wren/1.jpg": ([b'a "wren/1", which is a bird', b"another"], 2),
        "test/wren/2.jpg": ([b'a "wren/2", which is a bird'], 2),
        "test/wren/3.jpg": ([b'a "wren/3", which is a bird'], 2),
    }
    for name, record in found.items():
        assert record[0] == raw.read(name)
    assert report.pictures == {"train": 3, "test": 3}
    assert report.notes == {"images without captions": ["train/more.jpg"]}
    assert builder.layout == (
        f"captions in test/metadata.{kind} and train/metadata.{kind}; "
        "split by train/ and test/"
    )


def test_a_list_of_captions_and_other_columns(raw, prepare):
    add_images(raw, "1", "2", "3")
    rows = [
        {"file_name": "1.jpg", "text": ["one", "two"], "id": 7},
        {"file_name": "2.jpg", "text": "three"},
        {"file_name": "3.jpg", "text": "a \ud800 lone surrogate"},
    ]
    raw.write("metadata.jsonl", "\n".join(map(json.dumps, rows)))
    builder, report = prepare(raw.root, test_fraction=0.3)
    found = helpers.records(builder)
    assert list(found["1.jpg"]["captions"]) == [b"one", b"two"]
    assert report.notes["columns not used"] == ["metadata.jsonl: id"]
    assert "captions with U+FFFD (damaged before)" in report.notes


def test_captions_beside_images_in_folders_of_splits(raw, prepare):
    add_beside(raw, "train/1", "train/2", "validation/a/1", "more/1")
    add_images(raw, "train/3")
    raw.write("README.txt", "about these birds")
    raw.write("train/._1.jpg", "a hidden file of macOS")
    builder, report = prepare(raw.root)
    train, test = splits(builder)
    assert (train, test) == ({"train/1", "train/2"}, {"validation/a/1"})
    found = helpers.records(builder)["train/1"]
    assert list(found["captions"]) == [
        b"a bird train/1",
        b"the second of train/1",
    ]
    assert report.notes == {
        "images in no split": ["more/1.jpg"],
        "images without captions": ["train/3.jpg"],
        "text files without an image": ["README.txt"],
    }
    assert builder.layout == (
        "captions in x.txt beside x.jpg; split by train/ and validation/"
    )


def test_every_known_ending_is_read(raw, prepare):
    for number, ending in enumerate(ENDINGS):
        kind = {"jpg": "jpeg", "tif": "tiff"}.get(ending[1:], ending[1:])
        raw.write(f"{number}{ending}", helpers.image_bytes(kind))
        raw.write(f"{number}.txt", "a bird")
    _, report = prepare(raw.root, test_fraction=0.2)
    assert sum(report.pictures.values()) == len(ENDINGS)


def test_text_folder_without_lists(raw_folder, prepare):
    for file in ("train.txt", "test.txt"):
        (raw_folder.root / file).unlink()
    builder, _ = prepare(raw_folder.root, test_fraction=0.3)
    train, test = splits(builder)
    assert len(train) == 4
    assert len({name.split("/")[0] for name in test}) == 1
    record = prepare.prepared / "splits"
    (file,) = record.iterdir()
    assert json.loads(file.read_text()) == {
        "train": sorted(train),
        "test": sorted(test),
    }
    assert builder.layout == (
        f"captions in text/; split by --test_fraction=0.3, recorded in {file}"
    )


def test_a_recorded_split_never_changes(raw, prepare):
    """Neither with another seed, nor if images are added or removed."""
    add_beside(raw, *(f"{n:02}" for n in range(20)))
    first = splits(prepare(raw.root, test_fraction=0.2)[0])
    assert [len(names) for names in first] == [16, 4]
    assert splits(prepare(raw.root, test_fraction=0.2, seed=1)[0]) == first
    add_beside(raw, *(f"{n}" for n in range(20, 40)))
    more = splits(prepare(raw.root, test_fraction=0.2, seed=1)[0])
    assert [len(names) for names in more] == [32, 8]
    for before, now in zip(first, more, strict=True):
        assert before < now
    gone = sorted(first[1])[0]
    text = (raw.root / f"{gone}.txt").read_bytes()
    (raw.root / f"{gone}.txt").unlink()
    prepare(raw.root, test_fraction=0.2)
    raw.write(f"{gone}.txt", text)
    assert splits(prepare(raw.root, test_fraction=0.2)[0]) == more


def test_the_split_depends_on_the_seed_and_keeps_classes_whole(tmp_path):
    labels = {f"{c}/{n}": f"{c}" for c in range(50) for n in range(c % 3 + 1)}

    def split(seed):
        found = FractionSplit(str(tmp_path / "x"), 0.1, seed).splits(labels)
        test = {name for name in found if found[name] == "test"}
        classes = {labels[name] for name in test}
        assert test == {name for name in labels if labels[name] in classes}
        assert abs(len(test) - 0.1 * len(labels)) <= 1.5
        return test

    assert split(0) == split(0) != split(1)
    large = {"a/1": "a", "a/2": "a", "a/3": "a", "b/1": "b", "b/2": "b"}
    found = FractionSplit(str(tmp_path / "x"), 0.1, 0).splits(large)
    assert [x for x in found if found[x] == "test"] == ["b/1", "b/2"]


def test_images_of_a_single_folder_have_no_class(raw, prepare):
    add_beside(raw, "photos/1", "photos/2", "photos/3")
    builder, report = prepare(raw.root, test_fraction=0.3)
    ids = {int(x["class_id"]) for x in helpers.records(builder).values()}
    assert (len(ids), report.pictures) == (3, {"train": 2, "test": 1})


def test_faults_of_metadata_are_listed_at_once(raw, prepare):
    add_images(raw, "a/1", "a/2")
    lines = ["a/1.jpg,red,blue", "1.jpg,a bird", "../x.jpg,a bird", "a/2.jpg,!"]
    raw.write("train/metadata.csv", "file_name,text\n" + "\n".join(lines))
    (raw.root / "a").rename(raw.root / "train" / "a")
    add_images(raw, "test/7")
    rows = ["[1]", '{"file_name": "7.jpg"', '{"file_name": 1, "text": "b"}']
    rows += ['{"file_name": "7.jpg", "caption": "a bird"}'] * 2
    raw.write("test/metadata.csv", "image;caption\n7.jpg;a bird\n")
    helpers.check_faults(
        prepare.faults(raw.root),
        [
            "train/metadata.csv line 2: must have 2 columns, as line 1; a "
            "caption with a comma must be in double quotes",
            "train/metadata.csv line 3: must name a .jpg, .jpeg, .png, .webp, "
            ".gif, .bmp, .tif or .tiff; there is no train/1.jpg; is "
            "train/a/1.jpg meant?",
            "train/metadata.csv line 4: a name must be a path below its",
            "train/a/2.jpg: must hold 1 captions (--captions_per_image); "
            "found none, and 1 without a word of --tokenizer=ascii",
            "test/metadata.csv: must have file_name and text in each row; "
            "found image;caption",
        ],
    )
    for split in ("train", "test"):
        (raw.root / split / "metadata.csv").unlink()
    raw.write("test/metadata.jsonl", "\n".join(rows))
    raw.write("train/metadata.jsonl", in_json([("a/1.jpg", "a bird")]))
    helpers.check_faults(
        prepare.faults(raw.root),
        [
            "test/metadata.jsonl line 1: must be a JSON object; found [1]",
            "test/metadata.jsonl line 2: must be JSON; Expecting",
            "test/metadata.jsonl line 3: file_name must be a string, and",
            "test/metadata.jsonl: must have file_name and text in each row; "
            "found file_name, caption",
        ],
    )
    assert not (prepare.prepared / "splits").exists()


def test_unclosed_quotes_are_a_fault(raw, prepare):
    add_images(raw, "1")
    raw.write("metadata.csv", 'file_name,text\n1.jpg,"a bird\n')
    (fault,) = prepare.faults(raw.root, test_fraction=0.5)
    assert fault.startswith("metadata.csv line 2: must be CSV; unexpected end")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ((), "x.txt beside x.jpg; .* has 1 images and none of these$"),
        (("text/1.txt",), "with text, .* lacks images$"),
        (
            ("metadata.csv", "1.txt"),
            "has metadata.csv, and 1.txt beside 1.jpg; move all but one",
        ),
        (("metadata.csv", "metadata.jsonl"), "csv, and metadata.jsonl; move"),
        (
            ("text/1.txt", "train.txt", "images/metadata.csv"),
            "has text and train.txt, and images/metadata.csv; move",
        ),
        (
            ("text/1.txt", "images/1.jpg", "images/1.txt"),
            "has text, and images/1.txt beside images/1.jpg; move",
        ),
        (("1.txt",), "must have a split: train.txt .* --test_fraction=0.1$"),
    ],
)
def test_no_layout_or_several_are_a_user_error(raw, prepare, files, message):
    add_images(raw, "1")
    for file in files:
        raw.write(file, "")
    with pytest.raises(UserError, match=message) as error:
        prepare.open(raw.root)
    assert "\n" not in str(error.value)


def test_test_fraction_is_for_data_without_a_split(raw_folder, prepare):
    message = "received 0.1, and .* has train.txt and test.txt; leave it out"
    with pytest.raises(UserError, match=message):
        prepare.open(raw_folder.root, test_fraction=0.1)
    demo = helpers.Preparation("demo", prepare.prepared)
    with pytest.raises(UserError, match="--test_fraction applies to data in"):
        demo.open(test_fraction=0.1)
