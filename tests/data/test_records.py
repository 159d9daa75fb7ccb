"""Prepared data sets: what is written comes back, and is whole or not there."""

import json
import pickle

import pytest
import tensorflow_datasets as tfds

from attngan_tf.data import catalog, records


class Tiny(records.CaptionedPictures, skip_registration=True):
    """Three pictures; `fail` breaks the second one of test."""

    name = "tiny"
    image = b""
    fail = False

    def examples(self, report):
        report.note("kept as they are", "t0")
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
def tiny(tmp_path, make_image):
    Tiny.image, Tiny.fail = make_image(), False
    return Tiny(data_dir=str(tmp_path))


def test_records_come_back_as_written(tiny):
    catalog.prepare(tiny)
    source = tiny.as_data_source(
        "train", decoders={"image": tfds.decode.SkipDecoding()}
    )
    found = {record["name"].decode(): record for record in source}
    assert sorted(found) == ["t0", "t1", "t2"]
    assert found["t2"]["image"] == Tiny.image
    assert found["t2"]["crop"].tolist() == [1, 2, 3, 2]
    assert found["t2"]["class_id"] == 12
    captions = [text.decode() for text in found["t1"]["captions"]]
    assert captions == ["bird t1", "a Žluna bird"]
    assert tiny.info.file_format.value == "array_record"


def test_report_and_vocabulary_are_of_all_splits(tiny, tmp_path):
    report = catalog.prepare(tiny)
    assert report.pictures == {"train": 3, "test": 2}
    assert report.captions == {"train": 5, "test": 3}
    folder = tmp_path / "tiny" / "1.1.0"
    words = (folder / "vocab.txt").read_text().splitlines()
    # The tokenizer drops what is not ASCII: "Žluna" is "luna".
    assert words[:2] == ["<end>", "bird"]
    assert sorted(words[2:]) == [
        *("a", "e0", "e1", "luna", "t0", "t1", "t2"),
    ]
    assert report.words == len(words)
    assert report == records.Report.load(str(folder))
    assert json.loads((folder / "report.json").read_text())["notes"] == {
        "kept as they are": ["t0"]
    }


def test_report_lines_count_all_and_name_some():
    report = records.Report({"train": 2}, {"train": 9}, words=5)
    for place in "abcde":
        report.note("odd", place)
    assert report.lines(most=2) == [
        "train: 2 pictures, 9 captions",
        "vocabulary: 5 words, <end> included",
        "odd: 5 (a, b and 3 more)",
    ]


def test_prepared_data_is_not_made_twice(tiny, tmp_path):
    first = catalog.prepare(tiny)
    Tiny.fail = True
    assert catalog.prepare(Tiny(data_dir=str(tmp_path))) == first


def test_nothing_is_left_of_a_failure(tiny, tmp_path):
    Tiny.fail = True
    with pytest.raises(RuntimeError, match="broken on purpose"):
        catalog.prepare(tiny)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not (tmp_path / "tiny").exists() or not any(
        (tmp_path / "tiny").iterdir()
    )


def test_two_processes_may_prepare_at_once(tiny, tmp_path, monkeypatch):
    other = Tiny(data_dir=str(tmp_path))
    some = Tiny._some

    def first_the_other(self, letter, count):
        if self is tiny and not other.is_prepared():
            catalog.prepare(other)
        yield from some(self, letter, count)

    monkeypatch.setattr(Tiny, "_some", first_the_other)
    assert catalog.prepare(tiny).pictures == {"train": 3, "test": 2}
    assert len(tiny.as_data_source("test")) == 2


def test_builders_can_be_sent_to_another_process(tiny):
    catalog.prepare(tiny)
    sent = pickle.loads(pickle.dumps(tiny))
    assert len(sent.as_data_source("test")) == 2
