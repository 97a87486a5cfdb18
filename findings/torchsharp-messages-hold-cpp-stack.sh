#!/usr/bin/env bash
# TorchSharp 0.107.0 on libtorch-cpu-linux-x64 2.10.0 (NuGet): the message of every ExternalException holds, after the reason, libtorch's
# C++ stack trace, with addresses and the paths of the machine's libraries: the reason of an addition with two wrong shapes is followed by
# 16 lines, and two runs of one program have different messages, because libraries are loaded at random addresses. PyTorch removes the trace
# unless TORCH_SHOW_CPP_STACKTRACES=1; here the variable changes nothing, because the code that removes it is in PyTorch's Python bindings.
# Seen:     the last lines of this script
# What to do: Message.Split("\nException raised from ")[0] where the message is shown, logged or compared.
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
using System.Runtime.InteropServices;
using static TorchSharp.torch;

try
{
    zeros(2).add(zeros(3));
}
catch (ExternalException e)
{
    Console.Write(e.Message);
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
shown=$(dotnet out/others.dll)
again=$(dotnet out/others.dll)
unwanted=$(TORCH_SHOW_CPP_STACKTRACES=0 dotnet out/others.dll)
echo "$shown"
reason='The size of tensor a (2) must match the size of tensor b (3) at non-singleton dimension 0'
for message in "$shown" "$again" "$unwanted"; do
  [[ ${message%%$'\n'*} == "$reason" && $message == *$'\nException raised from infer_size_impl at '* ]]
  [[ $(grep -c '^frame #[0-9]*: .*(0x[0-9a-f]* in /.*/lib[^/]*\.so)$' <<<"$message") -ge 10 ]]
done
[[ $shown != "$again" ]]
