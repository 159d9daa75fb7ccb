"""Tests of tests.peers.compare: real processes, one picture each."""

import contextlib
import pathlib
import re
import subprocess
import sys

import pytest

from peers import compare

ROOT = pathlib.Path(__file__).parents[2]


def run(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_both_sides_are_timed_and_their_ratios_printed():
    few = ["--batch_size=1", "--rounds=1", "--calls=1"]
    found = run("-m", "tests.peers.compare", "generate", *few)
    assert found.returncode == 0, found.stderr
    rows = found.stdout.splitlines()[2:]
    assert len(rows) == 3
    for row in rows:
        numbers = re.fullmatch(
            r"\| generate \| (?:bf16|float32) (\d+) ms "
            r"\| (?:bf16|float32) (\d+) ms \| ([\d.]+) \|.*",
            row,
        )
        ours, theirs, ratio = map(float, numbers.groups())
        assert ours > 0
        assert abs(theirs / ours - ratio) < 0.1 * ratio + 0.02


def test_a_ratio_is_the_peers_by_ours_and_the_best_precision_is_the_least():
    def worker(seconds, peak):
        found = object.__new__(compare.Worker)
        found.rounds, found.peak_bytes = seconds, peak
        return found

    workers = {
        ("peer", "float32"): worker([8.0, 9.0, 8.0], 6e9),
        ("peer", "bf16"): worker([5.0], 5e9),
        ("ours", "float32"): worker([4.0], 3e9),
        ("ours", "bf16"): worker([2.0], 4e9),
    }
    rows = list(compare.lines("train", workers))
    assert rows[0].startswith("| GAN step | bf16 2000 ms | float32 8000 ms")
    assert "| 4.00 | 2.5 |" in rows[0]
    assert "| GAN memory | float32 3000 MB | float32 6000 MB | 2.00" in rows[3]


@pytest.mark.parametrize("program", sorted({r.program for r in compare.ROWS}))
def test_only_what_rows_ask_for_is_started(program):
    """With only that the rows are made, and without any of it they fail."""

    def worker():
        found = object.__new__(compare.Worker)
        found.rounds, found.peak_bytes = [1.0], 1
        return found

    sides = compare.sides(program)
    assert sides[0][1] == "float32"
    workers = {pair: worker() for pair in sides}
    expected = [row for row in compare.ROWS if row.program == program]
    assert len(list(compare.lines(program, workers))) == len(expected)
    for pair in sides:
        fewer = {k: v for k, v in workers.items() if k != pair}
        with pytest.raises(KeyError):
            list(compare.lines(program, fewer))


@pytest.mark.parametrize("script", ["", "input(); print('{}', flush=True)"])
def test_a_side_that_ends_is_told(script):
    """Before it is asked, or after its first turn."""
    worker = object.__new__(compare.Worker)
    worker.name = "ours train bf16"
    worker.process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    if script:
        worker.process.stdin.write("1\n")
        worker.process.stdin.flush()
    worker.process.wait()
    with pytest.raises(SystemExit, match="ours train bf16 ended"):
        worker.run(2)
    worker.process.stdout.close()
    with contextlib.suppress(BrokenPipeError):
        worker.process.stdin.close()


def test_a_number_below_one_is_said():
    found = run("-m", "tests.peers.compare", "--rounds=0")
    assert found.returncode == 2
    assert "--rounds: must be at least 1; received 0" in found.stderr


def test_an_unknown_program_and_no_torch_are_said():
    found = run("-m", "tests.peers.compare", "draw")
    assert found.returncode == 2
    assert "programs must be of ['generate'" in found.stderr
    script = "import sys; sys.modules['torch'] = None; import tests.peers"
    found = run("-c", script)
    assert found.returncode == 1
    message = "the peer networks need torch: pip install -e .[convert]"
    assert found.stderr.strip() == message
