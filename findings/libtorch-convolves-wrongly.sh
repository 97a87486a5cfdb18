#!/usr/bin/env bash
# libtorch-cpu-linux-x64 2.10.0 (NuGet; oneDNN 3.7.1) on an AMD EPYC 9005 (Zen 5, AVX-512): conv2d of contiguous float32 images with a 3x3
# kernel is wrong by 10 to 30 % of the largest value, or NaN, if input channels exceed 16 and are not a multiple of 16. oneDNN blocks
# them by 16, and the last block's padding is not zero (ONEDNN_VERBOSE=1: reorder jit:uni to aBcd16b, convolution jit:avx512_core;
# with ONEDNN_MAX_CPU_ISA=AVX2 it affects non-multiples of 8). Correct: channels-last images, 1x1 kernels, float64; Debian's PyTorch 1.13.
# Reorders of oneDNN 3.7 are known to be broken in some cases, fixed in 3.8.1 (uxlfoundation/oneDNN, issue 3280). On processors that do
# not take this path all five are right, and the script fails.
# Seen:     right of 16, 32 channels, wrong of 17, 24, 40
# What to do: keep images channels-last (but the gradient of a one-channel input is wrong too), or at::Context::setUserEnabledMkldnn(false).
# Needs the .NET SDK 10, and a libstdc++ of GCC 13.2 or later (Debian 13, Ubuntu 24.04), or python3 to mark that requirement as weak.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat >count.csproj <<'XML'
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
using static TorchSharp.torch;

bool IsRight(long channels)
{
    Tensor x = randn(2, channels, 8, 8), weight = randn(8, channels, 3, 3);
    Tensor y = nn.functional.conv2d(x, weight).@double(), exact = nn.functional.conv2d(x.@double(), weight.@double());
    return ((y - exact).abs().max() / exact.abs().max()).item<double>() < 1e-5;
}

ILookup<bool, long> channels = new long[] { 16, 17, 24, 32, 40 }.ToLookup(IsRight);
Console.WriteLine($"right of {string.Join(", ", channels[true])} channels, wrong of {string.Join(", ", channels[false])}");
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
seen=$(dotnet out/count.dll 2>/dev/null)
echo "$seen"
[[ $seen == "right of 16, 32 channels, wrong of 17, 24, 40" ]]
