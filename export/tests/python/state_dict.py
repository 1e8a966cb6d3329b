"""Reads .pt files as PyTorch does with weights_only, with nothing but the standard library.

Usage: state_dict.py FILE.... Only the names that a state dict needs can be loaded. For every file one line of JSON: {"names":
[...], "tensors": {name: {"type", "shape", "strides", "bits"}}, "misaligned": [...], "stored": true}.
"""

import collections
import io
import json
import pickle
import struct
import sys
import zipfile

ALLOWED = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): lambda *arguments: arguments,
    ("torch", "FloatStorage"): ("FloatStorage", "f"),
    ("torch", "LongStorage"): ("LongStorage", "q"),
}


class Unpickler(pickle.Unpickler):
    def find_class(self, module, name):
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed")
        return ALLOWED[module, name]

    def persistent_load(self, identifier):
        kind, storage_type, key, location, elements = identifier
        assert kind == "storage" and location == "cpu", identifier
        return storage_type, key, elements


def data_offset(path, info):
    with open(path, "rb") as file:
        file.seek(info.header_offset)
        header = struct.unpack("<4s5H3I2H", file.read(30))
        assert header[0] == b"PK\3\4"
        return info.header_offset + 30 + header[9] + header[10]


def read(path):
    archive = zipfile.ZipFile(path)
    assert archive.testzip() is None, "checksums"
    (root,) = [name[: -len("/data.pkl")] for name in archive.namelist() if name.endswith("/data.pkl")]
    assert archive.read(f"{root}/version") == b"3\n"
    assert archive.read(f"{root}/byteorder") == b"little"
    state = Unpickler(io.BytesIO(archive.read(f"{root}/data.pkl"))).load()
    assert type(state) is collections.OrderedDict
    tensors = {}
    for name, ((storage_type, key, elements), offset, shape, strides, gradient, hooks) in state.items():
        assert gradient is False and hooks == collections.OrderedDict()
        kind, code = storage_type
        content = archive.read(f"{root}/data/{key}")
        assert len(content) == elements * struct.calcsize(code)
        count = 1
        for extent in shape:
            count *= extent
        assert offset == 0 and count == elements
        tensors[name] = {"type": kind, "shape": shape, "strides": strides, "bits": content.hex()}
    return {
        "names": list(state),
        "tensors": tensors,
        "misaligned": [info.filename for info in archive.infolist() if data_offset(path, info) % 64],
        "stored": all(info.compress_type == zipfile.ZIP_STORED for info in archive.infolist()),
    }


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        print(json.dumps(read(argument)), flush=True)
