"""python -m tests.data.hostile FOLDER: writes all hostile files."""

import collections
import pathlib
import sys

from .corpus import make

if len(sys.argv) != 2:
    sys.exit(__doc__)
cases = make(pathlib.Path(sys.argv[1]).absolute())
for kind, count in collections.Counter(case.kind for case in cases).items():
    print(f"{count:4d}  {kind!r}")
print(f"{len(cases):4d}  in all")
