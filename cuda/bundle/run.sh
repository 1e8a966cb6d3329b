#!/usr/bin/env bash
# Proves the CUDA kernels of ECG-DualNet on this machine's GPU. Needs a driver, and neither Rust nor a network.
#   run.sh test       every kernel against its reference, each launch twice, guards around all memory
#   run.sh sanitize   the same under compute-sanitizer where it can attach
#   run.sh bench      not there yet
#   run.sh train      not there yet
# Results go to results/*.json beside this file. Exit status: 0 passed, 1 failed, 2 wrong usage, 3 nothing ran for want of a GPU, 4 not
# there yet.
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

what=${1:-}
case $what in
test | sanitize) ;;
bench | train)
    result "$what" false null "not there yet"
    echo "run.sh $what: not there yet; nothing ran" >&2
    exit 4
    ;;
*)
    sed -n '2,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
    exit 2
    ;;
esac

gpu=$(nvidia-smi --query-gpu=name,driver_version,compute_cap --format=csv,noheader 2>/dev/null | head -n 1)
if [[ -z $gpu && ! -e /dev/nvidiactl ]]; then
    result "$what" false null "no GPU"
    echo "run.sh $what: there is no NVIDIA GPU on this machine; nothing ran, nothing is proven" >&2
    exit 3
fi

prove() { "$@" "$here/bin/proof" gpu_ --test-threads=1 --nocapture; }

note="every launch twice, memory guarded, outputs poisoned"
status=0
log=$here/results/$what.log
if [[ $what == test ]]; then
    prove env 2>&1 | tee "$log" || status=1
elif command -v compute-sanitizer >/dev/null; then
    : >"$log"
    for tool in memcheck racecheck initcheck synccheck; do
        prove compute-sanitizer --tool "$tool" --error-exitcode 9 2>&1 | tee -a "$log" || status=1
    done
    if grep -q "Device not supported" "$log"; then
        note="compute-sanitizer: not available on this device; $note"
        status=0
        prove env 2>&1 | tee "$log" || status=1
    else
        note="compute-sanitizer: memcheck, racecheck, initcheck, synccheck"
    fi
else
    note="compute-sanitizer: not available; $note"
    prove env 2>&1 | tee "$log" || status=1
fi
if grep -q "skipped, nothing ran on a GPU" "$log"; then
    result "$what" false null "the driver finds no GPU"
    echo "run.sh $what: the driver finds no GPU; nothing ran, nothing is proven" >&2
    exit 3
fi
result "$what" true "$([[ $status == 0 ]] && echo true || echo false)" "$note"
exit "$status"
