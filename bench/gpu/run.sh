#!/usr/bin/env bash
# Verifies and measures on a GPU. Every step's output is a file in OUT.
#   run.sh [--device cuda|cpu] [--golden DIR] [--repeat N] [--batch N] [--only NAME,...] OUT
# --only: some of the steps, by the names of their files.
# The libtorch is that of LIBTORCH (a folder with libtorch_cpu.so), else that of python3's PyTorch 2.10, else the packed one,
# which has no CUDA.
set -euo pipefail
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
device=cuda golden='' repeat=10 batch=128 only='' out='' python=${PYTHON:-python3}
steps='doctor gpu verify yardstick meta-step-full meta-step-tf32 meta-step-bf16 profile data train-full train-bf16'
refuse() { echo "run.sh: $*" >&2; exit 2; }
while [[ $# != 0 ]]; do
  case $1 in
    --device | --golden | --repeat | --batch | --only) [[ $# -ge 2 ]] || refuse "$1 takes a value"; printf -v "${1#--}" %s "$2"; shift ;;
    -*) refuse "there is no option $1 (--device, --golden, --repeat, --batch, --only)" ;;
    *) [[ -z $out ]] || refuse "there are two folders for the results, $out and $1"; out=$1 ;;
  esac
  shift
done
[[ -n $out ]] || refuse "where do the results go? run.sh [--device cuda|cpu] [--golden DIR] OUT"
[[ $repeat =~ ^[1-9][0-9]*$ ]] || refuse "--repeat is $repeat; it takes a whole number from 1"
[[ $batch =~ ^[1-9][0-9]*$ && $((batch % 2)) == 0 && $batch -ge 4 ]] || refuse "--batch is $batch; it takes an even number from 4"
for name in ${only//,/ }; do
  [[ " $steps " == *" $name "* ]] || refuse "--only names $name; the steps are $steps"
done
[[ $device == cuda || $device == cpu ]] || refuse "--device is $device; it takes cuda or cpu"
[[ -z $golden || -d $golden ]] || refuse "--golden is $golden, where no folder is"
mkdir -p "$out"
out=$(cd "$out" && pwd)

torch_of_python() { # its libraries, where they are of the version that the program is made for
  "$python" -c 'import torch; print(torch.__path__[0] + "/lib" if torch.__version__.startswith("2.10.") else "")' 2>/dev/null || true
}
LIBTORCH=${LIBTORCH:-$(torch_of_python)}
if [[ -n $LIBTORCH ]]; then export LIBTORCH; else unset LIBTORCH; fi
[[ -e ${LIBTORCH:-}/libtorch_cuda.so || $device == cpu ]] ||
  refuse "no libtorch with CUDA: $python has no PyTorch 2.10 with it; name another Python by PYTHON, "\
"or a folder with libtorch_cuda.so by LIBTORCH"
echo "libtorch: ${LIBTORCH:-the packed one}"

failures=0
step() { # NAME COMMAND...: its output goes to OUT/NAME.txt; a failure is told, and the rest goes on
  local name=$1 start=$SECONDS
  shift
  [[ -z $only || ,$only, == *,$name,* ]] || return 0
  if "$@" >"$out/$name.txt" 2>"$out/$name.log"; then
    echo "$name: done in $((SECONDS - start)) s"
  else
    echo "$name: FAILED, see $out/$name.log: $(tail -n 1 "$out/$name.log")"
    failures=$((failures + 1))
  fi
}

imta() { "$here/program/imta" "$@"; }
yardstick=("$python" "$here/bench/pytorch_step.py" --device "$device" --half-batch $((batch / 2)) --threads "$(nproc)")
against() { "${yardstick[@]}" --json --repeat 1 >/dev/null 2>&1; } # whether this PyTorch can be the yardstick
meta_step() { # PRECISION MORE...
  imta bench meta-step "$here/configs/benchmark.yaml" --batch "$batch" --repeat "$repeat" --json \
    --set device="$device" --set threads="$(nproc)" --set model.precision="$1" "${@:2}"
}
train() {
  rm -rf "$out/run" && imta train "$here/configs/quickstart.yaml" --device "$device" --out "$out/run" --set model.precision="$1" &&
    imta eval "$out/run"
}

step doctor imta doctor
[[ $device != cuda ]] || step gpu nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm --format=csv
[[ -z $golden ]] || step verify imta verify "$golden" --device "$device"
if [[ -n $only && ,$only, != *,yardstick,* && ,$only, != *,meta-step-full,* ]]; then
  :
elif against; then
  step yardstick "${yardstick[@]}" --plain --json --repeat "$repeat"
  step meta-step-full meta_step full --against "${yardstick[*]} --serve"
else
  echo "yardstick: skipped, ${yardstick[*]} does not run"
  step meta-step-full meta_step full
fi
[[ $device != cuda ]] || step meta-step-tf32 meta_step tf32
step meta-step-bf16 meta_step bf16 --gradient forward
step profile imta bench step "$here/configs/benchmark.yaml" --profile --set device="$device" --set train.batch="$batch" --repeat 3
step data imta bench data --set device="$device" --repeat 3
step train-full train full
step train-bf16 train bf16
exit $((failures != 0))
