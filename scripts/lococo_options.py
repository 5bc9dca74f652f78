"""The options of a learned memory, for lococo_transformers.py: read from where an export says them,
some of them chosen anew, and refused where lococo-generate would refuse them too."""

import dataclasses
import json
import math

from lococo_files import BadExport

# What is implemented, of options that have other values too.
REQUIRED = {"policy": "retention", "scores": "accumulated", "keys": "unrotated",
            "positions": "text", "mixing": "none"}
# Memories from before these options existed were taught so.
LATER = {"positions": "slot", "mixing": "none", "score_decay": 1.0, "score_distance": 0,
         "position_cap": 0, "alone_fraction": 0.5}
HINTS = {"policy": "; lococo-generate runs the others",
         "mixing": "; cache.mixing=none, mixing=\"none\" of load(), reads its gates without the "
                   "mixtures, and lococo-generate with them"}
MANY_HELD = 1 << 24
# Least and most of each number, as in the tools; a float: any number between.
RANGES = {"slots": (1, MANY_HELD), "block": (1, MANY_HELD), "buffer": (0, MANY_HELD),
          "sinks": (0, MANY_HELD), "local": (0, MANY_HELD), "score_decay": (0.0, 1.0),
          "score_distance": (0, MANY_HELD), "position_cap": (0, 1 << 50),
          "alone_fraction": (0.0, 1.0), "decode_buffer": (0, MANY_HELD)}


def full_name(option):
    return f"{'generate' if option == 'decode_buffer' else 'cache'}.{option}"


def check_name(option):
    if option not in RANGES | REQUIRED:
        raise BadExport(f"{full_name(option)}: unknown option; there are "
                        f"{', '.join(map(full_name, RANGES))}")


def number(value, least, most, where):
    """`value` (a text too, from a command line) as the number that its range asks for."""
    kind, wanted = (float, "a number") if isinstance(least, float) else (int, "an integer")
    try:
        # True is an int to Python; what has a fraction, or is none, is refused and not cut.
        made = kind(value) if isinstance(value, str) else value
        if isinstance(made, bool) or kind(made) != made:
            raise ValueError
        made = kind(made)
    except (TypeError, ValueError, OverflowError):
        shown = json.dumps(value) if isinstance(value, (str, list, dict, bool)) else value
        raise BadExport(f"{where}: expected {wanted}, got {shown}") from None
    if not least <= made <= most:
        raise BadExport(f"{where}: {made:.16g} is out of range; use {wanted} from {least:.16g} to "
                        f"{most:.16g}")
    return made


@dataclasses.dataclass(frozen=True)
class MemoryOptions:
    """The options of the cache, as lococo_config.json names them, and generate.decode_buffer."""
    slots: int
    block: int
    buffer: int
    sinks: int
    local: int
    score_decay: float
    score_distance: int
    position_cap: int  # 0: what the base's positions leave
    alone_fraction: float
    decode_buffer: int = 64

    @classmethod
    def read(cls, stored, path, **overrides):
        """Of what the file at `path` says; `overrides` that are not None replace it."""
        given = {name: value for name, value in overrides.items() if value is not None}
        for name in given:
            check_name(name)
        values = LATER | stored | given

        def where(name):
            return full_name(name) if name in given else f"{path}: {full_name(name)}"
        for name, value in REQUIRED.items():
            if values.get(name) != value:
                raise BadExport(f"{where(name)} is {values.get(name, 'missing')}, only {value} can "
                                f"be run here{HINTS.get(name, '')}")
        fields = {}
        for name, (least, most) in RANGES.items():
            if name in values:
                fields[name] = number(values[name], least, most, where(name))
            elif name != "decode_buffer":
                raise BadExport(f"{where(name)} is missing; copy the file again from where the memory "
                                "was made")
        options = cls(**fields)
        options.check(where)
        return options

    def check(self, where):
        """What the options ask of each other; the texts are those of src/config/cache_check.cpp."""
        def require(holds, name, text):
            if not holds:
                raise BadExport(f"{where(name)}: {text}")
        require(self.score_distance <= self.local, "score_distance",
                f"{self.score_distance} newest tokens have no score yet and would be dropped; keep "
                f"them with cache.local {self.score_distance} or more")
        require(self.sinks + self.local <= self.slots,
                "sinks" if self.sinks > self.local else "local",
                f"{self.sinks} sinks and {self.local} newest tokens do not fit into the "
                f"{self.slots} of {self.slots} slots that keep tokens unchanged; use fewer, or more "
                "cache.slots")
        reach = self.slots + self.block
        require(self.position_cap == 0 or self.position_cap >= reach, "position_cap",
                f"{self.position_cap} is less than the {reach} tokens of cache.slots + cache.block; "
                "use that or more")
        require(self.sinks + self.local < self.slots, "slots",
                f"{self.slots} leave nothing to choose beside {self.sinks} sinks and {self.local} "
                "newest tokens; use more slots or fewer of those")

    def shares(self):
        """Slots that go by the score alone, and by score and mass."""
        chosen = self.slots - self.sinks - self.local
        alone = math.floor(chosen * self.alone_fraction + 0.5)
        return alone, chosen - alone

    def frame_origin(self, begin):
        """The place in the text that is 0 to RoPE for a block that begins at token `begin`."""
        return max(0, begin - self.position_cap)

    def within(self, positions):
        """The same with the cap that a base of so many positions leaves, where there is none."""
        if self.position_cap > 0:
            return self
        reach = self.slots + self.buffer + self.block
        return dataclasses.replace(self, position_cap=max(reach, positions - reach))
