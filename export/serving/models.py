"""The served models and versions, which are found by polling folders.

One thread updates the models; the threads of requests read them.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator

from tensorflow_serving.apis.get_model_status_pb2 import ModelVersionStatus

from attngan_tf.errors import UserError
from export.serving.console import report
from export.serving.errors import ServingError, invalid, not_found
from export.serving.model_settings import ModelSettings
from export.serving.servable import Servable

Load = Callable[[str, int, str], Servable]


class Model:
    """A model's versions.

    Args:
      settings: which versions.
      load: makes a Servable from a model's name, a version and its folder.
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
        self._lock = threading.Lock()
        self._served: dict[int, Servable] = {}
        self._statuses: dict[int, ModelVersionStatus] = {}
        # Inode and time of folders that failed to load: a version is tried
        # again when its folder has changed.
        self._failed: dict[int, tuple[int, int]] = {}

    def start(self) -> None:
        """Loads the versions in the folder; raises UserError if one fails."""
        self.settings.check_present()
        self.update(self.settings)
        for status in self._statuses.values():
            if status.status.error_code:
                raise UserError(
                    f"version {status.version} of {self.settings.name} in "
                    f"{self.settings.base_path} cannot be served: "
                    f"{status.status.error_message}"
                )

    def update(self, settings: ModelSettings) -> None:
        """Loads versions that are newly wanted, then unloads unwanted ones.

        A label moves after its new version is loaded and before its old one
        is unloaded. Old versions are served until a new one can be.

        Raises:
          OSError: the folder cannot be read; everything stays as it was.
          UserError: a label names a version that is not served.
        """
        present = settings.present()
        wanted = settings.wanted(set(present))
        for version in sorted(wanted - set(self._served)):
            self._start_version(version, present[version])
        for label, version in settings.labels.items():
            if version not in self._served and not self._labels_may_wait:
                served = ", ".join(map(str, sorted(self._served))) or "none"
                raise UserError(
                    f"the label {label} of {settings.name} must name a version "
                    f"that is served ({served}); received {version}"
                )
        with self._lock:
            self.settings = settings
        if not wanted or wanted & set(self._served):
            for version in set(self._served) - wanted:
                self._retire(version)

    def _start_version(self, version: int, path: str) -> None:
        with contextlib.suppress(OSError):
            found = os.stat(path)
            stamp = found.st_ino, found.st_mtime_ns
            if self._failed.get(version) == stamp:
                return
            self._failed[version] = stamp
        name = self.settings.name
        self._set(version, "LOADING")
        try:
            servable = self._load(name, version, path)
        except ServingError as error:
            self._set(version, "END", error)
            report(
                f"version {version} of {name} cannot be served: {error.message}"
            )
            return
        with self._lock:
            self._served[version] = servable
        self._set(version, "AVAILABLE")
        self._failed.pop(version, None)
        report(f"version {version} of {name} is served")

    def _retire(self, version: int) -> None:
        with self._lock:
            servable = self._served.pop(version)
        self._set(version, "UNLOADING")
        servable.retire(closed=lambda: self._set(version, "END"))
        report(f"version {version} of {self.settings.name} is no longer served")

    def _set(
        self, version: int, state: str, error: ServingError | None = None
    ) -> None:
        status = ModelVersionStatus(version=version, state=state)
        status.status.error_code = error.code if error else 0
        status.status.error_message = error.message if error else ""
        with self._lock:
            self._statuses[version] = status

    @contextlib.contextmanager
    def use(
        self, version: int | None = None, label: str | None = None
    ) -> Iterator[Servable]:
        """Holds a version open; the default is the newest one served.

        Raises:
          ServingError: it is not served, or there is no such label.
        """
        name = self.settings.name
        with self._lock:
            if label is not None:
                if label not in self.settings.labels:
                    raise invalid(f"{name} has no version label {label!r}")
                version = self.settings.labels[label]
            if version is None:
                version = max(self._served, default=None)
            servable = self._served.get(version)
            if servable is None:
                raise not_found(f"version {version} of {name} is not served")
            servable.acquire()
        try:
            yield servable
        finally:
            servable.release()

    def statuses(self, version: int | None) -> list[ModelVersionStatus]:
        """The states of all versions, newest first, or of one.

        Raises:
          ServingError: there was never such a version.
        """
        with self._lock:
            known = sorted(self._statuses.items(), reverse=True)
        found = [status for key, status in known if version in (None, key)]
        if not found:
            name = self.settings.name
            raise not_found(f"there was no version {version} of {name}")
        return found

    def close(self) -> None:
        """Unloads every version."""
        for version in list(self._served):
            self._retire(version)


class Models:
    """Models by name; for the arguments see `Model`."""

    def __init__(self, load: Load, labels_may_wait: bool = False):
        self._load = load
        self._labels_may_wait = labels_may_wait
        self._models: dict[str, Model] = {}
        self._faults: set[str] = set()

    def find(self, name: str) -> Model:
        """A model by name; raises ServingError if there is none."""
        model = self._models.get(name)
        if model is None:
            raise not_found(f"no model is named {name!r}")
        return model

    def _add(self, settings: ModelSettings) -> Model:
        model = Model(settings, self._load, self._labels_may_wait)
        return self._models.setdefault(settings.name, model)

    def start(self, settings: list[ModelSettings]) -> None:
        """Loads every model; raises UserError."""
        for wanted in settings:
            self._add(wanted).start()

    def update(self, settings: list[ModelSettings]) -> None:
        """Serves these models, and reports each fault once."""
        faults = set()
        for wanted in settings:
            try:
                self._add(wanted).update(wanted)
            except (OSError, UserError) as error:
                faults.add(f"{wanted.name} cannot be updated: {error}")
        for name in set(self._models) - {wanted.name for wanted in settings}:
            self._models.pop(name).close()
        for fault in faults - self._faults:
            report(fault)
        self._faults = faults
