#!/usr/bin/env python3
"""Cross-builds the engine for 64-bit Arm and runs its kernel tests, and exported networks, under qemu's user-mode emulator.

FOLDER holds model files with the answers they must give, as `make test-aarch64` writes them. Everything runs on a processor with NEON alone and on
one with dot products too (which the engine has no use for: its integer kernels multiply 16-bit pairs), and the networks on every instruction set
that the engine finds there. Times under an emulator say nothing
and are not reported.

What is missing is installed from Debian's archive where this runs as root, and named otherwise. Needed are a cross compiler, the emulator, and
a rustc that has the target's standard library: that of the PATH, or Debian's `rustc-web`, in whatever versions the archive has. Exit status 3
where they are not here and cannot be installed.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys

from programs import ROOT, build, instruction_sets, passed

TARGET = "aarch64-unknown-linux-gnu"
GCC, STRIP, QEMU = "aarch64-linux-gnu-gcc", "aarch64-linux-gnu-strip", "qemu-aarch64-static"
PACKAGES = ["rustc-web", "libstd-rust-web-dev:arm64", "gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross", "qemu-user-static"]
# One loader and one C library: Debian's own for the foreign architecture may be of another build, and threads then start never.
PREFIX = "/usr/aarch64-linux-gnu"
# The oldest 64-bit core in wide use, which has no dot product, and everything the emulator has.
PROCESSORS = ["cortex-a53", "max"]
TESTS = ["exported_files", "pau"]
# The property over all lengths runs the network 360 times; the test of the variable starts its own program, which only the emulator can.
KERNELS = {"dualnet_engine": ["--skip", "skipping_equal_rows"], "pau": ["--skip", "the_environment_variable"]}
PRECISIONS = ["f32", "int8"]
MINUTES = 20
OUTPUT = ROOT / "target" / "aarch64"


def compiler():
    """A rustc with the target's standard library, or None."""
    for rustc in filter(None, [os.environ.get("RUSTC"), "rustc", "/usr/bin/rustc"]):
        try:
            command = [rustc, "--print", "target-libdir", "--target", TARGET]
            libraries = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout.strip()
        except (OSError, subprocess.CalledProcessError):
            continue
        if any(pathlib.Path(libraries).glob("libstd*")):
            return rustc
    return None


def missing():
    absent = [program for program in (GCC, STRIP, QEMU) if not shutil.which(program)]
    return absent + ([] if compiler() else [f"a rustc with {TARGET}"])


def unavailable(reason):
    """Ends with the status that says that nothing was tested because something is not here."""
    print(f"test-aarch64: {reason}", file=sys.stderr)
    raise SystemExit(3)


def install():
    """Installs what is missing from Debian's archive, or says what it is."""
    absent = missing()
    if not absent:
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        unavailable(
            f"missing: {', '.join(absent)}. On Debian: dpkg --add-architecture arm64, apt-get update, apt-get install {' '.join(PACKAGES)}"
        )
    print(f"test-aarch64: installing {', '.join(PACKAGES)}", flush=True)
    quiet = {"check": True, "stdout": subprocess.DEVNULL, "env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}}
    apt = ["apt-get", "-q", "-o", "Acquire::http::Timeout=60", "-o", "Acquire::Retries=2"]
    try:
        subprocess.run(["dpkg", "--add-architecture", "arm64"], **quiet)
        subprocess.run([*apt, "update"], **quiet)
        subprocess.run([*apt, "install", "-y", "--no-install-recommends", *PACKAGES], **quiet)
    except subprocess.CalledProcessError as error:
        unavailable(f"{' '.join(error.cmd[:1])} failed: {', '.join(absent)} cannot be installed here")
    if missing():
        unavailable(f"still missing after the installation: {', '.join(missing())}")


def cross_build():
    """The test programs and the program `engine`, by name."""
    linker = f"CARGO_TARGET_{TARGET.upper().replace('-', '_')}_LINKER"
    environment = {**os.environ, "RUSTC": compiler(), "CARGO_TARGET_DIR": str(OUTPUT), linker: GCC}
    command = ["cargo", "test", "--no-run", "--profile", "emulated", "--locked", "--package", "dualnet-engine"]
    # The program itself is built along with the tests that call it.
    command += ["--target", TARGET, "--lib", *(word for test in TESTS for word in ("--test", test))]
    return build(command, {"dualnet_engine", "engine", *TESTS}, environment)


def emulate(processor, program, *arguments, **variables):
    """Runs a program; one that takes longer than any of them should is an error."""
    libraries = f"LD_LIBRARY_PATH={PREFIX}/lib"
    command = [QEMU, "-cpu", processor, "-L", PREFIX, "-E", libraries, program, *map(str, arguments)]
    environment = {**os.environ, **variables}
    try:
        return subprocess.run(
            command, cwd=ROOT / "engine", env=environment, capture_output=True, text=True, timeout=MINUTES * 60
        )
    except subprocess.TimeoutExpired as expired:
        raise SystemExit(f"{expired.stdout or b''}\n{processor} {program}: not done after {MINUTES} minutes")


def main(folder):
    install()
    programs = cross_build()
    for processor in PROCESSORS:
        for name, arguments in KERNELS.items():
            # Without ENGINE_ISA the kernels' tests take every instruction set in turn.
            passed(processor, programs[name], emulate(processor, programs[name], *arguments))
        complaint = emulate(processor, programs["engine"], "info", "--plan", ENGINE_ISA="none").stderr
        for isa in instruction_sets(complaint):
            settings = f"{processor} {isa}"
            variables = {"ENGINE_ISA": isa, "ECG_MODEL_DIR": str(folder.resolve())}
            files = programs["exported_files"]
            passed(settings, files, emulate(processor, files, "--ignored", **variables))
            record = ROOT / "fixtures" / "records" / "A00067.mat"
            for precision in PRECISIONS:
                answer = emulate(
                    processor, programs["engine"], "classify", "--precision", precision, record, ENGINE_ISA=isa
                )
                if answer.returncode != 0 or "A00067: atrial fibrillation" not in answer.stdout:
                    raise SystemExit(f"{answer.stdout}{answer.stderr}failed: {settings} engine classify in {precision}")
    stripped = OUTPUT / "engine"
    subprocess.run([STRIP, "-o", stripped, programs["engine"]], check=True)
    print(f"engine for {TARGET}, stripped, little optimized: {stripped.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path, nargs="?", help="install what is missing and nothing more, if there is none")
    folder = parser.parse_args().folder
    if folder is None:
        install()
    else:
        main(folder)
