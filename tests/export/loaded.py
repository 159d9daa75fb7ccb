"""Exported versions in this process, in a session as a server has it."""

import contextlib
import pathlib

import tensorflow as tf


class Loaded(contextlib.AbstractContextManager):
    """Runs the signatures of a version's folder; closes the session on exit."""

    def __init__(self, folder: pathlib.Path):
        self.session = tf.compat.v1.Session(graph=tf.Graph())
        loaded = tf.compat.v1.saved_model.load(
            self.session, ["serve"], str(folder)
        )
        self.signatures = {
            name: signature
            for name, signature in loaded.signature_def.items()
            if not name.startswith("__")  # the initializer
        }

    def __exit__(self, *_):
        self.session.close()

    def run(self, name: str, **inputs) -> dict:
        signature = self.signatures[name]
        feeds = {
            signature.inputs[key].name: value for key, value in inputs.items()
        }
        fetches = {key: info.name for key, info in signature.outputs.items()}
        return self.session.run(fetches, feeds)
