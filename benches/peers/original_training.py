"""Times training steps of the original PyTorch code and prints one JSON object.

The code itself is not part of this repository. To measure it:

1. Check out the original project, ChristophReich1996/ECG_Classification, at 3694a7e (what every page of results measured), into a folder of its own.
2. Make a virtual environment and install `torch==2.11.0 torch_optimizer==0.1.0 torchaudio numpy scipy tqdm rtpt`.
3. `OMP_WAIT_POLICY=passive PYTHON original_training.py --code CHECKOUT --network dualnet-s`, or let
   `cargo bench -p dualnet-benches --bench training` call it: ECG_ORIGINAL_CODE=CHECKOUT, ECG_PEER_PYTHON=PYTHON.
   Idle threads sleep, as in our trainer; its allocator settings, MALLOC_MMAP_THRESHOLD_ and MALLOC_TRIM_THRESHOLD_, are not
   given to the original.

A step is the original's own: its network in training mode, its Python implementation of the Pade activation (its other one
needs CUDA), its loss with its weights, backward, RAdam of torch_optimizer. Inputs are random numbers in the network's shapes;
loading and augmentation are left out, which favours the original.
"""

import argparse
import json
import resource
import sys
import time

NETWORKS = {"dualnet-s": ("ECGCNN", "ECGCNN_CONFIG_S"), "dualnet-pp-s": ("ECGAttNet", "ECGAttNet_CONFIG_S")}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--code", required=True, help="a checkout of the original project")
    parser.add_argument("--network", choices=NETWORKS, required=True)
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--steps", type=int, default=3, help="steps that are timed, after one that is not")
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def processor_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    options = arguments()
    sys.path.insert(0, options.code)
    import ecg_classification
    import torch
    import torch_optimizer

    torch.set_num_threads(options.threads)
    torch.manual_seed(1904)
    kind, config = (getattr(ecg_classification, name) for name in NETWORKS[options.network])
    network = kind(config=config)
    network.train()
    optimizer = torch_optimizer.RAdam(params=network.parameters(), lr=1e-3, betas=(0.9, 0.999))
    loss_function = ecg_classification.SoftmaxCrossEntropyLoss(weight=(0.4, 0.7, 0.9, 0.9))
    ecg = torch.randn(options.batch, 80, 256)
    spectrogram = torch.randn(options.batch, 1, 563, 33)
    labels = torch.nn.functional.one_hot(torch.arange(options.batch) % 4, 4).float()

    def step() -> float:
        optimizer.zero_grad()
        loss = loss_function(network(ecg, spectrogram), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    losses = [step()]
    started, used = time.perf_counter(), processor_seconds()
    losses += [step() for _ in range(options.steps)]
    seconds, used = time.perf_counter() - started, processor_seconds() - used
    records = options.batch * options.steps
    print(
        json.dumps(
            {
                "records_per_second": records / seconds,
                "cpu_seconds_per_record": used / records,
                "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
                "losses": losses,
                "torch": torch.__version__,
            }
        )
    )


if __name__ == "__main__":
    main()
