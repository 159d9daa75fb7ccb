"""Prepared data sets: records equal what was written, or nothing is there."""

import hashlib
import json
import pickle

import pytest
import tensorflow as tf

from attngan_tf.data import catalog, records, views
from attngan_tf.data.views import Records
from tests.data import helpers


class Tiny(records.CaptionedImages, skip_registration=True):
    """Three images; `fail` breaks the second one of test."""

    name = "tiny"
    image = helpers.image_bytes()
    fail = False

    def examples(self, report):
        report.note("not changed", "t0")
        return {"train": self._some("t", 3), "test": self._some("e", 2)}

    def _some(self, letter, count):
        for i in range(count):
            if self.fail and letter == "e" and i == 1:
                raise RuntimeError("broken on purpose")
            captions = [f"bird {letter}{i}", "a Žluna bird"][: i + 1]
            yield records.Example(
                f"{letter}{i}", self.image, captions, 10 + i, (1, 2, 3, i)
            )


@pytest.fixture
def tiny(tmp_path):
    return Tiny(data_dir=str(tmp_path))


def test_records_report_and_vocabulary(tiny, tmp_path, monkeypatch):
    report = catalog.prepare(tiny)
    content = report.content
    assert {len(digests) for digests in content.values()} == {3}
    found = helpers.records(tiny, "train")
    assert sorted(found) == ["t0", "t1", "t2"]
    assert found["t2"]["image"] == Tiny.image
    assert found["t2"]["crop"].tolist() == [1, 2, 3, 2]
    assert found["t2"]["class_id"] == 12
    train = Records(tiny, "train")
    index = [train.row(i)["name"] for i in range(3)].index(b"t2")
    assert train.pixels(tf.constant(index)).shape == (3, 2, 3)
    captions = [text.decode() for text in found["t1"]["captions"]]
    assert captions == ["bird t1", "a Žluna bird"]
    assert tiny.info.file_format.value == "array_record"
    folder = tmp_path / "tiny" / "1.1.0"
    words = (folder / "vocab.txt").read_text().splitlines()
    # The tokenizer removes what is not ASCII: "Žluna" is "luna".
    assert words[:2] == ["<end>", "bird"]
    assert sorted(words[2:]) == ["a", "e0", "e1", "luna", "t0", "t1", "t2"]
    assert json.loads((folder / "report.json").read_text()) == {
        "content": content,
        "pictures": {"train": 3, "test": 2},
        "captions": {"train": 5, "test": 3},
        "words": 9,
        "notes": {"not changed": ["t0"]},
    }
    sent = pickle.loads(pickle.dumps(tiny))  # to another process
    assert len(sent.as_data_source("test")) == 2
    monkeypatch.setattr(Tiny, "fail", True)  # it is not prepared twice
    assert catalog.prepare(Tiny(data_dir=str(tmp_path))) == report


def test_the_content_shows_what_changed(tmp_path, monkeypatch):
    def content(folder, **changes):
        for name, value in changes.items():
            monkeypatch.setattr(Tiny, name, value)
        return catalog.prepare(Tiny(data_dir=str(tmp_path / folder))).content

    first = content("a")
    assert content("b") == first
    other = helpers.image_bytes(seed=1)
    changed = content("c", image=other)["train"]
    assert changed.pop("images") != first["train"].pop("images")
    assert changed == first["train"]


def test_report_lines_count_all_and_name_some():
    report = records.Report({"train": 2}, {"train": 9}, words=5)
    for where in "abcd":
        report.note("odd", where)
    report.note("rare", "e")
    assert report.lines() == [
        "train: 2 images, 9 captions",
        "vocabulary: 5 words, including <end>",
        "odd: 4 (a, b, c, ...)",
        "rare: 1 (e)",
    ]


def test_a_failure_leaves_no_files(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(Tiny, "fail", True)
    with pytest.raises(RuntimeError, match="broken on purpose"):
        catalog.prepare(tiny)
    assert helpers.files_below(tmp_path) == []


def test_digest_is_of_the_records_in_the_given_order(
    prepared_folder, monkeypatch
):
    found, indices = Records(prepared_folder, "train"), [3, 0, 2]
    total = hashlib.sha256(bytes([views.PIXELS]))
    for index in indices:
        (stored,) = found._source.__getitems__([index])
        total.update(hashlib.sha256(stored).digest())
    assert found.digest(indices) == total.hexdigest()
    assert found.digest(sorted(indices)) != total.hexdigest()
    monkeypatch.setattr("attngan_tf.data.views._ROWS", 2)
    assert found.digest(indices) == total.hexdigest()
