"""What plot.py and plot_needle.py share."""

import sys

from tool_runs import Fault

NO_PICTURE = ("plot: no picture: {}; install matplotlib (scripts/requirements.txt, or the package "
              "python3-matplotlib)")


def short(count):
    """4,096 as 4K, 1,048,576 as 1M; other numbers as they are."""
    for size, letter in ((1 << 20, "M"), (1 << 10, "K")):
        if count >= size and count % size == 0:
            return f"{count // size}{letter}"
    return str(count)


def save(figure, path):
    try:
        figure.savefig(path)
    except ValueError as error:  # of an ending that is no picture's
        raise Fault(f"{path}: {error}; name another, such as picture.png") from error
    except OSError as error:
        raise Fault(f"{path}: cannot be written ({error.strerror})") from error


def show_usage(text, least, options=()):
    """Where it is asked for, or fewer than `least` words were given, or another option."""
    words = set(sys.argv[1:])
    if words & {"-h", "--help"}:
        print(text.strip())
        sys.exit(0)
    if len(sys.argv) < least or any(w.startswith("-") for w in words.difference(options)):
        print(text.strip(), file=sys.stderr)
        sys.exit(2)
