"""Exported versions in this process: their files, and a v1 session."""

import contextlib
import pathlib

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2


class Loaded(contextlib.AbstractContextManager):
    """Runs the signatures of a version's folder; closes the session on exit."""

    def __init__(self, folder: pathlib.Path):
        self.session = tf.compat.v1.Session(graph=tf.Graph())
        loaded = tf.compat.v1.saved_model.load(
            self.session, ["serve"], str(folder)
        )
        self.signatures = loaded.signature_def

    def __exit__(self, *_):
        self.session.close()

    def run(self, name: str, **inputs) -> dict:
        signature = self.signatures[name]
        feeds = {
            signature.inputs[key].name: value for key, value in inputs.items()
        }
        fetches = {key: info.name for key, info in signature.outputs.items()}
        return self.session.run(fetches, feeds)


def meta_graph(folder):
    content = (folder / "saved_model.pb").read_bytes()
    return saved_model_pb2.SavedModel.FromString(content).meta_graphs[0]


def signature_defs(folder) -> dict:
    """The exported signatures, without the initializer."""
    found = meta_graph(folder).signature_def
    return {k: v for k, v in found.items() if not k.startswith("__")}
