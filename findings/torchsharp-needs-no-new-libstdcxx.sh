#!/usr/bin/env bash
# TorchSharp 0.107.0 (NuGet, 2026-05): its library for Linux, libLibTorchSharp.so, names the version GLIBCXX_3.4.32 of libstdc++, GCC 13.2's.
# So it is refused by the loader of Debian 12, Ubuntu 22.04 and RHEL 9 ("version `GLIBCXX_3.4.32' not found"), whose libstdc++ is older.
# But the only symbol of that version in it is std::ios_base_library_init(), and no relocation refers to that symbol: nothing would be missed.
# Output: "1 symbol of GLIBCXX_3.4.32, 0 relocations refer to it". Needs the .NET SDK and readelf (binutils).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat >try.csproj <<'XML'
<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup><TargetFramework>net8.0</TargetFramework><RestorePackagesPath>packages</RestorePackagesPath></PropertyGroup>
  <ItemGroup><PackageDownload Include="TorchSharp" Version="[0.107.0]" /></ItemGroup>
</Project>
XML
dotnet restore --nologo -v q
library=packages/torchsharp/0.107.0/runtimes/linux-x64/native/libLibTorchSharp.so
symbols=$(readelf --wide --dyn-syms "$library" | grep -F '@GLIBCXX_3.4.32' || true)
relocations=$(readelf --wide --relocs "$library" | grep -cF ios_base_library_init || true)
echo "$(grep -c . <<<"$symbols") symbol of GLIBCXX_3.4.32, $relocations relocations refer to it"
[[ $(grep -c . <<<"$symbols") == 1 && $symbols == *ios_base_library_init* && $relocations == 0 ]]
