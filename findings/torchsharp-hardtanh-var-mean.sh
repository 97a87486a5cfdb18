#!/usr/bin/env bash
# TorchSharp 0.107.0 on libtorch-cpu-linux-x64 2.10.0 (NuGet): Tensor.hardtanh, functional.hardtanh and nn.Hardtanh return their input
# unchanged, whatever the bounds; the in-place hardtanh_ clamps. torch.var_mean without dimensions gives the standard deviation instead of
# the variance (with dimensions it is right). Tensor.nanmean throws ExternalException ("Unsupported TypeMeta in ATen: nullptr") for valid
# input, with or without dimensions. Some 100 other activations, pooling, padding, interpolation, norm, reduction and sampling functions
# agree with PyTorch 1.13 to 1e-6.
# Seen:     the last lines of this script
# What to do: clamp(-1, 1), which is right; var() and mean(); nansum() divided by the number of values that are not NaN.
# Needs the .NET SDK 10, and a libstdc++ of GCC 13.2 or later (Debian 13, Ubuntu 24.04), or python3 to mark that requirement as weak.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat >others.csproj <<'XML'
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
Tensor x = tensor(new[] { -3.0, -0.5, 0.5, 3.0 });
Console.WriteLine($"hardtanh: {Show(x.hardtanh(-1, 1))}, functional {Show(nn.functional.hardtanh(x))}, "
    + $"module {Show(nn.Hardtanh().forward(x))}, in place {Show(x.clone().hardtanh_(-1, 1))}, clamp {Show(x.clamp(-1, 1))}");
(Tensor all, _) = var_mean(x);
(Tensor along, _) = var_mean(x, 0);
Console.WriteLine($"variance {Of(x.var()):0.00}, standard deviation {Of(x.std()):0.00}, var_mean {Of(all):0.00}, along 0 {Of(along):0.00}");
try
{
    Console.WriteLine($"nanmean {Of(x.nanmean())}");
}
catch (Exception e)
{
    Console.WriteLine($"nanmean: {e.GetType().Name}");
}

static string Show(Tensor values) => string.Join(' ', values.data<double>().ToArray());
static double Of(Tensor value) => value.item<double>();
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
seen=$(dotnet out/others.dll)
echo "$seen"
[[ $seen == "hardtanh: -3 -0.5 0.5 3, functional -3 -0.5 0.5 3, module -3 -0.5 0.5 3, in place -1 -0.5 0.5 1, clamp -1 -0.5 0.5 1
variance 6.17, standard deviation 2.48, var_mean 2.48, along 0 6.17
nanmean: ExternalException" ]]
