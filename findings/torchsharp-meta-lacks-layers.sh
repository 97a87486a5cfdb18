#!/usr/bin/env bash
# TorchSharp 0.107.0 on libtorch-cpu-linux-x64 2.10.0 (NuGet): the meta device, which knows shapes without memory, runs fewer operators than in
# Python. Those whose meta kernels PyTorch writes in Python (torch/_meta_registrations.py, torch/_refs) are not in libtorch: convolutions, relu,
# batch, layer and group norm, attention. Module constructors work there, so parameters can be counted; a forward pass of a CNN or transformer
# cannot be tried for its shapes. The messages advise TORCH_LIBRARY_IMPL or torch.compile, neither of which C# has.
# Seen:     linear, max_pool2d, log_softmax, cat, interpolate give shapes; conv2d "convolution_overrideable not implemented", the rest "attempted
#           to run this operator with Meta tensors, but there was no fake impl or Meta kernel registered"
# What to do: count by the layers' own formulas, or run one image through a network that is as deep and narrow.
# Needs the .NET SDK 10, and a libstdc++ of GCC 13.2 or later (Debian 13, Ubuntu 24.04), or python3 to mark the library's demand for it as weak.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat >meta.csproj <<'XML'
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
using System.Runtime.InteropServices;
using TorchSharp;
using static TorchSharp.torch;
using F = TorchSharp.torch.nn.functional;

Device meta = new(DeviceType.META);
Tensor images = zeros([2, 3, 8, 8], device: meta), rows = zeros([2, 5], device: meta), ofChannels = ones(3, device: meta);
Tensor tokens = zeros([1, 2, 4, 8], device: meta);
(string Name, Func<Tensor> Run)[] operators =
[
    ("linear", () => F.linear(rows, zeros([6, 5], device: meta))),
    ("max_pool2d", () => F.max_pool2d(images, 2)),
    ("log_softmax", () => F.log_softmax(rows, 1)),
    ("cat", () => cat([images, images], 1)),
    ("conv2d", () => F.conv2d(images, zeros([4, 3, 3, 3], device: meta))),
    ("relu", () => F.relu(images)),
    ("batch_norm", () => F.batch_norm(images, ofChannels, ofChannels, ofChannels, ofChannels, training: true)),
    ("layer_norm", () => F.layer_norm(images, [8])),
    ("group_norm", () => F.group_norm(images, 3)),
    ("attention", () => F.scaled_dot_product_attention(tokens, tokens, tokens)),
];
Console.WriteLine($"runs: {Names(true)}");
Console.WriteLine($"fails: {Names(false)}");

string Names(bool runs) => string.Join(' ', operators.Where(one => Runs(one.Run) == runs).Select(one => one.Name));

static bool Runs(Func<Tensor> run)
{
    try
    {
        return run().device_type == DeviceType.META;
    }
    catch (ExternalException)
    {
        return false;
    }
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
seen=$(dotnet out/meta.dll)
echo "$seen"
[[ $seen == $'runs: linear max_pool2d log_softmax cat\nfails: conv2d relu batch_norm layer_norm group_norm attention' ]]
