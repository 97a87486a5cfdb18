#!/usr/bin/env bash
# TorchSharp 0.107.0 on libtorch-cpu-linux-x64 2.10.0 (NuGet): optim.RAdam multiplies by the learning rate twice once its rectification
# sets in, at step 6 with the default betas. So steps become 1/lr times too short: with lr 1e-3 a network stops learning after five steps,
# without an error. Steps 1 to 5 are right. SGD, Adam, AdamW, Adamax, Adagrad, Adadelta, RMSProp and Rprop agree with PyTorch 1.13 to 1e-9
# over 8 steps (float64).
# Seen:     step 5 is 1.000 of the paper's (Liu et al., ICLR 2020, algorithm 2), steps 6 to 8 are 0.100 with lr 0.1 and 0.010 with lr 0.01
# What to do: Adam with a warm-up of the learning rate, which rectification replaces.
# Needs the .NET SDK 10, and a libstdc++ of GCC 13.2 or later (Debian 13, Ubuntu 24.04), or python3 to mark that requirement as weak.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat >radam.csproj <<'XML'
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
using TorchSharp.Modules;
using static TorchSharp.torch;

CultureInfo.CurrentCulture = CultureInfo.InvariantCulture;
foreach (double rate in new[] { 0.1, 0.01 })
{
    const double Beta1 = 0.9, Beta2 = 0.999;
    var w = new Parameter(tensor(new[] { 1.0 }));
    var optimiser = optim.RAdam([w], rate);
    double m = 0, v = 0, limit = (2 / (1 - Beta2)) - 1;
    var ratios = new List<string>();
    for (int t = 1; t <= 8; t++)
    {
        double before = w.item<double>(), slope = 2 * before;
        optimiser.zero_grad();
        (w * w).sum().backward();
        optimiser.step();
        m = (Beta1 * m) + ((1 - Beta1) * slope);
        v = (Beta2 * v) + ((1 - Beta2) * slope * slope);
        double step = m / (1 - Math.Pow(Beta1, t)), bias = 1 - Math.Pow(Beta2, t);
        double length = limit - (2 * t * (1 - bias) / bias);
        if (length > 5)
        {
            step *= Math.Sqrt((length - 4) * (length - 2) * limit / ((limit - 4) * (limit - 2) * length)) / Math.Sqrt(v / bias);
        }

        ratios.Add(((before - w.item<double>()) / (rate * step)).ToString("0.000"));
    }

    Console.WriteLine($"lr {rate}: {string.Join(' ', ratios)}");
}
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
seen=$(dotnet out/radam.dll)
echo "$seen"
[[ $seen == "lr 0.1: 1.000 1.000 1.000 1.000 1.000 0.100 0.100 0.100
lr 0.01: 1.000 1.000 1.000 1.000 1.000 0.010 0.010 0.010" ]]
