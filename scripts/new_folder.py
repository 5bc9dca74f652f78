"""A folder that appears whole or not at all."""

import contextlib
import os
import pathlib
import shutil
import tempfile


@contextlib.contextmanager
def new_folder(output):
    """Yields a folder to fill, which has another name until it is complete."""
    output.parent.mkdir(parents=True, exist_ok=True)
    folder = pathlib.Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.parent))
    try:
        yield folder
        umask = os.umask(0)
        os.umask(umask)
        folder.chmod(0o777 & ~umask)  # mkdtemp's is for its owner alone
        for file in folder.iterdir():
            file.chmod(0o666 & ~umask)  # so is safetensors' save_file's
        folder.rename(output)
    except BaseException:
        shutil.rmtree(folder)
        raise
