"""The protocol as a table: what is sent, and what must come back.

GENERATOR holds for every model with the generator's signatures, the others
for the toy model. All of it holds for tensorflow_model_server, too.
"""

import dataclasses
import json
from collections.abc import Callable
from typing import Any

from server_process import Answer, Client


@dataclasses.dataclass(frozen=True)
class Case:
    """A request; `path` is what follows /v1/models/NAME."""

    name: str
    body: Any
    status: int
    path: str = ":predict"
    verb: str = "POST"
    check: Callable[[bytes], bool] | None = None

    def run(self, client: Client, model: str) -> None:
        """Sends it and asserts what the table says."""
        path = self.path
        if not path.startswith("/") or path.startswith(("/v", "/l", "/m")):
            path = f"/v1/models/{model}{path}"
        path = path.removeprefix("//")
        answer = client.send(self.verb, path, self.body)
        assert answer.status == self.status, answer.body[:300]
        if self.status >= 400:
            assert_error(answer)
        if self.check:
            assert self.check(answer.body), answer.body[:300]


def assert_error(answer: Answer) -> None:
    """Errors are {"error": "a line"}."""
    error = answer.json()
    assert list(error) == ["error"]
    assert error["error"]
    assert "Traceback" not in error["error"]
