"""Opens weights with PyTorch and safetensors and holds them to each other.

Usage: same_weights.py FILE.pt FILE.safetensors. Prints {"tensors": N, "numbers": M} where both have the same N tensors, M numbers in all, bit
by bit and of one type; otherwise fails with the first that differs.
"""

import json
import sys

import torch
from safetensors.torch import load_file


def main(pt: str, safetensors: str) -> None:
    loaded = torch.load(pt, weights_only=True)
    others = load_file(safetensors)
    assert loaded.keys() == others.keys(), sorted(loaded.keys() ^ others.keys())
    for name, tensor in loaded.items():
        other = others[name]
        assert tensor.dtype == other.dtype and tensor.shape == other.shape, name
        assert torch.equal(tensor.reshape(-1).view(torch.uint8), other.reshape(-1).view(torch.uint8)), name
    print(json.dumps({"tensors": len(loaded), "numbers": sum(tensor.numel() for tensor in loaded.values())}))


if __name__ == "__main__":
    main(*sys.argv[1:])
