#!/usr/bin/env bash
# MathNet.Numerics 5.0.0 (NuGet): StudentT.InvCDF looks for its quantile between -800 and 800 only, wherever the distribution lies. If the
# quantile of a scaled, shifted or heavy-tailed one is farther out, it throws NonConvergenceException ("no root within the provided
# bounds"), at ordinary probabilities too. And it accepts a probability with an absolute error of 1e-12, so below that, if it does not
# throw, it silently returns -800: for 30 degrees of freedom the quantile of 1e-15 is -14.9. FisherSnedecor.InvCDF is bounded likewise, by
# 1000. The exceptions are known (mathnet/mathnet-numerics, pull request 1158); the wrong value is not mentioned there.
# Seen:     four exceptions, -800, and 12.71 where it is right; the last lines of this script have them
# What to do: ask for the quantile of location 0 and scale 1, then scale and shift it; 95 % intervals are right from one degree of freedom
# up. Farther out, solve StudentT.CDF, which is right there, within your own bounds.
# Needs the .NET SDK 10.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat >quantiles.csproj <<'XML'
<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup>
    <OutputType>Exe</OutputType><TargetFramework>net10.0</TargetFramework><ImplicitUsings>enable</ImplicitUsings>
    <InvariantGlobalization>true</InvariantGlobalization>
  </PropertyGroup>
  <ItemGroup><PackageReference Include="MathNet.Numerics" Version="5.0.0" /></ItemGroup>
</Project>
XML
cat >Program.cs <<'CS'
using MathNet.Numerics.Distributions;
using MathNet.Numerics.RootFinding;

Try("1 degree, 0.975", () => StudentT.InvCDF(0, 1, 1, 0.975));
Try("1 degree, 0.9999", () => StudentT.InvCDF(0, 1, 1, 0.9999));
Try("4 degrees, scale 1000, 0.975", () => StudentT.InvCDF(0, 1000, 4, 0.975));
Try("4 degrees, location 5000, 0.6", () => StudentT.InvCDF(5000, 1, 4, 0.6));
Try("1 and 1 degrees of F, 0.999", () => FisherSnedecor.InvCDF(1, 1, 0.999));
Try("30 degrees, 1e-15", () => StudentT.InvCDF(0, 1, 30, 1e-15));
Try("30 degrees, by its CDF", () => Brent.FindRoot(x => Math.Log(StudentT.CDF(0, 1, 30, x) / 1e-15), -100, 0));

static void Try(string what, Func<double> quantile)
{
    string seen;
    try
    {
        seen = $"{quantile():0.00}";
    }
    catch (Exception e)
    {
        seen = e.GetType().Name;
    }

    Console.WriteLine($"{what}: {seen}");
}
CS
seen=$(dotnet run -c Release)
echo "$seen"
[[ $seen == "1 degree, 0.975: 12.71
1 degree, 0.9999: NonConvergenceException
4 degrees, scale 1000, 0.975: NonConvergenceException
4 degrees, location 5000, 0.6: NonConvergenceException
1 and 1 degrees of F, 0.999: NonConvergenceException
30 degrees, 1e-15: -800.00
30 degrees, by its CDF: -14.93" ]]
