using System.Globalization;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using Imta.MetaWeight.Experiments.Data;

namespace Imta.MetaWeight.Experiments.Training.Checks;

/// <summary>How many images of one set also appear, byte for byte, in another.</summary>
/// <param name="TestInTraining">Test images that are also training images or meta data.</param>
/// <param name="TestInValidation">Test images that are also validation images.</param>
/// <param name="TestInEither">Test images that are in either of the two.</param>
/// <param name="Test">The number of test images.</param>
/// <param name="ValidationInTraining">Validation images that are also training images or meta data.</param>
/// <param name="Validation">The number of validation images.</param>
internal sealed record Overlap(
    int TestInTraining, int TestInValidation, int TestInEither, int Test, int ValidationInTraining, int Validation)
{
    /// <summary>Compares the images of a run, ignoring labels.</summary>
    /// <returns>Null if images are files, all of which would have to be read.</returns>
    public static Overlap? Measure(RunData data)
    {
        if (data.Test.Files is not null)
        {
            return null;
        }

        UInt128[] test = Fingerprints(data.Test), validation = Fingerprints(data.Validation);
        HashSet<UInt128> training = [.. Fingerprints(data.Train), .. data.Meta is null ? [] : Fingerprints(data.Meta)];
        HashSet<UInt128> held = [.. validation];
        return new Overlap(
            test.Count(training.Contains),
            test.Count(held.Contains),
            test.Count(image => training.Contains(image) || held.Contains(image)),
            test.Length,
            validation.Count(training.Contains),
            validation.Length);
    }

    /// <summary>Half of each image's SHA-256: equal only for equal images, up to negligible collisions.</summary>
    private static UInt128[] Fingerprints(ImageSet set)
    {
        var prints = new UInt128[set.Count];
        Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
        for (int i = 0; i < prints.Length; i++)
        {
            using Tensor image = set.Images.select(0, i); // a span of all of them could be too long
            SHA256.HashData(image.bytes, hash);
            prints[i] = MemoryMarshal.Read<UInt128>(hash);
        }
        return prints;
    }
}

/// <summary>Checks whether images used for training are also used for evaluation.</summary>
internal static class OverlapCheck
{
    // The share of overlapping test images above which the test accuracy is unreliable.
    private const double ErrorThreshold = 0.01;

    public static IEnumerable<CheckFinding> Findings(Overlap overlap)
    {
        if (overlap.TestInEither > 0)
        {
            double share = (double)overlap.TestInEither / overlap.Test;
            yield return new CheckFinding(
                CheckName.Overlap,
                share >= ErrorThreshold ? Severity.Error : Severity.Warning,
                Invariant($"{overlap.TestInEither} of {overlap.Test} test images are also used for learning ({overlap.TestInTraining} as ")
                    + Invariant($"training and meta data, {overlap.TestInValidation} as validation data)"),
                $"the test accuracy may be overestimated by up to {Points(overlap.TestInEither, overlap.Test)}",
                "use other files for the training or test set, such as the data set's official ones");
        }

        if (overlap.ValidationInTraining > 0)
        {
            yield return new CheckFinding(
                CheckName.Overlap,
                Severity.Warning,
                Invariant($"{overlap.ValidationInTraining} of {overlap.Validation} validation images are also training images"),
                $"the validation accuracy may be overestimated by up to {Points(overlap.ValidationInTraining, overlap.Validation)}",
                "remove the duplicate images from the training files");
        }
    }

    /// <summary>By how much this many known images of a set can raise its accuracy, rounded up to the digits shown.</summary>
    public static string Points(int known, int images)
        => Invariant($"{Math.Ceiling(1e4 * known / images) / 100:0.00} percentage points");

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
