#!/usr/bin/env bash
# Makes the tables beside this script: learned weights and plain training on real CIFAR-10, three seeds each.
#   results/cifar10-small/run.sh DIR    DIR holds cifar-10-batches-bin/
set -euo pipefail
data=$(realpath "${1:?folder of CIFAR-10}")
cd "$(dirname "$0")"
for config in cifar10-small cifar10-small-plain; do
  for seed in 0 1 2; do
    ../../imta train "../../configs/$config.yaml" --data "$data" --seed "$seed" --out "$config-s$seed" --force
  done
done
# What is kept here: tables and configuration; checkpoints and per-sample weights are made again by the script.
rm -rf ./*/checkpoints ./*/weights
