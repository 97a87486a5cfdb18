#!/usr/bin/env bash
# TorchSharp 0.107.0 (NuGet): torch.utils.tensorboard.SummaryWriter stamps a file's first record (brain.Event:2), from which readers take a
# run's start, in .NET ticks, 100 ns since year 1 by the local clock, where all later records have seconds since 1970, as the format
# says; the number in the file's name is of the same kind. A run seems to start 2e10 years from now.
# And Tensorboard.Event, which TorchSharp brings, cannot be parsed from a span, only from an array: its generated code is older than the
# Google.Protobuf that it asks for.
# Seen:     first record 6.4e17, next record 1.8e9; from a span InvalidProtocolBufferException
# What to do: write the first record's time and check sum again (CRC-32C, masked); parse from arrays.
# Needs the .NET SDK 10, and a libstdc++ of GCC 13.2 or later (Debian 13, Ubuntu 24.04), or python3 to mark that requirement as weak.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat >start.csproj <<'XML'
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
using Google.Protobuf;
using Tensorboard;
using static TorchSharp.torch;

utils.tensorboard.SummaryWriter("logs").add_scalar("loss", 1, 1);
using var file = new BinaryReader(File.OpenRead(Directory.GetFiles("logs").Single()));
byte[] Next()
{
    int length = (int)file.ReadInt64();
    file.ReadInt32();
    byte[] content = file.ReadBytes(length);
    file.ReadInt32();
    return content;
}

Event first = Event.Parser.ParseFrom(Next());
byte[] next = Next();
string span = "parsed";
try
{
    Event.Parser.ParseFrom((ReadOnlySpan<byte>)next);
}
catch (InvalidProtocolBufferException e)
{
    span = e.GetType().Name;
}

Console.WriteLine(FormattableString.Invariant(
    $"first record {first.WallTime:0.0e0}, next record {Event.Parser.ParseFrom(next).WallTime:0.0e0}; from a span {span}"));
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
seen=$(dotnet out/start.dll)
echo "$seen"
[[ $seen == "first record 6.4e17, next record 1."?"e9; from a span InvalidProtocolBufferException" ]]
