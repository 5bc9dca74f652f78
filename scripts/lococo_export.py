"""Folders that hold a learned memory, for lococo_transformers.py: a run's folder, a checkpoint of it,
or what `lococo-export export.kind=conv` wrote. They are taken and refused as the tools do."""

import logging
import pathlib
import re

import xxhash

from lococo_base import base_difference, may_be_same_base
from lococo_files import BadExport, TensorFile, read_json_object

LOG = logging.getLogger("lococo_transformers")
GATES, OPTIONS, STATE = "lococo.safetensors", "lococo_config.json", "state.json"
ADAPTER, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
OPTIMIZER = "optimizer.safetensors"  # nothing that is read here needs it
GIVE = "give a run's folder, a checkpoint of it, or what `lococo-export export.kind=conv` wrote"


def checksum_of_file(path):
    digest = xxhash.xxh64()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def damage_of_file(folder, name, listed):
    if "/" in name or not isinstance(listed, dict) or not {"bytes", "xxh64"} <= listed.keys():
        return f"its {STATE} does not say size and checksum of {name}"
    path = folder / name
    try:
        found = path.stat().st_size
        if found != listed["bytes"]:
            return f"{name} is {found} bytes long instead of {listed['bytes']}"
        changed = checksum_of_file(path) != listed["xxh64"]
    except FileNotFoundError:
        return f"{name} is missing"
    except OSError as error:
        return f"{name} cannot be read ({error.strerror})"
    return f"the content of {name} has changed (checksum)" if changed else ""


def find_damage(checkpoint):
    """Why a checkpoint must not be used; empty when all that is read of it is unharmed."""
    try:
        state = read_json_object(checkpoint / STATE)
    except BadExport as error:
        return str(error)
    if state.get("format") != 1:
        return f"its {STATE} has format {state.get('format')}, this version reads format 1"
    files = state.get("files")
    if not isinstance(files, dict) or not isinstance(state.get("base_fingerprint"), str):
        return f"its {STATE} is incomplete (it has no files or base_fingerprint)"
    for name, listed in files.items():
        problem = "" if name == OPTIMIZER else damage_of_file(checkpoint, name, listed)
        if problem:
            return problem
    return ""


def checkpoints_newest_first(run):
    """The folders step-00000040 of a run, by their steps."""
    found = []
    for folder in run.iterdir():
        match = re.fullmatch(r"step-(\d{8,18})", folder.name)
        if match and folder.name == f"step-{int(match[1]):08d}" and (folder / STATE).exists():
            found.append((int(match[1]), folder))
    return [folder for _, folder in sorted(found, reverse=True)]


def newest_good_checkpoint(run):
    """None for a folder without any checkpoints."""
    checkpoints = checkpoints_newest_first(run)
    for folder in checkpoints:
        problem = find_damage(folder)
        if not problem:
            LOG.info("%s is a run's folder; its newest good checkpoint %s is taken", run, folder)
            return folder
        LOG.warning("%s: passed over, because %s", folder, problem)
    if checkpoints:
        raise BadExport(f"{run}: every checkpoint of this run's folder is damaged; copy one again "
                        "from where the run was made")
    return None


def refuse_without_gates(folder):
    """Says what a folder is that holds no gates, and what to give in its place."""
    def holds(*names):
        return any((folder / name).exists() for name in names)
    text = f"holds no {GATES}; {GIVE}"
    if holds(STATE):
        cache = read_json_object(folder / STATE).get("cache")
        policy = cache.get("policy") if isinstance(cache, dict) else None
        text = (f"is a checkpoint of cache.policy {policy}, which has no gates; only a memory of "
                "cache.policy retention can be run here")
    elif holds(ADAPTER):
        text = ("is an adapter alone, without the gates of a memory; give the checkpoint that it was "
                "exported from, which holds both")
    elif holds("model.safetensors", "model.safetensors.index.json"):
        text = f"is a whole model and holds no memory; {GIVE}, behind the model it was taught on"
    elif holds("config.yaml"):
        text = "is a run's folder without a checkpoint; let lococo-train write one"
    raise BadExport(f"{folder}: {text}")


class Export:
    """A folder that holds gates, whichever kind of folder was named."""

    def __init__(self, named):
        self.folder = pathlib.Path(named)
        if not self.folder.is_dir():
            raise BadExport(f"{named}: there is no such folder; {GIVE}" if not self.folder.exists()
                            else f"{named}: is a file; {GIVE}")
        if not any((self.folder / name).exists() for name in (STATE, ADAPTER, GATES)):
            self.folder = newest_good_checkpoint(self.folder) or self.folder
        elif (self.folder / STATE).exists():
            problem = find_damage(self.folder)
            if problem:
                raise BadExport(f"{self.folder}: is a damaged checkpoint: {problem}; take another, or "
                                "copy it again")
        elif (self.folder / OPTIMIZER).exists():
            raise BadExport(f"{self.folder}: is a checkpoint that has lost its {STATE}, which says "
                            f"whether it is complete; choose another, or remove its {OPTIMIZER} to "
                            "use it as it is")
        if not (self.folder / GATES).exists():
            refuse_without_gates(self.folder)
        self.gates = TensorFile(self.folder / GATES)
        self.has_adapter = (self.folder / ADAPTER).exists()
        is_checkpoint = (self.folder / STATE).exists()
        self.state = read_json_object(self.folder / STATE) if is_checkpoint else None

    def holds_whole_base(self):
        """Every weight was tuned, and lies in the checkpoint."""
        return self.state is not None and any((self.folder / f"model.safetensors{end}").exists()
                                              for end in ("", ".index.json"))

    def options(self):
        """(what is said of the cache, the file that says it)."""
        path = self.folder / OPTIONS
        if path.exists():
            return read_json_object(path), path
        if self.state is not None and isinstance(self.state.get("cache"), dict):
            return self.state["cache"], self.folder / STATE
        if (self.folder / "lococo_args.json").exists():
            raise BadExport(f"{self.folder}: is of the official code's form "
                            "(export.kind=official_conv), only cache.policy retention can be run "
                            "here; lococo-generate runs it")
        raise BadExport(f"{self.folder}: holds no {OPTIONS}, which says the memory's options; copy it "
                        f"again from where its {GATES} came from")

    def fingerprints(self):
        """Of the base that each part says it was made on; "": it does not say."""
        if self.state is not None:
            return [self.state["base_fingerprint"]]
        files = [self.gates]
        if self.has_adapter:
            files.append(TensorFile(self.folder / ADAPTER_WEIGHTS))
        return [file.metadata.get("base_fingerprint", "") for file in files]

    def check_base(self, base):
        """Gates and LoRA mean nothing on other weights."""
        for there in filter(None, self.fingerprints()):
            here = base.fingerprint
            if not may_be_same_base(there, here):
                raise BadExport(f"{self.folder}: was trained on another base model (fingerprint "
                                f"{there}, {base.folder} has {here}: other "
                                f"{base_difference(there, here)}); give the base it belongs to")
