"""All models of a server, and the threads that watch what they are of."""

import threading
import time
import traceback
from collections.abc import Callable, Iterator

from attngan_tf.errors import UserError
from export.serving.console import tell
from export.serving.errors import not_found
from export.serving.model_settings import ModelSettings
from export.serving.versions import LOAD_SECONDS, Load, Model, look_of


class Models:
    """Models by name.

    Args:
      settings: of each model.
      load: see `Model`.
      labels_may_wait: see `Model`.
    """

    def __init__(
        self,
        settings: list[ModelSettings],
        load: Load,
        labels_may_wait: bool = False,
    ):
        self._load = load
        self._labels_may_wait = labels_may_wait
        self._models = {x.name: self._model(x) for x in settings}
        # What could not be served, and what it looked like: it is tried again
        # only when that changes.
        self._refused: dict[str, tuple] = {}
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def _model(self, settings: ModelSettings) -> Model:
        return Model(settings, self._load, self._labels_may_wait)

    def __iter__(self) -> Iterator[Model]:
        return iter(list(self._models.values()))

    def find(self, name: str) -> Model:
        """A model by name; raises ServingError where there is none."""
        if name not in self._models:
            raise not_found(f"no model is named {name!r}")
        return self._models[name]

    def start(self) -> None:
        """Loads every model; raises UserError."""
        for model in self:
            model.start()

    def poll(self) -> None:
        """Looks for new versions of every model."""
        for model in self:
            try:
                model.poll()
            except OSError as error:
                # A file system may come back; what is loaded serves on.
                tell(f"cannot look for new versions: {error}")

    def change(self, settings: list[ModelSettings]) -> None:
        """Serves these models instead; one that cannot be served is told."""
        for wanted in settings:
            attempt = wanted, look_of(wanted.base_path)
            if self._refused.get(wanted.name) == attempt:
                continue
            self._refused.pop(wanted.name, None)
            try:
                self._change(wanted)
            except (OSError, UserError) as error:
                self._refused[wanted.name] = attempt
                tell(f"{wanted.name} cannot be changed: {error}")
        names = {wanted.name for wanted in settings}
        for name in set(self._models) - names:
            self._models.pop(name).close()

    def _change(self, wanted: ModelSettings) -> None:
        known = self._models.get(wanted.name)
        if known and known.settings.base_path == wanted.base_path:
            if known.settings != wanted:
                known.change(wanted)
            return
        new = self._model(wanted)
        try:
            new.start()
        except UserError:
            new.close()
            raise
        self._models[wanted.name] = new
        if known:
            known.close()

    def watch(self, look: Callable[[], None], seconds: float) -> None:
        """Calls `look` again and again in a thread; 0 seconds: never."""

        def work():
            while not self._stop.wait(seconds):
                try:
                    look()
                except Exception:  # a fault of ours must not end the watch
                    traceback.print_exc()

        if seconds:
            thread = threading.Thread(target=work, daemon=True)
            self._threads.append(thread)
            thread.start()

    def close(self) -> bool:
        """Ends the watch and retires every version.

        Returns:
          Whether no version was still loading.
        """
        self._stop.set()
        end = time.monotonic() + LOAD_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        for model in self:
            model.close(end - time.monotonic())
        return not any(thread.is_alive() for thread in self._threads)
