"""Files of models and memories, read strictly, for lococo_transformers.py: whatever is wrong with one
is a BadExport of one line, as the tools of this project would say it."""

import json

from safetensors import SafetensorError, safe_open


class BadExport(ValueError):
    """A model, an export or options that cannot be run, in one readable line: where, what is wrong,
    what to do."""


def one_line(error):
    """What another library says of an error, often in a paragraph."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else text[:300] + "..."


def refuse_lfs_pointer(content, path):
    if content.startswith(b"version https://git-lfs"):
        raise BadExport(f"{path}: is a pointer of Git LFS, not the file itself; run: git lfs install "
                        "&& git lfs pull, in the folder that was cloned")


def read_json_object(path):
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadExport(f"{path}: cannot be read ({error.strerror})") from None
    refuse_lfs_pointer(content, path)
    try:
        value = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise BadExport(f"{path}: is not JSON ({one_line(error)}); copy or download the file "
                        "again") from None
    if not isinstance(value, dict):
        raise BadExport(f"{path}: is not a JSON object; copy or download the file again")
    return value


class TensorFile:
    """What a safetensors file says of its tensors, and their bytes as they lie there."""

    def __init__(self, path):
        self.path = path
        try:
            with open(path, "rb") as file:
                refuse_lfs_pointer(file.read(64), path)
            with safe_open(str(path), framework="pt"):
                pass  # its header fits its length
            with open(path, "rb") as file:
                length = int.from_bytes(file.read(8), "little")
                self.tensors = json.loads(file.read(length))
        except OSError as error:
            raise BadExport(f"{path}: cannot be read ({error.strerror or one_line(error)})") from None
        except SafetensorError as error:
            raise BadExport(f"{path}: not a valid safetensors file: {one_line(error)} (was it copied "
                            "or downloaded in full?)") from None
        self.metadata = self.tensors.pop("__metadata__", {})
        self.begin = 8 + length

    def shape(self, name):
        return tuple(self.tensors[name]["shape"])

    def pieces(self, name, most=1 << 24):
        """A tensor's bytes, some at a time: all of a large model would not fit."""
        first, end = self.tensors[name]["data_offsets"]
        with open(self.path, "rb") as file:
            file.seek(self.begin + first)
            while first < end:
                piece = file.read(min(most, end - first))
                if not piece:
                    raise BadExport(f"{self.path}: was cut off while it was read")
                first += len(piece)
                yield piece
