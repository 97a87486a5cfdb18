#!/usr/bin/env bash
# libtorch-cpu-linux-x64 2.10.0 under TorchSharp 0.107.0 (NuGet): the meta device, which tracks shapes without memory, runs linear,
# max_pool2d, log_softmax and cat, but no convolution, relu, batch, layer or group norm or attention. PyTorch implements the latter's meta
# kernels in Python (torch/_meta_registrations.py, torch/_refs), and a libtorch without Python lacks them: shapes of a CNN or transformer
# cannot be tested there. Module constructors work, so parameters can be counted.
# Seen:     "convolution_overrideable not implemented", and for the rest "no fake impl or Meta kernel registered", with a link to a page on custom
#           operators of torch.compile, which is for Python
# What to do: compute shapes by the layers' formulas, or run one image through the network on the CPU.
# Needs the .NET SDK 10, and a libstdc++ of GCC 13.2 or later (Debian 13, Ubuntu 24.04), or python3 to mark that requirement as weak.
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

(string Name, Func<Device, Tensor> Run)[] operators =
[
    ("linear", on => F.linear(zeros([2, 5], device: on), zeros([6, 5], device: on))),
    ("max_pool2d", on => F.max_pool2d(Images(on), 2)),
    ("log_softmax", on => F.log_softmax(Images(on), 1)),
    ("cat", on => cat([Images(on), Images(on)], 1)),
    ("conv2d", on => F.conv2d(Images(on), zeros([4, 3, 3, 3], device: on))),
    ("relu", on => F.relu(Images(on))),
    ("batch_norm", on => F.batch_norm(Images(on), zeros(3, device: on), ones(3, device: on), training: true)),
    ("layer_norm", on => F.layer_norm(Images(on), [8])),
    ("group_norm", on => F.group_norm(Images(on), 3)),
    ("attention", on => F.scaled_dot_product_attention(Images(on), Images(on), Images(on))),
];
Console.WriteLine($"CPU: {Names(DeviceType.CPU, "runs")}");
Console.WriteLine($"meta: {Names(DeviceType.META, "runs")}");
Console.WriteLine($"no meta kernel: {Names(DeviceType.META, "no meta kernel")}");
Console.WriteLine($"parameters: {nn.Conv2d(3, 4, 3, device: new Device(DeviceType.META)).parameters().Sum(one => one.numel())}");

static Tensor Images(Device on) => zeros([2, 3, 8, 8], device: on);

string Names(DeviceType on, string result)
    => string.Join(' ', operators.Where(one => Result(one.Run, new Device(on)) == result).Select(one => one.Name));

static string Result(Func<Device, Tensor> run, Device on)
{
    try
    {
        return run(on).device_type == on.type ? "runs" : "elsewhere";
    }
    catch (ExternalException e) when (e.Message.Contains("convolution_overrideable not implemented") || e.Message.Contains("Meta kernel registered"))
    {
        return "no meta kernel";
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
all="conv2d relu batch_norm layer_norm group_norm attention" some="linear max_pool2d log_softmax cat"
[[ $seen == "CPU: $some $all"$'\n'"meta: $some"$'\n'"no meta kernel: $all"$'\n'"parameters: 112" ]]
