#!/usr/bin/env bash
# TorchSharp 0.107.0 on libtorch-cpu-linux-x64 2.10.0 (NuGet): a number given to an operator (x.mul(1.5), x * 2, masked_fill) becomes a Scalar,
# which nothing keeps alive while the native function reads it. A garbage collection by another thread at that moment finalises it, and the
# function reads freed memory. Two threads that collect all the time make it frequent; without them it is rare, and still happens in programs
# whose other threads allocate.
# Seen:     of 600,000 products 64 ended in "Expected false to be true" (Scalar.h, toDouble) or "Unknown scalar type"
# What to do: hold the Scalar in a variable, and GC.KeepAlive(it) after the call; or give a 0-dimensional tensor.
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
using System.Diagnostics;
using TorchSharp;
using static TorchSharp.torch;

bool ends = false;
Thread[] collectors = [.. Enumerable.Range(0, 2).Select(_ => new Thread(Collect))];
Array.ForEach(collectors, thread => thread.Start());
int careless = Failures((x, number) => x.mul(number));
int careful = Failures((x, number) =>
{
    Scalar held = number;
    Tensor product = x.mul(held);
    GC.KeepAlive(held);
    return product;
});
ends = true;
Console.WriteLine($"{(careless > 0 ? "some" : "no")} products fail, {(careful > 0 ? "some" : "none")} of those whose number is kept alive");

void Collect()
{
    while (!Volatile.Read(ref ends))
    {
        GC.Collect(0);
        GC.WaitForPendingFinalizers();
    }
}

static int Failures(Func<Tensor, double, Tensor> product)
{
    int failed = 0;
    Tensor one = ones(1, dtype: ScalarType.Float64);
    for (var clock = Stopwatch.StartNew(); clock.Elapsed < TimeSpan.FromSeconds(30);)
    {
        using DisposeScope scope = NewDisposeScope();
        try
        {
            failed += product(one, 1.5).item<double>() == 1.5 ? 0 : 1;
        }
        catch (Exception)
        {
            failed++;
        }
    }

    return failed;
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
seen=$(dotnet out/count.dll)
echo "$seen"
[[ $seen == "some products fail, none of those whose number is kept alive" ]]
