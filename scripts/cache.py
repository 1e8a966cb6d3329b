"""What clones of this repository share: folders under `${XDG_CACHE_HOME:-~/.cache}/ecg-dualnet`, each built once."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def shared_folder(name: str, build: Callable[[Path], None]) -> Path:
    """The shared folder `name`; where it is missing, `build` fills an empty folder beside it that is then renamed.

    The folder therefore exists only when it is complete, and clones that ask at the same time wait for one another.
    """
    base = os.environ.get("XDG_CACHE_HOME")
    cache = (Path(base) if base else Path.home() / ".cache") / "ecg-dualnet"
    cache.mkdir(parents=True, exist_ok=True)
    home, beside = cache / name, f".{name}-"
    with (cache / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not home.exists():
            for abandoned in cache.glob(f"{beside}*"):
                shutil.rmtree(abandoned)
            with tempfile.TemporaryDirectory(prefix=beside, dir=cache) as workspace:
                folder = Path(workspace) / name
                folder.mkdir()
                build(folder)
                folder.rename(home)
    return home


def link(name: str, target: Path) -> bool:
    """Points the link `name` at the repository's root to `target`; returns whether it pointed elsewhere before."""
    path = ROOT / name
    if path.is_symlink() and os.readlink(path) == str(target):
        return False
    if path.exists() and not path.is_symlink():
        raise SystemExit(f"{path} exists and is not a link; move it away")
    fresh = path.with_name(f"{name}.{os.getpid()}")
    fresh.symlink_to(target)
    fresh.replace(path)
    return True
