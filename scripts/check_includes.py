#!/usr/bin/env python3
"""Checks the rules of the source tree that a compiler does not check.

  order        a room includes only the rooms that ROOMS names
  cycle        no file includes itself, directly or through others
  containment  a third party library is included only where it belongs (CONTAINED)
  torch        core, config, report, tokenizer, chat, data, questions, tasks, lessons, records and CUDA
               sources are free of torch headers
  header       headers start with #pragma once; a .cpp includes its own header first
  length       no file is longer than 500 lines
  crowd        no room holds more than 20 .cpp and .cu files
  own header   every .cpp and .cu below src has a header of its name
  listed       every source is listed in the CMakeLists.txt above it, and every listed one exists

Usage: check_includes.py [ROOT]      prints one line for each violation; exit code 1 when any.
"""

import fnmatch
import pathlib
import re
import sys

# Rooms in dependency order, each with the rooms that it may include besides itself, core and config
# (which core may not). tensor has rooms of its own: kit is below the others.
ROOMS = {
    "core": "",
    "config": "",
    "report": "",
    "tokenizer": "",
    "chat": "tokenizer",
    "data": "tokenizer",
    "questions": "tokenizer data",
    "tasks": "tokenizer chat data questions",
    "lessons": "tokenizer chat data questions tasks",
    "records": "tokenizer chat data",
    "tensor/kit": "",
    "tensor/frozen": "tensor/kit",
    "tensor/layers": "tensor/kit tensor/frozen",
    "tensor/conv": "tensor/kit",
    "tensor/attention": "tensor/kit",
    "tensor/pattern": "tensor/kit tensor/attention",
    "soft": "tensor",
    "lococo": "tensor soft",
    "model": "tensor lococo",
    "weights": "tensor lococo model",
    "pass": "tensor soft lococo model",
    "dist": "tensor/kit",
    "pipeline": "tensor lococo model pass dist",
    "setup": "tokenizer chat data lessons records tensor soft lococo model weights pass dist pipeline",
    "decode": "tensor lococo model pass pipeline",
    "generate": "report tokenizer chat data tensor lococo model weights pass dist pipeline setup decode",
    "eval": "report tokenizer chat data questions tasks records tensor lococo model weights pass dist pipeline setup decode generate",
    "train": "report tokenizer data lessons records tensor lococo model weights pass dist pipeline setup eval",
    "bench": "report tokenizer data tensor lococo model weights pass dist pipeline setup decode generate eval train",
    "tools": "report tokenizer data tensor lococo model weights pass dist pipeline setup decode generate eval train bench",
}

# library: (pattern of the include, files that may have it)
CONTAINED = {
    "MPI": (r"mpi\.h", ["src/dist/communicator_*.cpp", "tests/*.cpp"]),
    "NCCL": (r"nccl\.h|torch/csrc/(cuda/nccl\.h|distributed/.*NCCL.*)",
             ["src/dist/communicator_*.cpp"]),
    "yaml-cpp": (r"yaml-cpp/.*", ["src/config/config_yaml.cpp"]),
    "SentencePiece": (r"sentencepiece.*", ["src/tokenizer/sentencepiece_tokenizer.cpp"]),
    "PCRE2": (r"pcre2.*", ["src/tokenizer/pattern.cpp"]),
    "spdlog": (r"(spdlog|fmt)/.*", ["src/core/log.cpp"]),
    "CLI11": (r"CLI/.*", ["tools/*"]),
    # Slow to compile in every file; what the project needs of it is in tensor/kit/torch.h.
    "all of LibTorch": (r"torch/(torch|all|extension)\.h", ["src/tensor/kit/torch.h"]),
    "Catch2": (r"catch2/.*", ["tests/support/catch.h"]),
}

TORCH = re.compile(r"(torch|ATen|c10|caffe2)/.*")
TORCH_FREE = ["src/core/*", "src/config/*", "src/report/*", "src/tokenizer/*", "src/chat/*",
              "src/data/*", "src/questions/*", "src/tasks/*", "src/lessons/*", "src/records/*",
              "src/*.cu", "src/*.cuh"]

BUILT = ("src", "tools", "tests")
SOURCE_NAME = re.compile(r"(?<![\w${}/.-])[\w./-]+\.(?:cpp|cu)\b")
LISTED_ELSEWHERE = ["tests/support/fuzz_main.cpp"]  # cmake/Targets.cmake adds it

MAX_LINES = 500
MAX_SOURCES = 20
CODE = {".h", ".cpp", ".cu", ".cuh"}
MEASURED = CODE | {".py", ".sh", ".cmake"}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def source_files(root):
    """Paths relative to root, of every file the rules look at."""
    for top in ("src", "tools", "tests", "scripts", "cmake"):
        for path in sorted((root / top).rglob("*")):
            if path.is_file() and path.suffix in MEASURED:
                yield path.relative_to(root)


def includes_of(text):
    """(line number, included name) of each include, in order."""
    for number, line in enumerate(text.splitlines(), 1):
        match = INCLUDE.match(line)
        if match:
            yield number, match.group(2)


def room_of(path):
    """"core" for src/core/x.h, "tensor/kit" for src/tensor/kit/x.h, "tools" for tools/x.cpp, None
    where no order applies."""
    if path.parts[0] == "src" and len(path.parts) > 2:
        return "/".join(path.parts[1:-1])
    return "tools" if path.parts[0] == "tools" else None


def room_of_include(name):
    """The room that an include names, None for a header of a library."""
    folder = name.rpartition("/")[0]
    while folder and folder not in ROOMS and not any(room.startswith(folder + "/") for room in ROOMS):
        folder = folder.rpartition("/")[0]
    return folder or None


