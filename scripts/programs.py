"""Programs that cargo builds, and what the engine says of the processor it runs on."""

import json
import pathlib
import subprocess

from cache import ROOT


def build(command, wanted, environment=None):
    """Runs a cargo command and returns the paths of the programs it makes, by name: `dualnet_engine` are that library's unit tests.

    Fails when one of `wanted` is not among them, or is the name of several.
    """
    messages = subprocess.run(
        [*command, "--message-format", "json-render-diagnostics"],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment,
    ).stdout
    programs = {}
    for message in map(json.loads, messages.splitlines()):
        if message.get("executable"):
            # A program's own unit tests carry its name too.
            if "bin" not in message["target"]["kind"] or not message["profile"]["test"]:
                programs.setdefault(message["target"]["name"], []).append(message["executable"])
    absent = set(wanted) - programs.keys()
    if absent:
        raise SystemExit(f"cargo built no {', '.join(sorted(absent))}")
    for name in sorted(wanted):
        if len(programs[name]) > 1:
            raise SystemExit(f"cargo built several programs called {name}: {', '.join(programs[name])}")
    return {name: programs[name][0] for name in wanted}


def instruction_sets(complaint):
    """The instruction sets that `engine info --plan` names when `ENGINE_ISA` asks for one that does not exist."""
    _, found, names = complaint.strip().partition("this machine has ")
    if not found:
        raise SystemExit(f"no list of instruction sets in: {complaint}")
    return names.split(", ")


def passed(settings, program, done):
    """Prints what a finished test program counted, without times; ends here if a test failed or none ran."""
    lines = [line for line in done.stdout.splitlines() if line.startswith("test result:")]
    line = lines[-1].split("; finished")[0] if lines else "no result"
    print(f"{settings} {pathlib.Path(program).name}: {line}", flush=True)
    if done.returncode != 0 or " 0 passed" in line or not lines:
        raise SystemExit(f"{done.stdout}\n{done.stderr}\nfailed: {settings} {program}")
