"""Versions of a folder that hold no model."""

import os

from export.serving.errors import Code, ServingError


class Fake:
    """A servable that counts its users and knows when it is closed."""

    def __init__(self, version):
        self.version = version
        self.users = 0
        self.is_closed = False
        self._closed = None

    def acquire(self):
        self.users += 1

    def release(self):
        self.users -= 1
        self._end()

    def retire(self, closed):
        self._closed = closed
        self._end()

    def _end(self):
        if self._closed and not self.users:
            self.is_closed = True
            self._closed()


class Loader:
    """Loads fakes, and knows which; a version with a file `bad` fails."""

    def __init__(self):
        self.loads = []
        self.made = []

    def __call__(self, name, version, path):
        self.loads.append(version)
        if os.path.exists(os.path.join(path, "bad")):
            raise ServingError(Code.DATA_LOSS, "it is bad")
        self.made.append(Fake(version))
        return self.made[-1]


def publish(folder, version, bad=False):
    (folder / str(version)).mkdir(parents=True)
    if bad:
        (folder / str(version) / "bad").touch()


def states(model):
    return {s.version: s.state for s in model.statuses(None)}


def newest(model):
    with model.use(None) as servable:
        return servable.version
