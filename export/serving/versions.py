"""Which versions of a model are served: the folder is watched."""

import contextlib
import dataclasses
import os
import threading
from collections.abc import Callable, Iterator

from attngan_tf.config import UserError
from export.serving.errors import Code, ServingError, invalid, not_found
from export.serving.servable import Servable
from export.serving.settings import ModelSettings

_LOAD_SECONDS = 5.0  # a version that loads at the end is not waited for


@dataclasses.dataclass
class VersionStatus:
    """A version's state, as the status page tells it."""

    version: int
    state: str  # START LOADING AVAILABLE UNLOADING END
    code: Code = Code.OK
    message: str = ""


class Model:
    """A model's versions: those that serve, and those that did or failed.

    `load` makes a Servable of a model's name, a version and its folder.
    """

    def __init__(
        self,
        settings: ModelSettings,
        load: Callable[[str, int, str], Servable],
    ):
        self.settings = settings
        self._load = load
        self._lock = threading.Lock()
        self._served: dict[int, Servable] = {}
        self._statuses: dict[int, VersionStatus] = {}
        # What a version that failed looked like: it is tried again only when
        # that changes.
        self._failed: dict[int, tuple] = {}

    def start(self) -> None:
        """Loads what is in the folder.

        Raises:
          UserError: there is no version, or one fails to load.
        """
        name, path = self.settings.name, self.settings.base_path
        self.settings.check_present()
        self.poll()
        for status in self._statuses.values():
            if status.code is not Code.OK:
                raise UserError(
                    f"version {status.version} of {name} in {path} cannot be "
                    f"served: {status.message}"
                )
        for label, version in self.settings.labels.items():
            if version not in self._served:
                raise UserError(
                    f"the label {label} of {name} must name a version that is "
                    f"served ({', '.join(map(str, sorted(self._served)))}); "
                    f"received {version}"
                )

    def poll(self) -> None:
        """Loads new versions, then unloads those no longer wanted.

        Raises:
          OSError: the folder cannot be read.
        """
        present = self.settings.present()
        wanted = self.settings.wanted(set(present))
        for version in set(self._failed) - set(present):
            del self._failed[version]
        looks = {x: _look(present[x]) for x in wanted - set(self._served)}
        new = [x for x in sorted(looks) if self._failed.get(x) != looks[x]]
        for version in new:
            self._set(VersionStatus(version, "START"))
        for version in new:
            self._start_version(version, present[version], looks[version])
        # The old version serves on while none of the wanted ones does.
        if not wanted or wanted & set(self._served):
            for version in set(self._served) - wanted:
                self._retire(version)

    def _start_version(self, version: int, path: str, look: tuple) -> None:
        name = self.settings.name
        self._set(VersionStatus(version, "LOADING"))
        try:
            servable = self._load(name, version, path)
        except ServingError as error:
            self._failed[version] = look
            self._set(VersionStatus(version, "END", error.code, error.message))
            _tell(
                f"version {version} of {name} cannot be served: {error.message}"
            )
            return
        self._failed.pop(version, None)
        with self._lock:
            self._served[version] = servable
            self._statuses[version] = VersionStatus(version, "AVAILABLE")
        _tell(f"version {version} of {name} is served")

    def _retire(self, version: int) -> None:
        with self._lock:
            servable = self._served.pop(version)
            self._statuses[version] = VersionStatus(version, "UNLOADING")
        ended = VersionStatus(version, "END")
        servable.retire(closed=lambda: self._set(ended))
        _tell(f"version {version} of {self.settings.name} is no longer served")

    def _set(self, status: VersionStatus) -> None:
        with self._lock:
            self._statuses[status.version] = status

    def version_of(self, label: str) -> int:
        """The version a label stands for; an unknown label raises."""
        try:
            return self.settings.labels[label]
        except KeyError:
            raise invalid(
                f"{self.settings.name} has no version label {label!r}"
            ) from None

    @contextlib.contextmanager
    def use(self, version: int | None) -> Iterator[Servable]:
        """A version, kept open; None stands for the newest that serves.

        Raises:
          ServingError: it does not serve.
        """
        with self._lock:
            if version is None:
                version = max(self._served, default=None)
            servable = self._served.get(version)
            if servable is None:
                raise not_found(
                    f"version {version} of {self.settings.name} is not served"
                    if version is not None
                    else f"no version of {self.settings.name} is served"
                )
            servable.acquire()
        try:
            yield servable
        finally:
            servable.release()

    def statuses(self, version: int | None) -> list[VersionStatus]:
        """The states of all versions, newest first, or of one.

        Raises:
          ServingError: nothing is known of it.
        """
        with self._lock:
            found = [
                self._statuses[number]
                for number in sorted(self._statuses, reverse=True)
                if version in (None, number)
            ]
        if not found:
            raise not_found(
                f"nothing is known of version {version} of {self.settings.name}"
            )
        return found

    def close(self) -> None:
        """Retires every version."""
        for version in list(self._served):
            self._retire(version)


class Models:
    """All models, and the thread that watches their folders."""

    def __init__(self, models: list[Model], poll_seconds: float):
        self._models = {model.settings.name: model for model in models}
        self._poll_seconds = poll_seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __iter__(self) -> Iterator[Model]:
        return iter(self._models.values())

    def find(self, name: str) -> Model:
        """A model by name; raises ServingError where there is none."""
        if name not in self._models:
            raise not_found(f"no model is named {name!r}")
        return self._models[name]

    def start(self) -> None:
        """Loads every model, then watches; raises UserError."""
        for model in self:
            model.start()
        if self._poll_seconds:
            self._thread.start()

    def _watch(self) -> None:
        while not self._stop.wait(self._poll_seconds):
            for model in self:
                try:
                    model.poll()
                except OSError as error:
                    # A file system may come back; what is loaded serves on.
                    _tell(f"cannot look for new versions: {error}")

    def close(self) -> None:
        """Ends the watch and retires every version."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(_LOAD_SECONDS)
        for model in self:
            model.close()


def _tell(text: str) -> None:
    """Prints a line; whoever read the output may be gone."""
    with contextlib.suppress(OSError):
        print(text, flush=True)


def _look(path: str) -> tuple:
    """What tells that a folder's files changed."""
    files = []
    for folder, _, names in os.walk(path):
        for name in names:
            file = os.path.join(folder, name)
            # A file may go while the folder is read.
            with contextlib.suppress(OSError):
                stat = os.stat(file)
                files.append(
                    (file, stat.st_ino, stat.st_size, stat.st_mtime_ns)
                )
    return tuple(sorted(files))
