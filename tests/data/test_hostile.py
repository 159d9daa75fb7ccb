"""Hostile files, given to the command `prepare`: nothing but lines comes out.

The expectations are those of the files' makers in tests/data/hostile.
"""

import collections
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from hostile import corpus, pickled

from attngan_tf.data import catalog, pickles
from attngan_tf.data.views import Records

ROOT = pathlib.Path(__file__).resolve().parents[2]
SECONDS = 180  # 10 when nothing else runs
# What may stand on stderr: the command's own lines, and bars of progress.
LINE = re.compile(r"(fault|error): \S|(Checking|Writing) (train|test): |$")
# Written as Keras and Matplotlib are imported, whatever is read.
LIBRARIES = re.compile(r"home/\.(keras|cache|config)\b")


def tree(folder: pathlib.Path) -> dict[str, tuple]:
    """All that lies below a folder: kind, size and time of change."""
    found = {}
    for place, folders, files in os.walk(folder):
        for name in folders + files:
            path = os.path.join(place, name)
            status = os.lstat(path)
            found[path] = (status.st_mode, status.st_size, status.st_mtime_ns)
    return found


class Result:
    """What a run of the command gave."""

    def __init__(self, code, stdout, stderr):
        self.code, self.stdout = code, stdout
        self.lines = re.split("[\r\n]", stderr)
        self.faults = [x[7:] for x in self.lines if x.startswith("fault: ")]
        self.others = [x for x in self.lines if not LINE.match(x)]


class Ground:
    """The corpus, and places where nothing may be written."""

    UNSET = ("TF_CPP_MIN_LOG_LEVEL",)  # commands are quiet without

    def __init__(self, root: pathlib.Path):
        self.root, self.raw = root, root / "raw"
        self.cases = collections.defaultdict(list)
        for case in corpus.make(self.raw):
            self.cases[case.data_set].append(case)
        for name in ("home", "tmp", "here"):
            (root / name).mkdir()
        self.prepared = root / "prepared"
        self.before = tree(self.raw)

    def run(self, module: str, *arguments: str, **more):
        """A module's process, that is done."""
        environment = {
            **{k: v for k, v in os.environ.items() if k not in self.UNSET},
            "HOME": str(self.root / "home"),
            "TMPDIR": str(self.root / "tmp"),
            "PYTHONPATH": str(ROOT),
        }
        return subprocess.run(
            [sys.executable, "-m", module, *arguments],
            capture_output=True,
            text=True,
            errors="surrogateescape",
            cwd=self.root / "here",
            env=environment,
            timeout=SECONDS,
            check=False,
            **more,
        )

    def prepare(self, data_set: str) -> Result:
        """The command, as a user runs it on a data set of folder layout."""
        found = self.run(
            "attngan_tf.prepare",
            "--dataset=folder",
            f"--data_dir={self.raw / data_set}",
            f"--prepared_dir={self.prepared}",
        )
        return Result(found.returncode, found.stdout, found.stderr)

    def check_untouched(self) -> None:
        """Nothing was run, and nothing written beside the prepared data."""
        assert not (self.raw / "marker").exists()
        assert tree(self.raw) == self.before
        left = [
            path.name
            for name in ("home", "tmp", "here")
            for path in (self.root / name).rglob("*")
            if not LIBRARIES.search(str(path))
        ]
        assert left == []


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    root = tmp_path_factory.mktemp("hostile")
    yield Ground(root)
    shutil.rmtree(root)


def unexpected(case, result: Result) -> str | None:
    """What is wrong with a result for a case."""
    lines = [x for x in result.faults if x.startswith(case.place)]
    if case.fault is None:
        return f"{case.kind}: {lines}" if lines else None
    if not any(re.search(case.fault, x) for x in lines):
        return f"{case.kind}: no fault {case.place} ... {case.fault}: {lines}"
    return None


def check(cases: list, result: Result) -> list[str]:
    """All that is wrong with a run's result."""
    found = [unexpected(case, result) for case in cases]
    if faulty := any(case.fault for case in cases):
        found += [] if result.lines[-2].startswith("error: ") else ["no error"]
    if result.code != int(faulty):
        found.append(f"{cases[0].data_set} ends with {result.code}")
    return [x for x in found if x] + result.others


def test_there_are_300(ground):
    assert sum(map(len, ground.cases.values())) == 300


def test_pictures_texts_and_names(ground):
    result = ground.prepare("folder")
    assert "\n".join(check(ground.cases["folder"], result)) == ""
    left = [x for x in ground.prepared.rglob("*") if not x.is_dir()]
    assert left == []
    ground.check_untouched()


def shown(records: Records) -> dict[str, dict]:
    """Prepared records by name, with their pixels as training sees them."""
    rows = [records.row(i) for i in range(len(records))]
    for i, row in enumerate(rows):
        row["pixels"] = records.pixels(tf.constant(i)).numpy()
    return {row["name"].decode(): row for row in rows}


def test_what_is_accepted_is_right(ground):
    """The same files, the list without the others."""
    fine = ground.root / "fine"
    fine.mkdir()
    for name in ("images", "text", "test.txt"):
        (fine / name).symlink_to(ground.raw / "folder" / name)
    cases = [x for x in ground.cases["folder"] if x.fault is None]
    names = ["fine/train", *dict.fromkeys(case.name for case in cases)]
    (fine / "train.txt").write_text("\n".join(names))
    result = ground.prepare(fine)
    assert (result.code, result.faults, result.others) == (0, [], [])
    assert f"train: {len(names)} pictures" in result.stdout
    builder = catalog.open_builder("folder", str(fine), str(ground.prepared))
    found = shown(Records(builder, "train"))
    assert set(found) == set(names)
    for case in cases:
        row = found[case.name]
        if case.pixels is not None:
            assert row["pixels"].shape == case.pixels.shape, case.place
            difference = np.abs(row["pixels"].astype(int) - case.pixels)
            assert difference.max() <= case.tolerance, case.place
        if case.captions is not None:
            captions = [text.decode() for text in row["captions"]]
            assert captions == case.captions, case.place
    ground.check_untouched()


def test_lists_pickles_and_annotations(ground):
    layouts = {"list": "folder", "cub_": "cub", "coco": "coco"}
    rows = [
        f"{layouts[data_set[:4]]}\t{ground.raw / data_set}"
        for data_set in ground.cases
        if data_set != "folder"
    ]
    found = ground.run(
        "tests.data.hostile.many", str(ground.prepared), input="\n".join(rows)
    )
    results = [json.loads(line) for line in found.stdout.splitlines()]
    assert len(results) == len(rows), found.stderr
    wrong = []
    for row in results:
        data_set = pathlib.Path(row["folder"]).name
        result = Result(row["code"], row["stdout"], row["stderr"])
        wrong += check(ground.cases[data_set], result)
    assert "\n".join(wrong) == ""
    ground.check_untouched()


def test_words_run_no_code(ground, tmp_path):
    """captions.pickle, which `convert` reads."""
    marker = tmp_path / "marker"
    for kind, content in pickled.harmful(str(marker)).items():
        file = tmp_path / "captions.pickle"
        file.write_bytes(content)
        with pytest.raises(pickles.PickleError, match="refused: "):
            pickles.load_words(str(file))
        assert not marker.exists(), kind
