"""Beam's workers prepare the same data as one process."""

import pathlib
import sys

import pytest

from attngan_tf.data import catalog, checksums, workers
from attngan_tf.data.findings import FaultsError
from attngan_tf.errors import UserError
from tests.data import helpers

RUNNER = "--runner=DirectRunner --direct_num_workers=1"


@pytest.fixture
def beam():
    """Skips if Beam is not installed; .ci/oldest has it."""
    return pytest.importorskip("apache_beam")


@pytest.fixture
def prepare_in(raw_folder, tmp_path):
    def prepare(folder, beam_options=""):
        builder = helpers.Preparation("folder", tmp_path / folder).open(
            raw_folder.root
        )
        return builder, catalog.prepare(builder, beam_options=beam_options)

    return prepare


def test_workers_write_what_one_process_writes(beam, raw_folder, prepare_in):
    for number in range(20):
        raw_folder.add(f"b.Wren/more{number}", "train", captions=2)
    raw_folder.add("a.Gull/grey", "train", kind="PNG", mode="L", ending="png")
    plain, expected = prepare_in("plain")
    builder, found = prepare_in("workers", RUNNER)
    assert found == expected
    assert found.notes["converted to PNG: greyscale"] == [
        "images/a.Gull/grey.png"
    ]
    for split, count in (("train", 25), ("test", 2)):
        rows = helpers.contents(builder, split)
        assert len(rows) == count
        assert list(rows.items()) == [*helpers.contents(plain, split).items()]
    assert checksums.damage(builder.data_dir) == []
    # The bytes of record files may differ, their records do not.
    one, other = (
        {path.name: path for path in pathlib.Path(b.data_dir).iterdir()}
        for b in (plain, builder)
    )
    assert one.keys() == other.keys()
    for name in ("vocab.txt", "report.json", "features.json"):
        assert one[name].read_bytes() == other[name].read_bytes()


def test_workers_find_every_fault(beam, raw_folder, prepare_in, tmp_path):
    raw_folder.write("images/b.Wren/w2.jpg", b"")
    raw_folder.write("images/c.Owl/o1.jpg", b"GIF89a")
    raw_folder.write("text/a.Gull/g1.txt", "")
    faults = []
    for folder, options in (("plain", ""), ("workers", RUNNER)):
        with pytest.raises(FaultsError) as error:
            prepare_in(folder, options)
        faults.append(error.value.faults)
        assert helpers.files_below(tmp_path / folder) == []
    assert len(faults[0]) == 3
    assert faults[1] == faults[0]


def test_the_failure_of_a_worker_is_a_user_error(
    beam, raw_folder, prepare_in, monkeypatch
):
    path = raw_folder.root / "images" / "c.Owl" / "o1.jpg"
    examples = workers.Workers.examples

    def later(self, split, pairs):
        path.unlink(missing_ok=True)
        return examples(self, split, pairs)

    monkeypatch.setattr(workers.Workers, "examples", later)
    with pytest.raises(UserError, match=r"o1\.jpg must stay where it is"):
        prepare_in("prepared", RUNNER)


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        ("--no_such_flag=1", "it has no flag no_such_flag"),
        ("--direct_num_workers=many", "invalid int value: 'many'"),
        ("--runner='", "No closing quotation"),
    ],
)
def test_flags_must_be_those_of_beam(beam, flags, reason):
    with pytest.raises(UserError, match=reason) as error:
        workers.pipeline_options(flags)
    assert "--beam_options must be flags of Apache Beam" in str(error.value)


def test_missing_beam_is_a_user_error(prepare_in, tmp_path, monkeypatch):
    missing = "apache_beam.options.pipeline_options"
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(UserError, match=r"needs Apache Beam; .*\[beam\]"):
        prepare_in("prepared", RUNNER)
    assert not (tmp_path / "prepared").exists()
