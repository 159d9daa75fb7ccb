"""Preparing with Apache Beam: pictures are read by the workers of a job.

Beam is an optional dependency, imported only when it is asked for. What the
launching process knows of the pictures goes to the workers in files, one line
of JSON a picture, below the folder that is prepared: a job's graph may hold
some MB only, and all workers must see that folder in any case.
"""

import contextlib
import glob
import io
import json
import os
import shlex
from collections.abc import Iterable, Iterator

from attngan_tf.data import pictures
from attngan_tf.data.entries import Checked, Entry, look, make_example
from attngan_tf.errors import UserError

FOLDER = "beam"  # in the folder that is prepared, until it is


def pipeline_options(flags: str):
    """Beam's PipelineOptions, from its own flags in one text.

    Raises:
      UserError: Beam is not installed, or has no such flags.
    """
    try:
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError as error:
        raise UserError(
            f"--beam_options needs Apache Beam; {error}; pip install -e "
            "'.[beam]', or leave the flag out"
        ) from None
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):  # argparse prints and exits
            options = PipelineOptions(shlex.split(flags))
            known = options.get_all_options()
            given = options.get_all_options(retain_unknown_options=True)
    except (SystemExit, ValueError) as error:
        reason = said.getvalue().strip().splitlines() or [str(error)]
        raise _not_beams(flags, reason[-1]) from None
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise _not_beams(flags, f"no flag of it is {', '.join(unknown)}")
    return options


def _not_beams(flags: str, reason: str) -> UserError:
    return UserError(
        "--beam_options must be flags of Apache Beam, such as "
        f"--runner=DirectRunner; received {flags!r}: {reason}"
    )


class Workers:
    """Looks into pictures, and makes records of them, by Beam's workers.

    Args:
      options: Beam's PipelineOptions.
      folder: an absolute path that means the same to every worker.
    """

    def __init__(self, options, folder: str):
        self._options = options
        self._folder = folder
        os.makedirs(folder)

    def look(self, split: str, entries: list[Entry]) -> Iterator[tuple]:
        """Pairs of an entry and what `look` finds, in order."""
        import apache_beam as beam

        listed = self._write(f"{split}_entries", enumerate(entries))
        found = os.path.join(self._folder, f"{split}_found")
        with failures_told(), beam.Pipeline(options=self._options) as pipeline:
            _ = (
                pipeline
                | beam.io.ReadFromText(listed)
                | beam.Reshuffle()  # to all workers, however few the files
                | beam.Map(_look_line)
                | beam.io.WriteToText(found)
            )
        results = dict(_lines(glob.glob(f"{glob.escape(found)}-*")))
        for number, entry in enumerate(entries):
            kind, *fields = results[number]
            error = kind == "error"
            yield (
                entry,
                pictures.PictureError(*fields)
                if error
                else pictures.Picture(*fields),
            )

    def examples(self, split: str, pairs: Iterable[tuple[Entry, Checked]]):
        """A PTransform of the records, as TFDS takes it: (name, features)."""
        import apache_beam as beam

        listed = self._write(f"{split}_checked", pairs)
        return (
            beam.io.ReadFromText(listed)
            | beam.Reshuffle()
            | beam.Map(_example_of_line)
        )

    def _write(self, name: str, items: Iterable[tuple]) -> str:
        path = os.path.join(self._folder, name)
        with open(path, "w", encoding="utf-8") as file:
            for item in items:
                file.write(json.dumps(item) + "\n")
        return path


def check_files(entries: Iterable[Entry]) -> list[Entry]:
    """The entries as a list; raises UserError unless all are files."""
    listed = []
    for entry in entries:
        if isinstance(entry.source, bytes):
            raise UserError(
                "--beam_options is for pictures in files; received records "
                f"of another data set ({entry.where}); leave it out"
            )
        listed.append(entry)
    return listed


@contextlib.contextmanager
def failures_told() -> Iterator[None]:
    """What ends a pipeline ends it in one line.

    Raises:
      UserError: the pipeline failed. Beam's own error has as many lines as
        its way through the workers.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # a runner can raise nearly anything
        lines = [line for line in str(error).splitlines() if line.strip()]
        raise UserError(
            "the Beam job must run to its end; it failed: "
            f"{(lines or [type(error).__name__])[-1].strip()}; mend that and "
            "run again"
        ) from error


def _lines(paths: Iterable[str]) -> Iterator:
    for path in paths:
        with open(path, encoding="utf-8") as file:
            for line in file:
                yield json.loads(line)


def _look_line(line: str) -> str:
    """In a worker: [number, entry] to [number, what was found]."""
    number, fields = json.loads(line)
    found = look(Entry(*fields))
    if isinstance(found, pictures.PictureError):
        return json.dumps([number, ["error", str(found)]])
    return json.dumps([number, ["picture", *found]])


def _example_of_line(line: str) -> tuple[str, dict]:
    """In a worker: [entry, checked] to a record."""
    entry, (conversion, crop) = json.loads(line)
    example = make_example(Entry(*entry), Checked(conversion, tuple(crop)))
    return example.name, example._asdict()
