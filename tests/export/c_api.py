"""Answers requests with a SavedModel through TensorFlow's C API.

c_api.py LIBRARIES MODEL REQUESTS ANSWERS

A program that never imports tensorflow: `TF_LoadSessionFromSavedModel` is the
loader that TensorFlow Serving is built on. REQUESTS is a pickle of {signature:
(inputs {tensor: [bytes]}, outputs {name: tensor})}, ANSWERS of {signature:
{name: array}}; strings are arrays of bytes objects.
"""

import ctypes
import math
import os
import pickle
import sys

import numpy as np

STRING = 7
DTYPES = {1: np.float32, 3: np.int32}
STRING_BYTES = 24  # of a TF_TString
POINTERS = (
    "TF_NewStatus TF_NewGraph TF_NewSessionOptions TF_AllocateTensor "
    "TF_TensorData TF_GraphOperationByName TF_LoadSessionFromSavedModel "
    "TF_StringGetDataPointer"
)
Pointer = ctypes.c_void_p


class Output(ctypes.Structure):
    """A TF_Output."""

    _fields_ = [("operation", Pointer), ("index", ctypes.c_int)]


class Model:
    """A loaded SavedModel."""

    def __init__(self, libraries, folder):
        for name in ("libtensorflow_framework.so.2", "libtensorflow_cc.so.2"):
            path = os.path.join(libraries, name)
            self.tf = ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
        for name in POINTERS.split():
            getattr(self.tf, name).restype = Pointer
        self.tf.TF_Message.restype = ctypes.c_char_p
        self.tf.TF_StringGetSize.restype = ctypes.c_size_t
        self.tf.TF_Dim.restype = ctypes.c_int64
        self.status = Pointer(self.tf.TF_NewStatus())
        self.graph = Pointer(self.tf.TF_NewGraph())
        options = Pointer(self.tf.TF_NewSessionOptions())
        path, tags = folder.encode(), (ctypes.c_char_p * 1)(b"serve")
        session = self.tf.TF_LoadSessionFromSavedModel(
            options, None, path, tags, 1, self.graph, None, self.status
        )
        self.session = Pointer(session)
        self.check()

    def check(self):
        if self.tf.TF_GetCode(self.status):
            raise SystemExit(self.tf.TF_Message(self.status).decode())

    def outputs(self, tensors):
        """An array of TF_Output for tensors' names."""
        found = []
        for tensor in tensors:
            name, index = tensor.encode().split(b":")
            operation = self.tf.TF_GraphOperationByName(self.graph, name)
            assert operation, f"no operation {name}"
            found.append(Output(operation, int(index)))
        return (Output * len(found))(*found)

    def to_tensor(self, texts):
        dims = (ctypes.c_int64 * 1)(len(texts))
        size = ctypes.c_size_t(len(texts) * STRING_BYTES)
        tensor = self.tf.TF_AllocateTensor(STRING, dims, 1, size)
        data = self.tf.TF_TensorData(Pointer(tensor))
        for i, text in enumerate(texts):
            string = Pointer(data + i * STRING_BYTES)
            self.tf.TF_StringInit(string)
            self.tf.TF_StringCopy(string, text, ctypes.c_size_t(len(text)))
        return tensor

    def to_array(self, tensor):
        dims = range(self.tf.TF_NumDims(tensor))
        shape = [self.tf.TF_Dim(tensor, i) for i in dims]
        data = self.tf.TF_TensorData(tensor)
        kind = self.tf.TF_TensorType(tensor)
        if kind != STRING:
            dtype = np.dtype(DTYPES[kind])
            raw = ctypes.string_at(data, math.prod(shape) * dtype.itemsize)
            return np.frombuffer(raw, dtype).reshape(shape)
        texts = np.empty(shape, object)
        for i in range(texts.size):
            string = Pointer(data + i * STRING_BYTES)
            start = self.tf.TF_StringGetDataPointer(string)
            size = self.tf.TF_StringGetSize(string)
            texts.flat[i] = ctypes.string_at(start, size)
        return texts

    def run(self, inputs, outputs):
        tensors = [self.to_tensor(texts) for texts in inputs.values()]
        values = (Pointer * len(tensors))(*tensors)
        feeds, fetches = self.outputs(inputs), self.outputs(outputs.values())
        found = (Pointer * len(fetches))()
        given = feeds, values, len(feeds)
        wanted = fetches, found, len(fetches)
        self.tf.TF_SessionRun(
            self.session, None, *given, *wanted, None, 0, None, self.status
        )
        self.check()
        arrays = [self.to_array(Pointer(tensor)) for tensor in found]
        return dict(zip(outputs, arrays, strict=True))


def main(libraries, folder, requests, answers):
    model = Model(libraries, folder)
    with open(requests, "rb") as file:
        asked = pickle.load(file)
    found = {name: model.run(*request) for name, request in asked.items()}
    assert "tensorflow" not in sys.modules
    with open(answers, "wb") as file:
        pickle.dump(found, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
