#!/usr/bin/env python3
"""Times ECG-DualNet and the Padé activation in PyTorch on this GPU: eager, and captured as a CUDA graph.

    peers.py GOLDEN RESULT   GOLDEN: folder of golden numbers, RESULT: the JSON file to write

The network is ECG-DualNet (LSTM and residual blocks) as PyTorch's own operations compute it, with weights of the golden rule, and its
probabilities of the golden inputs are held to the golden ones before anything is timed. Needs PyTorch and nothing else.
Without PyTorch, or where it finds no GPU, it says so and measures nothing. Exit status 1: a probability is wrong.
"""

import json
import statistics
import struct
import sys
from pathlib import Path

try:
    import torch
    import torch.nn.functional as F
except ImportError:
    print("peers.py: there is no PyTorch; it was not timed")
    sys.exit(0)

BATCHES = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]
PAU_ELEMENTS = [1 << 20, 1 << 23, 1 << 26]
REPEATS = 20
# 16 bits move a probability by no more.
TOLERANCES = {"f32": 1e-4, "f16": 2e-3}
NUMERATOR = [3.35583603e-2, 5.05000375e-1, 1.65343934, 2.01001052, 9.31901999e-1, 1.52424124e-1]
DENOMINATOR = [3.30847488e-6, 3.98021568, 5.12471206e-7, 3.01830109e-1]
MASK = (1 << 64) - 1


def signed(number: int) -> int:
    number &= MASK
    return number - (1 << 64) if number >> 63 else number


def stream(key: str, count: int) -> torch.Tensor:
    """Numbers in [−1, 1): splitmix64 started at FNV-1a-64 of `key`."""
    seed = 0xCBF29CE484222325
    for byte in key.encode():
        seed = (seed ^ byte) * 0x100000001B3 & MASK
    shifted = lambda z, bits: (z >> bits) & ((1 << 64 - bits) - 1)  # noqa: E731
    z = torch.arange(1, count + 1, dtype=torch.int64) * signed(0x9E3779B97F4A7C15) + signed(seed)
    z = (z ^ shifted(z, 30)) * signed(0xBF58476D1CE4E5B9)
    z = (z ^ shifted(z, 27)) * signed(0x94D049BB133111EB)
    z = z ^ shifted(z, 31)
    return shifted(z, 11).to(torch.float64) * 2.0**-53 * 2.0 - 1.0


