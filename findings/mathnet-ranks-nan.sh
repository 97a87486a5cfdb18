#!/usr/bin/env bash
# MathNet.Numerics 5.0.0 (NuGet): statistics that sort values sort NaN too, and return numbers that look right. Ranks puts NaN below
# everything and treats no two as equal, so Correlation.Spearman of nothing but NaN with rising values is 1, with falling ones -1, where
# Pearson is NaN. Median and Quantile select without a full sort, so their results depend on the position of the NaN: the median of 1 to 4
# and one NaN is 2, 3 or NaN. Mean, Maximum and StandardDeviation are NaN, as expected. So a network that has diverged can show a rank
# correlation and a median loss.
# Seen:     the last lines of this script
# What to do: check for NaN before computing ranks, rank correlations or quantiles.
# Needs the .NET SDK 10.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat >ranks.csproj <<'XML'
<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup>
    <OutputType>Exe</OutputType><TargetFramework>net10.0</TargetFramework><ImplicitUsings>enable</ImplicitUsings>
    <InvariantGlobalization>true</InvariantGlobalization>
  </PropertyGroup>
  <ItemGroup><PackageReference Include="MathNet.Numerics" Version="5.0.0" /></ItemGroup>
</Project>
XML
cat >Program.cs <<'CS'
using MathNet.Numerics.Statistics;

double[] none = [double.NaN, double.NaN, double.NaN, double.NaN, double.NaN];
double[] rising = [1, 2, 3, 4, 5], falling = [5, 4, 3, 2, 1];
Console.WriteLine($"only NaN: Spearman {Correlation.Spearman(none, rising)} and {Correlation.Spearman(none, falling)}, "
    + $"Pearson {Correlation.Pearson(none, rising)}");
foreach (int at in new[] { 0, 2, 4 })
{
    List<double> values = [1, 2, 3, 4];
    values.Insert(at, double.NaN);
    double[] copy = [.. values];
    Console.WriteLine($"{string.Join(' ', values)}: ranks {string.Join(' ', copy.Ranks())}, median {copy.Median()}, mean {copy.Mean()}");
}
CS
seen=$(dotnet run -c Release)
echo "$seen"
[[ $seen == "only NaN: Spearman 1 and -1, Pearson NaN
NaN 1 2 3 4: ranks 1 2 3 4 5, median 2, mean NaN
1 2 NaN 3 4: ranks 2 3 1 4 5, median NaN, mean NaN
1 2 3 4 NaN: ranks 2 3 4 5 1, median 3, mean NaN" ]]
