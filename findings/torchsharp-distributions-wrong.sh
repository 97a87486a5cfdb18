#!/usr/bin/env bash
# TorchSharp 0.107.0 on libtorch-cpu-linux-x64 2.10.0 (NuGet): torch.distributions has wrong moments and densities. Weibull's samples are
# negative, its cdf (above 1 in places) and log_prob are wrong; the variance of Exponential is the rate's square instead of 1 over it;
# Geometric's mean is negative (1 / (p - 1) instead of (1 - p) / p), its entropy is wrong too, and Binomial's is that of a single trial.
# Sampling, log_prob, mean, variance, entropy and cdf of Normal, Beta, Gamma, Uniform, Laplace, LogNormal, HalfNormal, Gumbel, Pareto,
# Kumaraswamy, FisherSnedecor, Bernoulli, Poisson, NegativeBinomial, Categorical, OneHotCategorical and Dirichlet agree with PyTorch 1.13
# to 1e-6 where it has them.
# Seen:     the last lines of this script
# What to do: the formulas; Weibull as scale * (-log U)^(1/concentration) of uniform U.
# Needs the .NET SDK 10, and a libstdc++ of GCC 13.2 or later (Debian 13, Ubuntu 24.04), or python3 to mark that requirement as weak.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat >distributions.csproj <<'XML'
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
var weibull = distributions.Weibull(scale: tensor(1.0), concentration: tensor(2.0));
random.manual_seed(0);
Tensor samples = weibull.sample(1000);
Console.WriteLine($"Weibull of scale 1: {samples.lt(0).sum().item<long>()} of 1000 samples negative, cdf(0.2) {Of(weibull.cdf(tensor(0.2)))} "
    + $"(right: {1 - Math.Exp(-0.04):0.000})");
Console.WriteLine($"Exponential of rate 4: variance {Of(distributions.Exponential(tensor(4.0)).variance)} (right: {1 / 16.0:0.000})");
var geometric = distributions.Geometric(probs: tensor(0.2));
Console.WriteLine($"Geometric of 0.2: mean {Of(geometric.mean)} (right: 4.000), entropy {Of(geometric.entropy())} (right: 2.502)");

static string Of(Tensor value) => value.item<double>().ToString("0.000");
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
seen=$(dotnet out/distributions.dll)
echo "$seen"
[[ $seen == "Weibull of scale 1: 1000 of 1000 samples negative, cdf(0.2) 0.961 (right: 0.039)
Exponential of rate 4: variance 16.000 (right: 0.063)
Geometric of 0.2: mean -1.250 (right: 4.000), entropy 0.504 (right: 2.502)" ]]
