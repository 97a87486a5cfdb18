using System.Runtime.InteropServices;
using CsvHelper;
using Imta.MetaWeight.Meta;

namespace Imta.MetaWeight.Experiments.Verification;

/// <summary>Finds the golden cases of a folder by their file names, and holds this build against each.</summary>
/// <param name="Gradient">How the meta gradient is computed.</param>
/// <param name="Place">Where.</param>
internal sealed record Verifier(MetaGradientMethod Gradient, Device Place)
{
    private static readonly string[] Readable = [".pt", ".tar", ".csv"];

    private (string Start, string End, Func<string, IEnumerable<VerifiedQuantity>> Case)[] Kinds =>
    [
        ("msdnet_cifar", ".pt", path => MsdNetCase.Cifar(path, Place)),
        ("msdnet_imagenet", ".pt", path => MsdNetCase.ImageNet(path, Place)),
        ("meta_step", ".pt", path => MetaStepCase.Run(path, Gradient, Place)),
        ("allocation", ".pt", path => AllocationCase.Run(path, Place)),
        ("flops", ".csv", CostCase.Run),
        ("names_imagenet_step", ".csv", NamesCase.Run),
        ("class_balanced_weights", ".csv", ClassWeightsCase.Run),
    ];

    /// <summary>The golden files under a folder, in the order of their names.</summary>
    /// <exception cref="UsageException">There is no such folder, or nothing golden in it.</exception>
    public static IReadOnlyList<string> Find(string folder)
    {
        if (!Directory.Exists(folder))
        {
            throw new UsageException($"there is no folder '{folder}'; imta verify takes the folder of the golden numbers (Tests/Golden of the source code has some)");
        }

        string[] files = [.. Directory.EnumerateFiles(folder, "*", SearchOption.AllDirectories)
            .Where(file => Readable.Contains(Path.GetExtension(file)))
            .Where(file => !Path.GetFileNameWithoutExtension(file).EndsWith("_expected", StringComparison.Ordinal)) // belongs to another file
            .Order(StringComparer.Ordinal)];
        return files.Length > 0
            ? files
            : throw new UsageException($"{folder} has no golden numbers (.pt, .pth.tar or .csv files); Tests/Golden of the source code has some");
    }

    /// <summary>The quantities of one file. What goes wrong in a case is its verdict.</summary>
    public IReadOnlyList<VerifiedQuantity> Run(string path)
    {
        string name = Path.GetFileName(path);
        using DisposeScope scope = NewDisposeScope();
        try
        {
            var kind = Kinds.FirstOrDefault(kind => name.StartsWith(kind.Start, StringComparison.Ordinal) && name.EndsWith(kind.End, StringComparison.Ordinal));
            return kind.Case is null
                ? [VerifiedQuantity.NotCovered(name, "whole case", "nothing here computes it")]
                : [.. kind.Case(path)];
        }
        catch (NotSupportedException e)
        {
            return [VerifiedQuantity.NotCovered(name, "whole case", OneLine(e))];
        }
        catch (Exception e) when (e is IOException or InvalidDataException or UnauthorizedAccessException or ExternalException or ArgumentException or FormatException
            or InvalidOperationException or KeyNotFoundException or InvalidCastException or OverflowException or IndexOutOfRangeException or CsvHelperException)
        {
            return [VerifiedQuantity.BrokenOff(name, OneLine(e))];
        }
    }

    private static string OneLine(Exception e) => $"{e.GetType().Name}: {e.Message.ReplaceLineEndings(" ")}";
}
