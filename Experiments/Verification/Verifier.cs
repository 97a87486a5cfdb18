using System.IO.Enumeration;
using Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;
using Imta.MetaWeight.Meta.Gradients;

namespace Imta.MetaWeight.Experiments.Verification;

/// <summary>Finds the golden cases of a folder by file name, and checks this build against each.</summary>
/// <param name="Gradient">The meta-gradient method.</param>
/// <param name="Device">The device.</param>
internal sealed record Verifier(MetaGradientMethod Gradient, Device Device)
{
    private static readonly string[] Readable = [".pt", ".tar", ".csv"];

    private (string Start, string End, Func<string, IEnumerable<VerifiedQuantity>> Case)[] Kinds =>
    [
        ("msdnet_cifar", ".pt", path => BackboneCase.MsdNet(path, Device)),
        ("msdnet_imagenet", ".pt", path => BackboneCase.ImageNet(path, Device)),
        ("ranet_cifar", ".pt", path => BackboneCase.RaNet(path, Device)),
        ("imta_ge", ".pt", path => BackboneCase.Equilibrium(path, Device)),
        ("imta_isc", ".pt", path => PhaseTwoCase.Run(path, Device)),
        ("meta_step", ".pt", path => MetaStepCase.Run(path, Gradient, Device)),
        ("allocation", ".pt", path => AllocationCase.Run(path, Device)),
        ("dynamic_eval", ".pt", path => DynamicCase.Run(path, Device)),
        ("risk_control", ".pt", path => RiskControlCase.Run(path, Device)),
        ("failure_auroc", ".pt", path => FailureCase.Run(path, Device)),
        ("flops", ".csv", CostCase.Run),
        ("names_imagenet_step", ".csv", NamesCase.Run),
        ("class_balanced_weights", ".csv", ClassWeightsCase.Run),
        ("longtail_counts", ".csv", LongTailCase.Run),
        ("boostnet", ".pt", path => BoostNetCase.Run(path, Device)),
        ("pcgrad", ".pt", path => PcGradCase.Run(path, Device)),
        ("cagrad", ".pt", path => CaGradCase.Run(path, Device)),
        ("nash", ".pt", path => NashCase.Run(path, Device)),
        ("metagf", ".pt", path => MetaGfCase.Run(path, Device)),
        ("weighting", ".pt", path => WeightingCase.Run(path, Device)),
        ("", "_zip.pt", path => PyTorchFilesCase.Run(path, Device)),
        ("", "_legacy.pt", path => PyTorchFilesCase.Run(path, Device)),
        ("", ".pth.tar", path => PyTorchFilesCase.Run(path, Device)),
    ];

    /// <summary>The golden files under a folder, sorted by name; links to folders are not followed.</summary>
    /// <exception cref="UsageException">The folder does not exist or contains no golden files.</exception>
    public IReadOnlyList<string> Find(string folder)
    {
        if (!Directory.Exists(folder))
        {
            throw new UsageException(
                $"there is no folder '{folder}'; imta verify needs a folder of reference values (such as Tests/Golden in the source tree)");
        }

        var all = new FileSystemEnumerable<string>(
            folder, (ref entry) => entry.ToSpecifiedFullPath(), new EnumerationOptions { RecurseSubdirectories = true })
        {
            ShouldIncludePredicate = (ref entry) => !entry.IsDirectory,
            ShouldRecursePredicate = (ref entry) => !entry.Attributes.HasFlag(FileAttributes.ReparsePoint),
        };
        string[] files =
        [
            .. all.Where(file => Readable.Contains(Path.GetExtension(file))).Where(file => !BelongsToAnother(file))
                .Order(StringComparer.Ordinal),
        ];
        return files.Length > 0
            ? files
            : throw new UsageException(
                $"{folder} contains no reference values (.pt, .pth.tar or .csv files); the source tree has some in Tests/Golden");
    }

    /// <summary>The quantities of one file. Failures within a case become its verdict.</summary>
    /// <param name="path">The file.</param>
    /// <param name="folder">The folder it was found in, to which its name is relative.</param>
    public IReadOnlyList<VerifiedQuantity> Run(string path, string folder)
    {
        string name = Path.GetFileName(path);
        string below = Path.GetRelativePath(folder, path)[..^name.Length];
        return [.. Run(path, name, KindOf(name) ?? Unknown).Select(quantity => quantity with { Case = below + quantity.Case })];
    }

    private static IReadOnlyList<VerifiedQuantity> Run(string path, string name, Func<string, IEnumerable<VerifiedQuantity>> kind)
    {
        using DisposeScope scope = NewDisposeScope();
        try
        {
            VerifiedQuantity[] quantities = [.. kind(path)];
            return quantities.Length > 0
                ? quantities
                : [VerifiedQuantity.Aborted(name, new InvalidDataException("the file contains nothing to compare"))];
        }
        catch (NotCoveredException e)
        {
            return [VerifiedQuantity.NotCovered(name, "whole case", e.Message)];
        }
        catch (Exception e)
        {
            return [VerifiedQuantity.Aborted(name, e)];
        }
    }

    private Func<string, IEnumerable<VerifiedQuantity>>? KindOf(string name) => Kinds
        .Where(kind => name.StartsWith(kind.Start, StringComparison.Ordinal) && name.EndsWith(kind.End, StringComparison.Ordinal))
        .Select(kind => kind.Case)
        .FirstOrDefault();

    /// <summary>A damaged file is a failure, whatever it would have contained.</summary>
    private static IEnumerable<VerifiedQuantity> Unknown(string path)
    {
        if (path.EndsWith(".pt", StringComparison.Ordinal))
        {
            TorchFileReader.Check(path);
        }

        throw new NotCoveredException("not computed by this build");
    }

    /// <summary>Files in PyTorch's formats are next to their expected values, <c>NAME_expected.pt</c>.</summary>
    private bool BelongsToAnother(string path)
        => Path.GetFileNameWithoutExtension(path).EndsWith("_expected", StringComparison.Ordinal) && KindOf(Path.GetFileName(path)) is null;
}
