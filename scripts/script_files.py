"""Files that scripts read and write: whatever is wrong with one is a Fault of one line, which names the
file, says what is wrong with it, and what to give instead (`remedy`)."""

import contextlib
import json
import os

from tool_runs import Fault


@contextlib.contextmanager
def opened(path, remedy):
    try:
        with open(path, "rb") as file:
            yield file
    except OSError as error:
        raise Fault(f"{path}: cannot be read ({error.strerror}); {remedy}") from None


def object_of(content, place, remedy):
    """A JSON object of bytes."""
    try:
        value = json.loads(content.decode("utf-8"))
    except UnicodeDecodeError:
        raise Fault(f"{place}: is not UTF-8; {remedy}") from None
    except (ValueError, RecursionError):
        raise Fault(f"{place}: is not JSON, or was cut short; {remedy}") from None
    if not isinstance(value, dict):
        raise Fault(f"{place}: is not a JSON object; {remedy}")
    return value


def read_json(path, remedy):
    with opened(path, remedy) as file:
        return object_of(file.read(), path, remedy)


def read_json_lines(path, remedy):
    """(FILE:LINE, object) of each line with something in it."""
    with opened(path, remedy) as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                place = f"{path}:{number}"
                yield place, object_of(line, place, remedy)


@contextlib.contextmanager
def taken_for(what, place, remedy):
    """For taking apart what was read: JSON of another shape is not `what`. What is done with the
    parts stays outside, or a bug of ours would be told as the user's fault."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError):
        raise Fault(f"{place}: is not {what}; {remedy}") from None


def check_output(path, inputs=()):
    """Before any work: that a file can be written there, and is none of those that are read."""
    folder = os.path.dirname(path) or "."
    if os.path.isdir(path):
        raise Fault(f"{path}: is a folder; name a file to write")
    if os.path.exists(path) and not os.path.isfile(path):
        raise Fault(f"{path}: is no plain file, and would be replaced; name another")
    if not os.path.isdir(folder):
        raise Fault(f"{path}: there is no folder {folder}; make it, or name another file")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise Fault(f"{path}: its folder may not be written to; name another file")
    if os.path.exists(path) and any(os.path.exists(other) and os.path.samefile(path, other)
                                    for other in inputs):
        raise Fault(f"{path}: is one of the files that are read; name another to write")


@contextlib.contextmanager
def new_file(path):
    """Yields a text file to fill, which appears whole or not at all."""
    unfinished = f"{path}.unfinished"
    try:
        with open(unfinished, "w", encoding="utf-8") as file:
            yield file
        os.replace(unfinished, path)
    except OSError as error:
        raise Fault(f"{path}: cannot be written ({error.strerror})") from error
    finally:
        with contextlib.suppress(OSError):  # it is not there where all went well
            os.remove(unfinished)
