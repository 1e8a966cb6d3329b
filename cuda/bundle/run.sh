#!/usr/bin/env bash
# Proves and times the CUDA kernels of ECG-DualNet on this machine's GPU. Needs a driver, and neither Rust nor a network.
#   run.sh test       every kernel against its reference, each launch twice, guards around all memory; the golden networks
#   run.sh sanitize   the kernels under compute-sanitizer where it can attach
#   run.sh bench      device time per record and of the PAU; PyTorch beside it where Python has it
#   run.sh train      ECG-DualNet S on the data archive (gpu-data.tar.gz, unpacked beside this file): 2 epochs, or TRAIN_EPOCHS
# train needs the libraries of PyTorch 2.11 for CUDA: of Python's torch, or in the folder that TORCH_LIB names.
# Results go to results/*.json beside this file. Exit status: 0 passed, 1 failed, 2 wrong usage, 3 nothing ran for want of a GPU, 4 nothing
# ran for want of something else, which is said.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export ECG_GOLDEN_DIR=$here/golden ECG_RECORDS_DIR=$here/records
mkdir -p "$here/results"

# text as a JSON string
quoted() { printf '"%s"' "$(printf %s "$1" | tr -d '\000-\037' | sed 's/[\\"]/\\&/g')"; }

# result WHAT RAN PASSED NOTE
result() {
    printf '{"what":"%s","ran":%s,"passed":%s,"gpu":%s,"revision":%s,"date":"%s","note":%s}\n' "$1" "$2" "$3" \
        "$(quoted "${gpu:-none}")" "$(quoted "$(cat "$here/revision")")" "$(date -u +%FT%TZ)" "$(quoted "$4")" \
        >"$here/results/$1.json"
}

# nothing STATUS NOTE SENTENCE: says that nothing ran, and ends
nothing() {
    result "$what" false null "$2"
    echo "run.sh $what: $3; nothing ran, nothing is proven" >&2
    exit "$1"
}

# The folder of PyTorch's libraries, if there is one.
torch_lib() {
    [[ -n ${TORCH_LIB:-} ]] && echo "$TORCH_LIB" && return
    python3 -c 'import os, torch; print(os.path.join(os.path.dirname(torch.__file__), "lib"))' 2>/dev/null
}

what=${1:-}
case $what in
test | sanitize | bench | train) ;;
*)
    sed -n '2,10s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
    exit 2
    ;;
esac

gpu=$(nvidia-smi --query-gpu=name,driver_version,compute_cap --format=csv,noheader 2>/dev/null | head -n 1)
if [[ -z $gpu && ! -e /dev/nvidiactl ]]; then
    nothing 3 "no GPU" "there is no NVIDIA GPU on this machine"
fi

status=0
log=$here/results/$what.log
: >"$log"
# run COMMAND…: runs it, output to the screen and the log
run() { "$@" 2>&1 | tee -a "$log" || status=1; }
prove() { run "$@" "$here/bin/proof" gpu_ --test-threads=1 --nocapture; }

note="every launch twice, memory guarded, outputs poisoned"
case $what in
test)
    prove env
    run "$here/bin/networks" gpu_ --test-threads=1 --nocapture
    ;;
sanitize)
    if command -v compute-sanitizer >/dev/null; then
        for tool in memcheck racecheck initcheck synccheck; do
            prove compute-sanitizer --tool "$tool" --error-exitcode 9
        done
        if grep -q "Device not supported" "$log"; then
            note="compute-sanitizer: not available on this device; $note"
            status=0
            : >"$log"
            prove env
        else
            note="compute-sanitizer: memcheck, racecheck, initcheck, synccheck"
        fi
    else
        note="compute-sanitizer: not available; $note"
        prove env
    fi
    ;;
bench)
    rm -f "$here"/results/bench-{kernels,pytorch}.json
    run "$here/bin/bench" "$here/results/bench-kernels.json"
    note="times are in bench-kernels.json"
    [[ -e $here/results/bench-kernels.json ]] || note="nothing of ours was timed"
    if command -v python3 >/dev/null; then
        run python3 "$here/peers.py" "$here/golden" "$here/results/bench-pytorch.json"
    else
        echo "peers.py: there is no Python; PyTorch was not timed" | tee -a "$log"
    fi
    if grep -q "^peers.py: " "$log"; then
        note="$note; $(grep -m 1 "^peers.py: " "$log")"
    elif [[ -e $here/results/bench-pytorch.json ]]; then
        note="$note, PyTorch's in bench-pytorch.json"
    fi
    ;;
train)
    data=$here/gpu-data/training2017
    [[ -d $data ]] || nothing 4 "no data" "there is no $data; unpack gpu-data.tar.gz beside run.sh"
    lib=$(torch_lib)
    [[ -n $lib ]] || nothing 4 "no PyTorch" "there is no PyTorch 2.11 for CUDA (TORCH_LIB names the folder of its libraries)"
    export LD_LIBRARY_PATH=$lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
    note="ECG-DualNet S, ${TRAIN_EPOCHS:-2} epochs, in results/train"
    rm -rf "$here/results/train"
    SECONDS=0
    run "$here/bin/trainer" train --device cuda --data "$data" --network dualnet-s --epochs "${TRAIN_EPOCHS:-2}" \
        --run "$here/results/train"
    note="$note, ${SECONDS} s in all"
    ;;
esac
reason=$(sed -n 's/.*skipped, nothing ran on a GPU: //p' "$log" | head -n 1)
[[ -z $reason ]] || nothing 3 "$reason" "$reason"
result "$what" true "$([[ $status == 0 ]] && echo true || echo false)" "$note"
exit "$status"
