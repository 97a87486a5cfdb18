#!/usr/bin/env bash
# TorchSharp 0.107.0 on libtorch-cpu-linux-x64 2.10.0 (NuGet): three losses called as in PyTorch give other numbers. functional.kl_div and
# KLDivLoss take the target for log-probabilities (log_target: true is the default; PyTorch: False), so a distillation loss ported line by
# line is wrong, and large even where student and teacher agree. gaussian_nll_loss sums over all dimensions but the first, so its mean is
# as many times larger as a sample has values, and without a reduction it is [N] instead of the input's shape.
# functional.hinge_embedding_loss has margin 0 (PyTorch, and TorchSharp's own HingeEmbeddingLoss: 1). The other 26 losses and variants
# tried (cross-entropy with class weights, smoothing, ignored and soft labels; binary, Huber, margin and Poisson losses) agree with
# PyTorch 1.13 to 1e-6.
# Seen:     the last lines of this script
# What to do: log_target: false (for PyTorch's batchmean: Reduction.Sum, divided by N); the Gaussian loss by its formula; margin: 1.
# Needs the .NET SDK 10, and a libstdc++ of GCC 13.2 or later (Debian 13, Ubuntu 24.04), or python3 to mark that requirement as weak.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat >losses.csproj <<'XML'
<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup>
    <OutputType>Exe</OutputType><TargetFramework>net10.0</TargetFramework><RuntimeIdentifier>linux-x64</RuntimeIdentifier>
    <SelfContained>false</SelfContained><ImplicitUsings>enable</ImplicitUsings>
  </PropertyGroup>
  <ItemGroup>
    <PackageReference Include="TorchSharp" Version="0.107.0" /><PackageReference Include="libtorch-cpu-linux-x64" Version="2.10.0" />
  </ItemGroup>
</Project>
XML
cat >Program.cs <<'CS'
using System.Globalization;
using TorchSharp;
using static TorchSharp.torch;

CultureInfo.CurrentCulture = CultureInfo.InvariantCulture;
Tensor logits = arange(20, float64).mul(0.7).sin().view(4, 5), same = logits.softmax(1), log = logits.log_softmax(1);
double byDefault = nn.functional.kl_div(log, same, reduction: nn.Reduction.Sum).item<double>();
double ofModule = nn.KLDivLoss(reduction: nn.Reduction.Sum).forward(log, same).item<double>();
double asked = nn.functional.kl_div(log, same, log_target: false, nn.Reduction.Sum).item<double>();
Console.WriteLine($"KL of equal distributions: by default {byDefault:0.0}, module {ofModule:0.0}, log_target: false {Math.Abs(asked):0.0}");

Tensor target = zeros_like(logits), variance = ones_like(logits);
double formula = logits.square().mul(0.5).mean().item<double>();
Tensor each = nn.functional.gaussian_nll_loss(logits, target, variance, reduction: nn.Reduction.None);
double mean = nn.functional.gaussian_nll_loss(logits, target, variance).item<double>();
Console.WriteLine($"Gaussian NLL of [4, 5]: mean {mean / formula:0.0} times the formula's, without reduction [{string.Join(", ", each.shape)}]");

Tensor apart = full(4, 0.25, float64), labels = full(4, -1.0, float64);
double function = nn.functional.hinge_embedding_loss(apart, labels).item<double>();
Console.WriteLine($"hinge of distance 0.25, label -1: function {function}, module {nn.HingeEmbeddingLoss().forward(apart, labels).item<double>()}");
CS
dotnet build -c Release -o out --nologo -v q >/dev/null
if ! grep -qa 'GLIBCXX_3\.4\.32' "$(ldconfig -p | sed -n 's/.*libstdc++\.so\.6 .*=> //p' | head -n 1)"; then
  python3 - out/libLibTorchSharp.so <<'PY'
import struct, sys
data = bytearray(open(sys.argv[1], "rb").read())
name = data.index(b"\0GLIBCXX_3.4.32\0") + 1
table, = struct.unpack_from("<Q", data, 0x28)
for k in range(struct.unpack_from("<H", data, 0x3C)[0]):
    header = table + 64 * k
    kind, start, size, link = (struct.unpack_from(f, data, header + at)[0] for f, at in (("<I", 4), ("<Q", 24), ("<Q", 32), ("<I", 40)))
    if kind == 0x6FFFFFFE:  # the versions that are needed, 16 bytes each
        strings, = struct.unpack_from("<Q", data, table + 64 * link + 24)
        for entry in range(start, start + size, 16):
            if struct.unpack_from("<I", data, entry + 8)[0] == name - strings:
                data[entry + 4] |= 2  # weak
open(sys.argv[1], "r+b").write(data)
PY
fi
seen=$(dotnet out/losses.dll)
echo "$seen"
[[ $seen == "KL of equal distributions: by default 46.2, module 46.2, log_target: false 0.0
Gaussian NLL of [4, 5]: mean 5.0 times the formula's, without reduction [4]
hinge of distance 0.25, label -1: function 0, module 0.75" ]]
