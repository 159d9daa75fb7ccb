"""Which versions of a model are served: the folder is watched."""

import contextlib
import dataclasses
import os
import threading
from collections.abc import Callable, Iterator

from attngan_tf.errors import UserError
from export.serving.console import tell
from export.serving.errors import Code, ServingError, invalid, not_found
from export.serving.model_settings import ModelSettings
from export.serving.servable import Servable

LOAD_SECONDS = 5.0  # a version that loads at the end is not waited for
Load = Callable[[str, int, str], Servable]


@dataclasses.dataclass
class VersionStatus:
    """A version's state, as the status page tells it."""

    version: int
    state: str  # START LOADING AVAILABLE UNLOADING END
    code: Code = Code.OK
    message: str = ""


class Model:
    """A model's versions: those that serve, and those that did or failed.

    Args:
      settings: which versions.
      load: makes a Servable of a model's name, a version and its folder.
      labels_may_wait: whether a label may name a version that is not served.
    """

    def __init__(
        self,
        settings: ModelSettings,
        load: Load,
        labels_may_wait: bool = False,
    ):
        self.settings = settings
        self._load = load
        self._labels_may_wait = labels_may_wait
        self._polling = threading.Lock()
        self._closed = False
        self._lock = threading.Lock()
        self._served: dict[int, Servable] = {}
        self._statuses: dict[int, VersionStatus] = {}
        # What a version that failed looked like: it is tried again only when
        # that changes.
        self._failed: dict[int, tuple] = {}
        self._absent: set[int] = set()  # versions asked for that were not there

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
        self._check_labels(self.settings)

    def _check_labels(self, settings: ModelSettings) -> None:
        for label, version in settings.labels.items():
            if version not in self._served and not self._labels_may_wait:
                raise UserError(
                    f"the label {label} of {settings.name} must name a "
                    "version that is served "
                    f"({', '.join(map(str, sorted(self._served)))}); received "
                    f"{version}"
                )

    def change(self, settings: ModelSettings) -> None:
        """Serves other versions of the same folder, and takes the labels.

        A label moves between its new version's loading and its old one's end.

        Raises:
          OSError: the folder cannot be read.
          UserError: a label names a version that is not served; everything
            stays as it was.
        """
        with self._polling:
            wanted = self._load_wanted(settings)
            self._check_labels(settings)
            with self._lock:
                self.settings = settings
            self._retire_others(wanted)

    def poll(self) -> None:
        """Loads new versions, then unloads those no longer wanted.

        Raises:
          OSError: the folder cannot be read.
        """
        with self._polling:
            if not self._closed:
                self._retire_others(self._load_wanted(self.settings))

    def _load_wanted(self, settings: ModelSettings) -> set[int]:
        """Loads the new ones of the versions wanted, and returns all."""
        present = settings.present()
        wanted = settings.wanted(set(present))
        if absent := set(settings.specific) - set(present) - self._absent:
            tell(
                f"version {', '.join(map(str, sorted(absent)))} of "
                f"{settings.name} is asked for and not in {settings.base_path}"
            )
        self._absent = set(settings.specific) - set(present)
        for version in set(self._failed) - set(present):
            del self._failed[version]
        looks = {x: look_of(present[x]) for x in wanted - set(self._served)}
        new = [x for x in sorted(looks) if self._failed.get(x) != looks[x]]
        for version in new:
            self._set(VersionStatus(version, "START"))
        for version in new:
            self._start_version(version, present[version], looks[version])
        return wanted

    def _retire_others(self, wanted: set[int]) -> None:
        # The old version serves on while none of the wanted ones does.
        if not wanted or wanted & set(self._served):
            for version in set(self._served) - wanted:
                self._retire(version)

    def _start_version(self, version: int, path: str, look: tuple) -> None:
        name = self.settings.name
        if self._closed:
            return
        self._set(VersionStatus(version, "LOADING"))
        try:
            servable = self._load(name, version, path)
        except ServingError as error:
            self._failed[version] = look
            self._set(VersionStatus(version, "END", error.code, error.message))
            tell(
                f"version {version} of {name} cannot be served: {error.message}"
            )
            return
        self._failed.pop(version, None)
        with self._lock:
            self._served[version] = servable
            self._statuses[version] = VersionStatus(version, "AVAILABLE")
        if self._closed:  # meanwhile
            self._retire(version)
            return
        tell(f"version {version} of {name} is served")

    def _retire(self, version: int) -> None:
        with self._lock:
            servable = self._served.pop(version, None)
            if servable is None:  # closed meanwhile
                return
            self._statuses[version] = VersionStatus(version, "UNLOADING")
        ended = VersionStatus(version, "END")
        servable.retire(closed=lambda: self._set(ended))
        tell(f"version {version} of {self.settings.name} is no longer served")

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
    def use(
        self, version: int | None = None, label: str | None = None
    ) -> Iterator[Servable]:
        """A version, kept open; without a choice, the newest that serves.

        Raises:
          ServingError: it does not serve, or there is no such label.
        """
        with self._lock:
            if label is not None:
                version = self.version_of(label)
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

    def close(self, seconds: float = LOAD_SECONDS) -> None:
        """Retires every version; one that loads longer, when it is loaded."""
        self._closed = True
        waited = self._polling.acquire(timeout=max(0.0, seconds))
        try:
            for version in list(self._served):
                self._retire(version)
        finally:
            if waited:
                self._polling.release()


def look_of(path: str) -> tuple:
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
