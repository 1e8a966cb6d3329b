"""Prints what TensorBoard finds in a folder of event files: {tag: [[step, value], …]}.

Usage: scalars.py FOLDER.
"""

import json
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def main(folder: str) -> None:
    events = EventAccumulator(folder, size_guidance={"scalars": 0})
    events.Reload()
    tags = events.Tags()["scalars"]
    print(json.dumps({tag: [[event.step, event.value] for event in events.Scalars(tag)] for tag in tags}))


if __name__ == "__main__":
    main(*sys.argv[1:])
