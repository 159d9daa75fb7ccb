"""Preparing by Beam's workers gives what one process gives."""

import pathlib
import sys

import pytest
import tensorflow_datasets as tfds

from attngan_tf.data import catalog, checksums, entries, workers
from attngan_tf.data.raw import FaultsError
from attngan_tf.errors import UserError

RUNNER = "--runner=DirectRunner --direct_num_workers=1"


@pytest.fixture
def beam():
    """Skips where Beam is not installed; .ci/oldest has it."""
    return pytest.importorskip("apache_beam")


def prepare(folder, place, beam_options=""):
    builder = catalog.open_builder("folder", str(folder.root), str(place))
    report = catalog.prepare(builder, beam_options=beam_options)
    return builder, report


def records(builder, split) -> list[tuple]:
    """Everything in a split's records, in order."""
    source = builder.as_data_source(
        split, decoders={"image": tfds.decode.SkipDecoding()}
    )
    return [
        (
            row["name"],
            row["image"],
            row["crop"].tolist(),
            list(row["captions"]),
            int(row["class_id"]),
        )
        for row in source
    ]


def test_workers_write_what_one_process_writes(beam, raw_folder, tmp_path):
    for number in range(20):
        raw_folder.add(f"b.Wren/more{number}", "train", captions=2)
    raw_folder.add("a.Gull/grey", "train", kind="PNG", mode="L", ending="png")
    plain, expected = prepare(raw_folder, tmp_path / "plain")
    spread, found = prepare(raw_folder, tmp_path / "spread", RUNNER)
    assert found == expected
    assert found.notes["converted to PNG: greyscale"] == [
        "images/a.Gull/grey.png"
    ]
    for split, count in (("train", 25), ("test", 2)):
        rows = records(spread, split)
        assert len(rows) == count
        assert rows == records(plain, split)
    assert checksums.damage(spread.data_dir) == []
    # The bytes of record files are not always the same, their records are.
    one, other = (
        {path.name: path for path in pathlib.Path(builder.data_dir).iterdir()}
        for builder in (plain, spread)
    )
    assert one.keys() == other.keys()
    for name in ("vocab.txt", "report.json", "features.json"):
        assert one[name].read_bytes() == other[name].read_bytes()


def test_workers_find_every_fault(beam, raw_folder, tmp_path):
    raw_folder.write("images/b.Wren/w2.jpg", b"")
    raw_folder.write("images/c.Owl/o1.jpg", b"GIF89a")
    raw_folder.write("text/a.Gull/g1.txt", "")
    faults = []
    for options in ("", RUNNER):
        place = tmp_path / f"prepared{len(faults)}"
        with pytest.raises(FaultsError) as error:
            prepare(raw_folder, place, options)
        faults.append(error.value.faults)
        assert not [path for path in place.rglob("*") if path.is_file()]
    assert len(faults[0]) == 3
    assert faults[1] == faults[0]


def test_what_ends_a_worker_is_told_in_a_line(
    beam, raw_folder, tmp_path, monkeypatch
):
    path = raw_folder.root / "images" / "c.Owl" / "o1.jpg"
    examples = workers.Workers.examples

    def later(self, split, pairs):
        path.unlink(missing_ok=True)
        return examples(self, split, pairs)

    monkeypatch.setattr(workers.Workers, "examples", later)
    with pytest.raises(UserError, match=r"o1\.jpg must stay where it is"):
        prepare(raw_folder, tmp_path / "prepared", RUNNER)


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        ("--no_such_flag=1", "no_such_flag"),
        ("--direct_num_workers=many", "invalid int value: 'many'"),
        ("--runner='", "No closing quotation"),
    ],
)
def test_flags_must_be_beams(beam, flags, reason):
    with pytest.raises(UserError, match=reason) as error:
        workers.pipeline_options(flags)
    assert "--beam_options must be flags of Apache Beam" in str(error.value)


def test_a_machine_without_beam_says_so(raw_folder, tmp_path, monkeypatch):
    missing = "apache_beam.options.pipeline_options"
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(UserError, match=r"needs Apache Beam; .*\[beam\]"):
        prepare(raw_folder, tmp_path / "prepared", RUNNER)
    assert not (tmp_path / "prepared").exists()


def test_drawn_birds_need_no_workers(tmp_path):
    builder = catalog.open_builder("demo", "", str(tmp_path))
    with pytest.raises(UserError, match="is for data in files"):
        catalog.prepare(builder, beam_options=RUNNER)


def test_pictures_that_are_no_files_are_refused():
    entry = entries.Entry("a", "coco_captions train a.jpg", b"", ["a"], 0)
    with pytest.raises(UserError, match="received records of another data"):
        workers.check_files([entry])
    assert workers.check_files([entry._replace(source="a.jpg")])
