#!/usr/bin/env python3
"""Writes the table of digests by which `trainer data verify` knows PhysioNet/CinC 2017: FOLDER, as released, to OUT.

Per record A00001, A00002, ... the first 8 bytes of the SHA-256 of its .mat, then the first 4 of that of its .hea.
"""

import hashlib
import pathlib
import sys

MAT, HEA = 8, 4


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit(f"usage: {sys.argv[0]} FOLDER OUT")
    folder, out = map(pathlib.Path, sys.argv[1:])
    names = sorted(path.stem for path in folder.glob("A*.mat"))
    if names != [f"A{number:05}" for number in range(1, len(names) + 1)]:
        sys.exit(f"{folder}: the records are not A00001, A00002, ...")
    digest = lambda path, length: hashlib.sha256(path.read_bytes()).digest()[:length]
    table = b"".join(
        digest(folder / f"{name}.mat", MAT) + digest(folder / f"{name}.hea", HEA) for name in names
    )
    out.write_bytes(table)
    print(f"{out}: {len(names)} records, {len(table)} bytes")
    for labels in ("REFERENCE.csv", "REFERENCE-v3.csv"):
        print(f"{labels}: {hashlib.sha256((folder / labels).read_bytes()).hexdigest()}")


if __name__ == "__main__":
    main()