def may_include(room, target):
    """Whether ROOMS lets a file of `room` include one of `target`."""
    allowed = {"core", room, *ROOMS[room].split()} | ({"config"} if room != "core" else set())
    return any(target == name or target.startswith(name + "/") for name in allowed)


def matches(path, patterns):
    return any(fnmatch.fnmatch(path.as_posix(), pattern) for pattern in patterns)


def check_include(path, number, name):
    """Violations of one include line."""
    room = room_of(path)
    place = f"{path}:{number}"
    target = room_of_include(name)
    if room is not None:
        if room not in ROOMS:
            yield f"{place}: order: folder '{room}' is not in the order; add it to ROOMS"
        elif target is not None and not may_include(room, target):
            yield (f"{place}: order: {room} may not include {target} ({name}); "
                   f"allowed: core {ROOMS[room]}")
        elif name.startswith("tests/"):
            yield f"{place}: order: only tests may include {name}"
    for library, (pattern, places) in CONTAINED.items():
        if re.fullmatch(pattern, name) and not matches(path, places):
            yield f"{place}: containment: {library} ({name}) belongs in {', '.join(places)} only"
    if TORCH.fullmatch(name) and matches(path, TORCH_FREE):
        yield f"{place}: torch: {name} in a file that must be free of torch"


def check_file(root, path, text):
    """Violations of the rules about a file as a whole."""
    lines = text.count("\n")
    if lines > MAX_LINES:
        yield f"{path}:{MAX_LINES + 1}: length: {lines} lines, at most {MAX_LINES}: split the file"
    if path.suffix in (".h", ".cuh") and "#pragma once" not in text:
        yield f"{path}:1: header: #pragma once is missing"
    if path.suffix in (".cpp", ".cu") and path.parts[0] == "src":
        own = path.with_suffix(".h")
        if not (root / own).exists():
            yield f"{path}:1: own header: {own.name} is missing: declare there what others use"
        first = next(includes_of(text), (1, None))
        expected = own.relative_to("src").as_posix()
        if path.suffix == ".cpp" and (root / own).exists() and first[1] != expected:
            yield f"{path}:{first[0]}: header: the first include must be its own, {expected}"


def sources_by_room(root):
    """Room -> number of its .cpp and .cu files, of src and tools."""
    rooms = {}
    for path in source_files(root):
        room = room_of(path)
        if room and path.suffix in (".cpp", ".cu"):
            rooms[room] = rooms.get(room, 0) + 1
    return rooms


def check_crowds(root):
    for room, count in sources_by_room(root).items():
        if count > MAX_SOURCES:
            yield f"src/{room}:1: crowd: {count} sources, at most {MAX_SOURCES}: split the room"


def check_listed(root):
    """Sources that no CMakeLists.txt builds, and names in one that are no file."""
    listed = set()
    for lists in sorted(root.glob("*/**/CMakeLists.txt")):
        folder = lists.relative_to(root).parent
        if folder.parts[0] not in BUILT:
            continue
        for number, line in enumerate(lists.read_text(encoding="utf-8").splitlines(), 1):
            for name in SOURCE_NAME.findall(line.split("#")[0]):
                listed.add((folder / name).as_posix())
                if not (root / folder / name).is_file():
                    yield f"{folder}/CMakeLists.txt:{number}: listed: {name} does not exist"
    for path in source_files(root):
        if path.parts[0] in BUILT and path.suffix in (".cpp", ".cu") and not (
                path.as_posix() in listed or matches(path, LISTED_ELSEWHERE)):
            yield f"{path}:1: listed: no CMakeLists.txt lists this file: it is never built"


def find_cycles(graph):
    """One line for each include cycle; graph: file -> files it includes."""
    state = {}
    found = []

    def visit(node, trail):
        state[node] = "open"
        for target in graph.get(node, ()):
            if state.get(target) == "open":
                cycle = trail[trail.index(target):] + [target]
                found.append(f"{node}:1: cycle: {' -> '.join(cycle)}")
            elif target not in state:
                visit(target, trail + [target])
        state[node] = "done"

    for node in sorted(graph):
        if node not in state:
            visit(node, [node])
    return found


def check(root):
    """Every violation below root, as lines of text."""
    violations = []
    graph = {}
    for path in source_files(root):
        text = (root / path).read_text(encoding="utf-8", errors="replace")
        violations += check_file(root, path, text)
        if path.suffix not in CODE:
            continue
        edges = graph.setdefault(path.as_posix(), [])
        for number, name in includes_of(text):
            violations += check_include(path, number, name)
            for target in (pathlib.Path("src") / name, pathlib.Path(name)):
                if (root / target).is_file():
                    edges.append(target.as_posix())
                    break
    return violations + list(check_crowds(root)) + list(check_listed(root)) + find_cycles(graph)


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parents[1])
    files = list(source_files(root))
    if not files:
        print(f"{root}: no source files found")
        return 1
    violations = check(root)
    for line in violations:
        print(line)
    lines, longest = max(((root / path).read_text(errors="replace").count("\n"), path)
                         for path in files)
    rooms = sources_by_room(root)
    crowded = max(rooms, key=rooms.get, default="none")
    print(f"longest file {longest}, {lines} lines; largest room {crowded}, "
          f"{rooms.get(crowded, 0)} sources; "
          f"{sum('own header:' in line for line in violations)} headers missing; "
          f"{sum('cycle:' in line for line in violations)} cycles")
    print(f"{len(files)} files checked, {len(violations)} violations")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
