"""Fixtures that run the client's command in this process."""

import sys

import pytest

from export import client


@pytest.fixture
def call(monkeypatch, capsys, tmp_path):
    """Runs the command in an empty folder; returns its exit code and output."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(client, "FIRST_WAIT", 0.01)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["client", *arguments])
        code = 0
        try:
            client.main()
        except SystemExit as stop:
            code = stop.code
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return code, captured.out, captured.err

    return run


@pytest.fixture
def error_of(call):
    """The one line of a command that must fail."""

    def run(*arguments: str) -> str:
        code, out, err = call(*arguments)
        assert (code, out) == (1, "")
        assert err.startswith("error: ")
        assert err.count("\n") == 1
        return err

    return run
