"""Prepares data with Apache Beam, whose workers read the images.

Beam is an optional dependency, imported only when it is used. Entries are
passed to the workers in files, one line of JSON per image: a job's graph is
limited to a few MB. The files are below the folder that is prepared, which all
workers must be able to access anyway.
"""

import contextlib
import glob
import io
import json
import os
import shlex
from collections.abc import Iterable, Iterator

from attngan_tf.data import images
from attngan_tf.data.raw import Entry, inspect, make_example
from attngan_tf.errors import UserError, install_command


def pipeline_options(flags: str):
    """Parses Beam's flags, separated by spaces, into its PipelineOptions.

    Raises:
      UserError: Beam is not installed, or has no such flags.
    """
    try:
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError as error:
        raise UserError(
            f"--beam_options needs Apache Beam; {error}; run "
            f"{install_command('beam')}, or leave the flag out"
        ) from None
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed):  # argparse prints and exits
            options = PipelineOptions(shlex.split(flags))
            known = options.get_all_options()
            given = options.get_all_options(retain_unknown_options=True)
        unknown = sorted(set(given) - set(known))
        reason = f"it has no flag {', '.join(unknown)}" * bool(unknown)
    except (SystemExit, ValueError) as error:
        reason = (printed.getvalue().strip() or str(error)).splitlines()[-1]
    if reason:
        raise UserError(
            "--beam_options must be flags of Apache Beam, such as "
            f"--runner=DirectRunner; received {flags!r}: {reason}"
        )
    return options


class Workers:
    """Checks images, and converts them to records, in Beam's workers."""

    def __init__(self, options, folder: str):
        """Takes PipelineOptions, and a path that all workers can access."""
        self._options = options
        self._folder = folder

    def inspect(self, split: str, entries: list[Entry]) -> Iterator[tuple]:
        """Pairs of an entry and the result of `inspect`, in order."""
        import apache_beam as beam

        listed = self._write(f"{split}_entries", enumerate(entries))
        found = os.path.join(self._folder, f"{split}_found")
        with beam.Pipeline(options=self._options) as pipeline:
            _ = (
                pipeline
                | beam.io.ReadFromText(listed)
                | beam.Reshuffle()  # to all workers, even from a single file
                | beam.Map(_inspect_line)
                | beam.io.WriteToText(found)
            )
        results = {}
        for path in glob.glob(f"{glob.escape(found)}-*"):
            with open(path, encoding="utf-8") as file:
                results.update(map(json.loads, file))
        for number, entry in enumerate(entries):
            result = results[number]
            is_fault = isinstance(result, str)
            yield entry, result if is_fault else images.ImageInfo(*result)

    def examples(self, split: str, checked: Iterable[tuple]):
        """A PTransform of records as (name, features), which TFDS expects.

        `checked` has the arguments of `make_example` for each image.
        """
        import apache_beam as beam

        listed = self._write(f"{split}_checked", checked)
        return (
            beam.io.ReadFromText(listed)
            | beam.Reshuffle()
            | beam.Map(_example_of_line)
        )

    def _write(self, name: str, items: Iterable[tuple]) -> str:
        os.makedirs(self._folder, exist_ok=True)
        path = os.path.join(self._folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(json.dumps(item) + "\n" for item in items)
        return path


@contextlib.contextmanager
def failures_as_user_errors() -> Iterator[None]:
    """Turns the failure of a pipeline into a UserError of one line."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # its text includes the worker's stack
        lines = [line for line in str(error).splitlines() if line.strip()]
        raise UserError(
            "the Beam job must run to its end; it failed: "
            f"{(lines or [type(error).__name__])[-1].strip()}; fix the cause "
            "and run again"
        ) from error


def _inspect_line(line: str) -> str:
    """Inspects an image in a worker: [number, entry] -> [number, result]."""
    number, fields = json.loads(line)
    return json.dumps([number, inspect(Entry(*fields))])


def _example_of_line(line: str) -> tuple[str, dict]:
    """Makes a record in a worker from the arguments of `make_example`."""
    entry, conversion, crop = json.loads(line)
    example = make_example(Entry(*entry), conversion, tuple(crop))
    return example.name, example._asdict()
