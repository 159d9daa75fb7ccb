"""Answers requests with a SavedModel through TensorFlow's C API.

c_api.py LIBRARIES MODEL REQUESTS ANSWERS

A program that never imports tensorflow: `TF_LoadSessionFromSavedModel` is the
loader that TensorFlow Serving is built on. REQUESTS is a pickle of {signature:
(inputs {tensor: array}, outputs {name: tensor})}, ANSWERS of {signature:
{name: array}}; strings are arrays of bytes objects.
"""

import ctypes
import os
import pickle
import sys

import numpy as np

STRING = 7
NUMBERS = {
    np.dtype(np.float32): 1,
    np.dtype(np.int32): 3,
    np.dtype(np.uint8): 4,
    np.dtype(np.int64): 9,
}
STRING_BYTES = 24  # of a TF_TString
POINTERS = (
    "TF_NewStatus TF_NewGraph TF_NewSessionOptions TF_AllocateTensor "
    "TF_TensorData TF_GraphOperationByName TF_LoadSessionFromSavedModel "
    "TF_StringGetDataPointer"
)


class Output(ctypes.Structure):
    """A TF_Output."""

    _fields_ = [("operation", ctypes.c_void_p), ("index", ctypes.c_int)]


class Model:
    """A loaded SavedModel."""

    def __init__(self, libraries, folder):
        for name in ("libtensorflow_framework.so.2", "libtensorflow_cc.so.2"):
            path = os.path.join(libraries, name)
            self.tf = ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
        for name in POINTERS.split():
            getattr(self.tf, name).restype = ctypes.c_void_p
        self.tf.TF_Message.restype = ctypes.c_char_p
        for name in ("TF_StringGetSize", "TF_TensorByteSize"):
            getattr(self.tf, name).restype = ctypes.c_size_t
        self.tf.TF_Dim.restype = ctypes.c_int64
        self.status = ctypes.c_void_p(self.tf.TF_NewStatus())
        self.graph = ctypes.c_void_p(self.tf.TF_NewGraph())
        tags = (ctypes.c_char_p * 1)(b"serve")
        options = ctypes.c_void_p(self.tf.TF_NewSessionOptions())
        self.session = ctypes.c_void_p(
            self.tf.TF_LoadSessionFromSavedModel(
                options,
                None,
                folder.encode(),
                tags,
                1,
                self.graph,
                None,
                self.status,
            )
        )
        self.check()

    def check(self):
        if self.tf.TF_GetCode(self.status):
            raise SystemExit(self.tf.TF_Message(self.status).decode())

    def output(self, tensor):
        name, index = tensor.split(":")
        operation = self.tf.TF_GraphOperationByName(self.graph, name.encode())
        assert operation, f"no operation {name}"
        return Output(operation, int(index))

    def to_tensor(self, array):
        kind = NUMBERS.get(array.dtype, STRING)
        size = array.nbytes if kind != STRING else array.size * STRING_BYTES
        dims = (ctypes.c_int64 * array.ndim)(*array.shape)
        tensor = ctypes.c_void_p(
            self.tf.TF_AllocateTensor(
                kind, dims, array.ndim, ctypes.c_size_t(size)
            )
        )
        data = self.tf.TF_TensorData(tensor)
        if kind != STRING:
            ctypes.memmove(data, array.tobytes(), size)
            return tensor
        for i, text in enumerate(array.flat):
            place = ctypes.c_void_p(data + i * STRING_BYTES)
            self.tf.TF_StringInit(place)
            self.tf.TF_StringCopy(place, text, ctypes.c_size_t(len(text)))
        return tensor

    def to_array(self, tensor):
        dims = range(self.tf.TF_NumDims(tensor))
        shape = [self.tf.TF_Dim(tensor, i) for i in dims]
        data = self.tf.TF_TensorData(tensor)
        kind = self.tf.TF_TensorType(tensor)
        if kind != STRING:
            dtype = next(d for d, number in NUMBERS.items() if number == kind)
            size = self.tf.TF_TensorByteSize(tensor)
            raw = ctypes.string_at(data, size) if size else b""
            return np.frombuffer(raw, dtype).reshape(shape)
        texts = np.empty(shape, object)
        for i in range(texts.size):
            place = ctypes.c_void_p(data + i * STRING_BYTES)
            start = self.tf.TF_StringGetDataPointer(place)
            texts.flat[i] = ctypes.string_at(
                start, self.tf.TF_StringGetSize(place)
            )
        return texts

    def run(self, inputs, outputs):
        feeds = [self.output(tensor) for tensor in inputs]
        fetches = [self.output(tensor) for tensor in outputs.values()]
        values = [self.to_tensor(array) for array in inputs.values()]
        results = (ctypes.c_void_p * len(fetches))()
        self.tf.TF_SessionRun(
            self.session,
            None,
            (Output * len(feeds))(*feeds),
            (ctypes.c_void_p * len(values))(*values),
            len(feeds),
            (Output * len(fetches))(*fetches),
            results,
            len(fetches),
            None,
            0,
            None,
            self.status,
        )
        self.check()
        arrays = (self.to_array(ctypes.c_void_p(tensor)) for tensor in results)
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
