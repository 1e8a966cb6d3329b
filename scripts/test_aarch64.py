#!/usr/bin/env python3
"""Cross-builds the engine for 64-bit Arm and runs its kernel tests, and exported networks, under qemu's user-mode emulator.

FOLDER holds model files with the answers they must give, as `make test-aarch64` writes them. Everything runs on a processor with NEON alone and on
one with dot products too, and the networks on every instruction set that the engine finds there. Times under an emulator say nothing
and are not reported.

What is missing is installed from Debian's archive where this runs as root, and named otherwise. Needed are a cross compiler, the emulator, and
a rustc that has the target's standard library: that of the PATH, or Debian's `rustc-web`.
"""

import argparse
import os
import pathlib
import shutil
import subprocess

from programs import ROOT, build, instruction_sets, passed

TARGET = "aarch64-unknown-linux-gnu"
GCC, STRIP, QEMU = "aarch64-linux-gnu-gcc", "aarch64-linux-gnu-strip", "qemu-aarch64-static"
PACKAGES = ["rustc-web", "libstd-rust-web-dev:arm64", "gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross", "qemu-user-static"]
# The oldest 64-bit core in wide use, which has no dot product, and everything the emulator has.
PROCESSORS = ["cortex-a53", "max"]
TESTS = ["exported_files", "pau"]
# The property over all lengths runs the network 360 times.
KERNELS = {"dualnet_engine": ["--skip", "skipping_equal_rows"], "pau": []}
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


def install():
    """Installs what is missing from Debian's archive, or says what it is."""
    absent = missing()
    if not absent:
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise SystemExit(
            f"test-aarch64: missing: {', '.join(absent)}. On Debian: dpkg --add-architecture arm64, apt-get update, "
            f"apt-get install {' '.join(PACKAGES)}"
        )
    print(f"test-aarch64: installing {', '.join(PACKAGES)}", flush=True)
    quiet = {"check": True, "stdout": subprocess.DEVNULL, "env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}}
    subprocess.run(["dpkg", "--add-architecture", "arm64"], **quiet)
    subprocess.run(["apt-get", "update", "-q"], **quiet)
    subprocess.run(["apt-get", "install", "-q", "-y", "--no-install-recommends", *PACKAGES], **quiet)
    if missing():
        raise SystemExit(f"test-aarch64: still missing after the installation: {', '.join(missing())}")


def cross_build():
    """The test programs and the program `engine`, by name."""
    linker = f"CARGO_TARGET_{TARGET.upper().replace('-', '_')}_LINKER"
    environment = {**os.environ, "RUSTC": compiler(), "CARGO_TARGET_DIR": str(OUTPUT), linker: GCC}
    command = ["cargo", "test", "--no-run", "--profile", "emulated", "--locked", "--package", "dualnet-engine"]
    # The program itself is built along with the tests that call it.
    command += ["--target", TARGET, "--lib", *(word for test in TESTS for word in ("--test", test))]
    return build(command, {"dualnet_engine", "engine", *TESTS}, environment)


def emulate(processor, program, *arguments, **variables):
    command = [QEMU, "-cpu", processor, "-L", "/usr/aarch64-linux-gnu", program, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT / "engine", env={**os.environ, **variables}, capture_output=True, text=True)


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
            answer = emulate(processor, programs["engine"], "classify", record, ENGINE_ISA=isa)
            if answer.returncode != 0 or "A00067: atrial fibrillation" not in answer.stdout:
                raise SystemExit(f"{answer.stdout}{answer.stderr}failed: {settings} engine classify")
    stripped = OUTPUT / "engine"
    subprocess.run([STRIP, "-o", stripped, programs["engine"]], check=True)
    print(f"engine for {TARGET}, stripped, little optimized: {stripped.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    main(parser.parse_args().folder)
