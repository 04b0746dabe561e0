#!/usr/bin/env bash
# What half an hour of a rented GPU is worth most for: rows and benchmarks, in order of worth.
#
#   experiments/results/gpu_half_hour.sh [--dry-run] DATA RUNS [SECONDS]
#
# DATA holds the data sets, each in a folder of its name (DATA/cifar10, DATA/tiny_imagenet) or as its
# official archive or folder; nothing is downloaded. RUNS takes the run folders. Nothing is begun in
# the last minute of SECONDS (1800), and each command has a limit of its own, well below ten minutes.
# One that fails or is cut off leaves the others going on. Begun again with the same RUNS, what is
# finished is skipped, and what was cut off goes on where it was: three times 540 seconds are as
# good as half an hour at once.
#
# RUNS/gpu_half_hour.tsv says what became of each command, RUNS/logs what it told, and
# RUNS/results.tar.gz holds all but models, predictions and states: what this folder keeps of runs.
# --dry-run tells the commands. PYTHON (python3), KERAS_BACKEND (jax) and ROW_OPTIONS, such as
# "--set max_steps=2 --cache-dir /tmp/images", may be set.
set -u

# Limit in seconds, data set, command: `run` ROW, or `bench` CASE.
worth() {
  cat <<'WORTH'
240 cifar10       run records/cifar10_gpu
120 cifar10       run records/cifar10_gpu_b
120 cifar10       run records/cifar10_gpu_c
300 -             bench train
420 tiny_imagenet run records/tiny_gpu_5
480 tiny_imagenet run alphanet/alphanet_v4
240 cifar10       run records/cifar10_96_gpu
480 tiny_imagenet run alphanet/alphanet_v4c
480 tiny_imagenet run alphanet/alphanet_v4b
300 tiny_imagenet run alphanet/alphastack
120 -             bench augment
120 -             bench stack
540 tiny_imagenet run records/tiny_gpu_30
WORTH
}

dry=
if [ "${1:-}" = --dry-run ]; then dry=yes && shift; fi
if [ $# -lt 2 ] || [ $# -gt 3 ]; then sed -n '2,18s/^# \{0,1\}//p' "$0" >&2 && exit 2; fi
data=$(realpath -m -- "$1") runs=$(realpath -m -- "$2") budget=${3:-1800}
if ! [ "$budget" -ge 0 ] 2>/dev/null; then echo "SECONDS: $budget is no whole number" >&2 && exit 2; fi
cd "$(dirname "$0")/../.." || exit 2

export KERAS_BACKEND=${KERAS_BACKEND:-jax} PYTHONUNBUFFERED=1
# What one row had XLA compile, the next one and the next machine's process need not wait for.
export JAX_COMPILATION_CACHE_DIR=${JAX_COMPILATION_CACHE_DIR:-$runs/.compiled}

# Sets `words`, the command's, and `result`, the file that is there when it is finished.
prepare() {
  local images=$1 verb=$2 name=$3 place=$data
  if [ -d "$data/$images" ]; then place=$data/$images; fi
  words=("${PYTHON:-python3}" -m experiments "$verb" "$name")
  if [ "$verb" = run ]; then
    result=$runs/$name/metrics.json
    # shellcheck disable=SC2206 # several options in one variable
    words+=(--data-dir "$place" --runs "$runs" ${ROW_OPTIONS:-})
  else
    result=$runs/${verb}_$name.csv
    words+=(--out "$result")
  fi
}

pack() {
  (cd "$runs" && find . \( -name '*.yaml' -o -name '*.json' -o -name '*.csv' -o -name '*.tsv' \
    -o -name '*.txt' \) -not -path '*/state/*' -not -path './.compiled/*' -print0 |
    tar --null -czf results.tar.gz --files-from=-)
}

note() { # status, seconds, command
  printf '%s\t%s\t%s\n' "$@" | tee -a "$runs/gpu_half_hour.tsv"
}

if [ -z "$dry" ]; then
  mkdir -p "$runs/logs" || exit 2
  if command -v nvidia-smi >/dev/null; then nvidia-smi >"$runs/logs/machine.txt" 2>&1; fi
fi
while read -r limit images verb name <&3; do
  prepare "$images" "$verb" "$name"
  if [ -n "$dry" ]; then
    echo "timeout $limit ${words[*]}"
    continue
  fi
  if [ -e "$result" ]; then
    note finished 0 "$verb $name"
    continue
  fi
  left=$((budget - SECONDS))
  if [ "$left" -lt 60 ]; then
    note "no time" 0 "$verb $name"
    continue
  fi
  began=$SECONDS log=$runs/logs/${verb}_${name//\//_}.txt
  timeout -k 10 "$((limit < left - 15 ? limit : left - 15))" "${words[@]}" </dev/null >>"$log" 2>&1
  case $? in
    0) status=done ;;
    124 | 137) status="cut off" ;;
    *) status=failed ;;
  esac
  note "$status" "$((SECONDS - began))" "$verb $name"
  tail -n 12 "$log"
  pack
done 3< <(worth)
if [ -z "$dry" ]; then pack && echo "$runs/results.tar.gz"; fi
