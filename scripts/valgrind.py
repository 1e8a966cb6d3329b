#!/usr/bin/env python3
"""Runs the engine's kernel tests, and exported networks on its kernels, under valgrind's memory checker, on every instruction set it knows.

FOLDER holds model files with the answers they must give, as `make valgrind` writes them. A read or write outside what was allocated is an error;
values that nobody wrote are not looked for, since the compiler itself compares the length of a slice that is not there (an `Option` that is
`None`) before it finds out. Valgrind executes AVX2 and the portable code. It has no AVX-512, whose kernels are the same generic
code over another vector.
"""

import argparse
import os
import pathlib
import shutil
import subprocess

from programs import ROOT, build, instruction_sets, passed

# Whatever reads or writes memory through vectors. The property over all lengths runs the network 360 times, which takes an hour here; the
# exported networks go through the same code.
KERNELS = ["cpu::", "pau::", "signal::", "simd::", "--skip", "skipping_equal_rows"]
# One test starts itself anew, outside valgrind and so on another processor than the one it is told about.
PAU = ["kernels", "--skip", "the_environment_variable_forces"]
NETWORKS = ["--ignored", "on_the_kernels"]


def check(program, *arguments, **variables):
    return subprocess.run(
        ["valgrind", "--quiet", "--error-exitcode=9", "--undef-value-errors=no", program, *arguments],
        cwd=ROOT / "engine",
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
    )


def main(folder):
    if not shutil.which("valgrind"):
        raise SystemExit("valgrind is missing: Debian's package of that name has it")
    command = ["cargo", "test", "--no-run", "--release", "--workspace", "--lib", "--bin", "engine"]
    tests = ["exported_files", "pau"]
    programs = build(command + [word for test in tests for word in ("--test", test)], {"dualnet_engine", "engine", *tests})
    for isa in instruction_sets(check(programs["engine"], "info", "--plan", ENGINE_ISA="none").stderr):
        variables = {"ENGINE_ISA": isa, "ECG_MODEL_DIR": str(folder.resolve())}
        for name, arguments in (("dualnet_engine", KERNELS), ("pau", PAU), ("exported_files", NETWORKS)):
            passed(f"valgrind {isa}", programs[name], check(programs[name], *arguments, **variables))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    main(parser.parse_args().folder)
