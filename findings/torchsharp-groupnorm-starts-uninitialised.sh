#!/usr/bin/env bash
# TorchSharp 0.107.0 on libtorch-cpu-linux-x64 2.10.0 (NuGet): the weight and bias of nn.GroupNorm are never set. They have what was in
# their memory before, so a new layer gives zeros, NaN or numbers of the size 1e17, differently in each process, and a seed does not help.
# BatchNorm, LayerNorm and InstanceNorm start with weight 1 and bias 0, as PyTorch does; with affine: false GroupNorm is right.
# Seen:     of 20 new layers after tensors of 7.5 were freed, weight 1 and bias 0 in 20 of LayerNorm, in 0 of GroupNorm
# What to do: after the constructor torch.nn.init.ones_(layer.weight) and torch.nn.init.zeros_(layer.bias); or load a state dictionary.
# Needs the .NET SDK 10, and a libstdc++ of GCC 13.2 or later (Debian 13, Ubuntu 24.04), or python3 to mark that requirement as weak.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat >groupnorm.csproj <<'XML'
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
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

const int Layers = 20, Channels = 64;
int groups = 0, layers = 0, set = 0;
for (int k = 0; k < Layers; k++)
{
    Free();
    GroupNorm layer = nn.GroupNorm(4, Channels);
    groups += IsRight(layer.weight, layer.bias) ? 1 : 0;
    nn.init.ones_(layer.weight);
    nn.init.zeros_(layer.bias);
    set += IsRight(layer.weight, layer.bias) ? 1 : 0;
}

for (int k = 0; k < Layers; k++)
{
    Free();
    LayerNorm layer = nn.LayerNorm([Channels]);
    layers += IsRight(layer.weight, layer.bias) ? 1 : 0;
}

Console.WriteLine($"weight 1 and bias 0: LayerNorm {layers} of {Layers}, GroupNorm {groups}, once set {set}");

static bool IsRight(Tensor weight, Tensor bias) => weight.eq(1).all().item<bool>() && bias.eq(0).all().item<bool>();

static void Free()
{
    using Tensor used = full(Channels, 7.5f);
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
seen=$(dotnet out/groupnorm.dll)
echo "$seen"
[[ $seen == "weight 1 and bias 0: LayerNorm 20 of 20, GroupNorm 0, once set 20" ]]
