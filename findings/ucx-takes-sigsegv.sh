#!/usr/bin/env bash
# Debian 12's MPICH sends via UCX, and UCX takes over SIGSEGV, SIGBUS and SIGFPE when MPI is initialised, even if a program already has
# handlers. .NET turns these signals into exceptions, so a C# rank ended with UCX's backtrace where it otherwise continues.
# Open MPI 4.1.4's own transports leave .NET's handlers in place.
#
# Versions: libmpich12 4.0.2-3+b1, libucx0 1.13.1-1 (Debian 12, x86-64), asked from C# on .NET 10.
# Seen:     by default:             SIGSEGV SIGBUS SIGFPE have other handlers after MPI_Init than .NET's
#           UCX_HANDLE_ERRORS=none: SIGSEGV SIGBUS SIGFPE keep .NET's
# What to do: UCX_HANDLE_ERRORS=none in the environment before the library is loaded (in C's: .NET's SetEnvironmentVariable is a copy that
# C libraries do not see).
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get download libmpich12=4.0.2-3+b1 libucx0=1.13.1-1 libhwloc15=2.9.0-1 libnuma1 libibverbs1 librdmacm1 libnl-3-200 libnl-route-3-200 >/dev/null
for package in *.deb; do
  dpkg-deb -x "$package" root
done
library=$folder/root/usr/lib/x86_64-linux-gnu

cat >handlers.csproj <<'PROJECT'
<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup>
    <OutputType>Exe</OutputType>
    <TargetFramework>net10.0</TargetFramework>
    <AllowUnsafeBlocks>true</AllowUnsafeBlocks>
    <ImplicitUsings>enable</ImplicitUsings>
  </PropertyGroup>
</Project>
PROJECT
cat >Program.cs <<'PROGRAM'
using System.Runtime.InteropServices;

(string Name, int Number)[] signals = [("SIGSEGV", 11), ("SIGBUS", 7), ("SIGFPE", 8)];
nint[] before = [.. signals.Select(signal => Native.Handler(signal.Number))];
Native.InitialiseMpi(args[0]);
string changed = string.Join(' ', signals.Where((signal, k) => Native.Handler(signal.Number) != before[k]).Select(signal => signal.Name));
Console.WriteLine(changed.Length == 0 ? "all handlers are .NET's" : $"others' handlers: {changed}");

internal static unsafe class Native
{
    [DllImport("libc")]
    private static extern int sigaction(int signal, void* action, byte* old);

    // A handler's address is the first field of struct sigaction.
    public static nint Handler(int signal)
    {
        byte* action = stackalloc byte[256];
        return sigaction(signal, null, action) == 0 ? *(nint*)action : throw new InvalidOperationException();
    }

    public static void InitialiseMpi(string library)
        => _ = ((delegate* unmanaged<int*, byte***, int>)NativeLibrary.GetExport(NativeLibrary.Load(library), "MPI_Init"))(null, null);
}
PROGRAM
dotnet build handlers.csproj --configuration Release --output out -v quiet --nologo >/dev/null

export LD_LIBRARY_PATH=$library
[[ $(dotnet out/handlers.dll "$library/libmpich.so.12") == "others' handlers: SIGSEGV SIGBUS SIGFPE" ]]
[[ $(UCX_HANDLE_ERRORS=none dotnet out/handlers.dll "$library/libmpich.so.12") == "all handlers are .NET's" ]]
echo "as stated"
