using System.Text;

namespace Imta.MetaWeight.Experiments.Data;

/// <summary>
/// Derives independent seeds from one: everything random in a run gets its own seed from the run's seed, a purpose and numbers (epoch,
/// batch, …). So nothing depends on how many numbers other parts drew, and a resumed run needs no generator state.
/// </summary>
/// <remarks>
/// The hash is a stable contract: changing it changes every run. A 64-bit state starts at the run's seed and absorbs one
/// value after another, <c>state = mix(state + 0x9E3779B97F4A7C15 + value)</c>, where <c>mix</c> is the output function of SplitMix64
/// (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014). The values are the length of the purpose in UTF-8
/// bytes, those bytes, then the numbers. libtorch's CPU generator uses the low 32 bits of the result.
/// </remarks>
internal static class SeedSequence
{
    /// <summary>Initial parameters of the backbone.</summary>
    public const string Backbone = "backbone";

    /// <summary>Initial parameters of the modules that phase II adds to the backbone.</summary>
    public const string PhaseTwo = "phase two";

    /// <summary>Initial parameters of the weight-prediction network; in phase II one number: 2.</summary>
    public const string WeightNetwork = "weight network";

    /// <summary>Orders of the exits in a combination of their gradients; two numbers: the phase and the step.</summary>
    public const string Combination = "combination";

    /// <summary>Which training images a run with <c>data.trainLimit</c> uses.</summary>
    public const string TrainLimit = "train limit";

    /// <summary>Which test images a run with <c>data.testLimit</c> uses.</summary>
    public const string TestLimit = "test limit";

    /// <summary>Which training images are held out for validation.</summary>
    public const string Validation = "validation";

    /// <summary>Which training images are held out as meta data (<c>meta.source: heldOut</c>).</summary>
    public const string MetaData = "meta data";

    /// <summary>Which training images of each class an imbalanced run keeps.</summary>
    public const string Imbalance = "imbalance";

    /// <summary>Which classes of an imbalanced run are large.</summary>
    public const string ClassOrder = "class order";

    /// <summary>The order of held-out meta data and its augmentation: a seed from which these are derived.</summary>
    public const string MetaBatches = "meta batches";

    /// <summary>The order in which validation images calibrate a policy.</summary>
    public const string Calibration = "calibration";

    /// <summary>The samples of images on which a calibration is repeated.</summary>
    public const string Coverage = "coverage";

    /// <summary>The order of the training images; one number: the epoch.</summary>
    public const string Order = "order";

    /// <summary>Crops and flips; two numbers: the epoch and the batch.</summary>
    public const string Augmentation = "augmentation";

    /// <summary>Generated training images.</summary>
    public const string GeneratedTrain = "generated train";

    /// <summary>Generated test images.</summary>
    public const string GeneratedTest = "generated test";

    private const ulong Gamma = 0x9E3779B97F4A7C15;

    /// <summary>The seed for a purpose.</summary>
    /// <param name="seed">The run's seed.</param>
    /// <param name="purpose">The purpose: a constant of this class.</param>
    /// <param name="numbers">Further identifiers, such as the epoch and the batch.</param>
    public static ulong Derive(long seed, string purpose, params ReadOnlySpan<long> numbers)
    {
        byte[] name = Encoding.UTF8.GetBytes(purpose);
        ulong state = Absorb(unchecked((ulong)seed), (ulong)name.Length);
        foreach (byte letter in name)
        {
            state = Absorb(state, letter);
        }

        foreach (long number in numbers)
        {
            state = Absorb(state, unchecked((ulong)number));
        }

        return state;
    }

    /// <summary>A CPU generator with the seed for a purpose; the caller disposes it.</summary>
    /// <inheritdoc cref="Derive"/>
    public static Generator Generator(long seed, string purpose, params ReadOnlySpan<long> numbers) => new(Derive(seed, purpose, numbers));

    private static ulong Absorb(ulong state, ulong value)
    {
        unchecked
        {
            ulong z = state + Gamma + value;
            z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
            z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
            return z ^ (z >> 31);
        }
    }
}
