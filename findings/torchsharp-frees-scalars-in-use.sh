#!/usr/bin/env bash
# TorchSharp 0.107.0 on libtorch-cpu-linux-x64 2.10.0 (NuGet): a number given to an operator (x.mul(1.5), x * 2, masked_fill) becomes a
# Scalar, which nothing keeps alive while the native function reads it. So does the hidden factor 1 of x + y, x.add(y), x.add_(y) and
# x.add(number), the hidden start and step of arange(n), and the numbers within optimisers, softplus and vector_norm. A garbage collection
# by another thread at that moment finalises it, and the function reads freed memory. Two threads that collect all the time make it
# frequent; without them it is rare, and still happens in programs whose other threads allocate.
# Seen:     of 2.5 million products 190 ended in "Expected false to be true" (Scalar.h, toDouble) or "Unknown scalar type", of 2.6 million
#           sums x + y 287, and of 1.0 million sums of integers 164, most in "For integral input tensors, argument alpha must not be a
#           floating point number"; of 5.9 million with numbers kept alive none
# What to do: hold the Scalar in a static field, or in a variable with GC.KeepAlive after the call; write x.add(y, held) for x + y.
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
Scalar held = 1.5, factor = 1;
Report("products", x => x.mul(1.5), 1.5);
Report("sums", x => x + x, 2);
Report("sums of integers", x => (x.to_type(ScalarType.Int64) + x.to_type(ScalarType.Int64)).to_type(ScalarType.Float64), 2);
Report("products with a held number", x => x.mul(held), 1.5);
Report("sums with a held factor", x => x.add(x, factor), 2);
GC.KeepAlive((held, factor));
ends = true;

void Collect()
{
    while (!Volatile.Read(ref ends))
    {
        GC.Collect(0);
        GC.WaitForPendingFinalizers();
    }
}

static void Report(string what, Func<Tensor, Tensor> operation, double expected)
{
    int failed = 0, all = 0;
    using Tensor one = ones(1, dtype: ScalarType.Float64);
    for (var clock = Stopwatch.StartNew(); clock.Elapsed < TimeSpan.FromSeconds(25); all++)
    {
        using DisposeScope scope = NewDisposeScope();
        try
        {
            failed += operation(one).item<double>() == expected ? 0 : 1;
        }
        catch (Exception)
        {
            failed++;
        }
    }

    Console.WriteLine($"{what}: {(failed > 0 ? "some fail" : "none fails")} ({failed} of {all})");
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
[[ $(sed 's/ (.*//' <<<"$seen") == "products: some fail
sums: some fail
sums of integers: some fail
products with a held number: none fails
sums with a held factor: none fails" ]]
