#!/usr/bin/env bash
# Packs what a machine with a GPU needs to run this framework without a .NET SDK: the program with its runtime and libtorch for the
# CPU, the configurations, the yardstick, and run.sh.  bench/gpu/pack.sh [FILE.tar.gz]
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
file=$(realpath -m "${1:-$root/artifacts/imta-gpu.tar.gz}")
bundle=$(mktemp -d)
trap 'rm -rf "$bundle"' EXIT

dotnet publish "$root/Experiments/Experiments.csproj" --configuration Release --runtime linux-x64 --self-contained --nologo -nodeReuse:false -v quiet \
  --output "$bundle/imta/program" >&2
rm -f "$bundle"/imta/program/*.{xml,pdb}
mkdir "$bundle/imta/bench"
cp -r "$root/configs" "$bundle/imta"
cp "$root/bench/pytorch_step.py" "$bundle/imta/bench"
cp "$root/bench/gpu/run.sh" "$bundle/imta"
mkdir -p "$(dirname "$file")"
tar -C "$bundle" -c imta | gzip -1 >"$file.part"
mv "$file.part" "$file"
echo "$file: $(du -h "$file" | cut -f 1)"