def golden_weight(salt: str, key: str, shape: list[int]) -> torch.Tensor:
    """A tensor of the state dict under the golden rule."""
    count = 1
    for extent in shape:
        count *= extent
    v = stream(f"{salt}/{key}", count).reshape(shape)
    per_row = max(count // max(shape[0], 1), 1) if shape else 1
    for suffix, start in (("weight_numerator", NUMERATOR), ("weight_denominator", DENOMINATOR)):
        if key.endswith(suffix):
            return (torch.tensor(start).double() + 0.02 * v).float()
    if key.endswith("running_mean"):
        v = 0.1 * v
    elif key.endswith("running_var"):
        v = 1.0 + 0.5 * v
    elif key.endswith("linear_mapping.weight"):
        v = v * (12.0 / shape[1]) ** 0.5
    elif len(shape) == 1 and (key.endswith("bias") or "bias_" in key):
        v = 0.1 * v
    elif len(shape) == 1:
        v = 1.0 + 0.2 * v
    else:
        v = v * (3.0 / per_row) ** 0.5
    return v.float()


def safetensors(path: Path) -> dict[str, torch.Tensor]:
    """The f32 tensors of a file."""
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    found = {}
    for name, entry in json.loads(raw[8:8 + length]).items():
        if entry.get("dtype") == "F32":
            begin, end = entry["data_offsets"]
            values = torch.frombuffer(bytearray(raw[8 + length + begin:8 + length + end]), dtype=torch.float32)
            found[name] = values.reshape(entry["shape"])
    return found


def pau(x: torch.Tensor, numerator: torch.Tensor, denominator: torch.Tensor) -> torch.Tensor:
    """F(x), composed of PyTorch's operations."""
    above = numerator[5]
    for coefficient in reversed(range(5)):
        above = above * x + numerator[coefficient]
    size = x.abs()
    below = denominator[3].abs()
    for coefficient in reversed(range(3)):
        below = below * size + denominator[coefficient].abs()
    return above / (1.0 + below * size)


class DualNet(torch.nn.Module):
    """ECG-DualNet in evaluation, from `ecg [N, 80, 256]` and `spectrogram [N, 1, 563, 33]` to probabilities."""

    def __init__(self, golden: dict):
        super().__init__()
        self.state = {
            name: golden_weight(golden["salt"], name, shape).cuda()
            for name, shape in golden["state_dict"].items() if not name.endswith("num_batches_tracked")
        }
        layers = sum(name.startswith("ecg_encoder.weight_ih") for name in self.state)
        hidden = self.state["ecg_encoder.weight_hh_l0"].shape[1]
        self.lstm = torch.nn.LSTM(256, hidden, layers, batch_first=True).cuda().eval()
        self.lstm.load_state_dict({name.split(".", 1)[1]: value for name, value in self.state.items() if name.startswith("ecg_encoder.")})
        self.blocks = sum(name.endswith("main_mapping_conv_1.weight") for name in self.state)

    def halve(self) -> "DualNet":
        self.state = {name: value.half() for name, value in self.state.items()}
        self.lstm.half()
        return self

    def unit(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return pau(x, self.state[f"{name}.weight_numerator"], self.state[f"{name}.weight_denominator"])

    def norm(self, name: str, x: torch.Tensor, latent: torch.Tensor) -> torch.Tensor:
        batch = f"{name}.batch_normalization"
        y = F.batch_norm(x, self.state[f"{batch}.running_mean"], self.state[f"{batch}.running_var"],
                         self.state[f"{batch}.weight"], self.state[f"{batch}.bias"], False, 0.0, 1e-5)
        scale, bias = F.linear(latent, self.state[f"{name}.linear_mapping.weight"])[:, :, None, None].chunk(2, 1)
        return scale * y + bias

    def forward(self, ecg: torch.Tensor, spectrogram: torch.Tensor) -> torch.Tensor:
        latent = self.lstm(ecg)[0][:, -1]
        x = spectrogram
        for index in range(self.blocks):
            name = f"spectrogram_encoder.{index}"
            main = F.conv2d(x, self.state[f"{name}.main_mapping_conv_1.weight"], padding=1)
            main = self.unit(f"{name}.main_mapping_act_1", self.norm(f"{name}.main_mapping_norm_1", main, latent))
            main = F.conv2d(main, self.state[f"{name}.main_mapping_conv_2.weight"], padding=1)
            main = self.norm(f"{name}.main_mapping_norm_2", main, latent)
            projection = self.state.get(f"{name}.residual_mapping.weight")
            shortcut = x if projection is None else F.conv2d(x, projection)
            x = F.avg_pool2d(self.unit(f"{name}.final_activation", main + shortcut), 2)
        hidden = F.linear(x.mean((2, 3)), self.state["linear_layer_1.0.weight"], self.state["linear_layer_1.0.bias"])
        joined = self.unit("linear_layer_1.1", hidden) + latent
        return F.linear(joined, self.state["linear_layer_2.weight"], self.state["linear_layer_2.bias"]).softmax(-1)


def milliseconds(work) -> float:
    """Median time on the GPU."""
    for _ in range(3):
        work()
    torch.cuda.synchronize()
    times = []
    for _ in range(REPEATS):
        first, last = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        first.record()
        work()
        last.record()
        last.synchronize()
        times.append(first.elapsed_time(last))
    return statistics.median(times)


def captured(work):
    """`work` as a CUDA graph."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            work()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph.replay


def networks(golden: Path) -> list[dict]:
    rows = []
    inputs = safetensors(golden / "models" / "inputs.safetensors")
    for name in ("dualnet-s", "dualnet-xl"):
        expected = json.loads((golden / "models" / f"{name}.json").read_text())
        for precision in ("f32", "f16"):
            network = DualNet(expected)
            ecg, spectrogram = inputs["ecg"].cuda(), inputs["spectrogram"].cuda()
            if precision == "f16":
                network, ecg, spectrogram = network.halve(), ecg.half(), spectrogram.half()
            goal = torch.tensor(expected["eval"]["probabilities_float64"], dtype=torch.float64)
            records = goal.shape[0]
            difference = float((network(ecg[:records], spectrogram[:records]).double().cpu() - goal).abs().max())
            entry = {"network": name, "precision": precision, "largest_difference": difference,
                     "right": difference <= TOLERANCES[precision], "times": []}
            for batch in BATCHES:
                try:
                    index = torch.arange(batch, device="cuda") % ecg.shape[0]
                    work = lambda e=ecg[index], s=spectrogram[index]: network(e, s)  # noqa: E731
                    times = {"batch": batch, "eager_ms": milliseconds(work), "graph_ms": milliseconds(captured(work))}
                except torch.cuda.OutOfMemoryError:
                    times = {"batch": batch, "note": "out of memory"}
                entry["times"].append(times)
                torch.cuda.empty_cache()
            rows.append(entry)
    return rows


def activations() -> list[dict]:
    rows = []
    for name, kind in (("f32", torch.float32), ("f16", torch.float16), ("bf16", torch.bfloat16)):
        for count in PAU_ELEMENTS:
            x = torch.randn(count, device="cuda", dtype=kind, requires_grad=True)
            unit = [torch.tensor(values, device="cuda", dtype=kind, requires_grad=True) for values in (NUMERATOR, DENOMINATOR)]
            gradient = torch.randn_like(x)
            with torch.no_grad():
                forward = milliseconds(lambda: pau(x, *unit))
            y = pau(x, *unit)
            backward = milliseconds(lambda: torch.autograd.grad(y, [x, *unit], gradient, retain_graph=True))
            rows.append({"element": name, "elements": count, "forward_ms": forward, "backward_ms": backward})
    return rows


def main() -> None:
    golden, result = map(Path, sys.argv[1:3])
    if not torch.cuda.is_available():
        print("peers.py: PyTorch finds no GPU; it was not timed")
        return
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    with torch.no_grad():
        measured = networks(golden)
    result.write_text(json.dumps({
        "torch": torch.__version__, "gpu": torch.cuda.get_device_name(), "networks": measured, "pau_composition": activations(),
    }, indent=1) + "\n")
    if not all(entry["right"] for entry in measured):
        sys.exit("peers.py: PyTorch's probabilities are not the golden ones; its times count for nothing")


if __name__ == "__main__":
    main()
