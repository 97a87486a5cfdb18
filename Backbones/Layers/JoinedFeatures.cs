using Imta.MetaWeight.Backbones.Linearised;

namespace Imta.MetaWeight.Backbones.Layers;

/// <summary>Features that <see cref="Operators.Join"/> puts behind others.</summary>
/// <param name="Channels">How many.</param>
/// <param name="Compute">Computes them; given a place, which is on a tape only, it writes them there and returns it.</param>
internal readonly record struct JoinedPart(long Channels, Func<Tensor?, Tensor> Compute);

/// <summary>Features and, behind them along the channels, new ones that were written straight into their slices of the wider tensor.</summary>
internal sealed class JoinedFeatures : LinearMap
{
    private readonly long[] _channels; // of each part

    private JoinedFeatures(long[] channels) => _channels = channels;

    /// <inheritdoc cref="Operators.Join"/>
    public static Tensor Forward(Tensor features, JoinedPart[] added, Tape tape)
    {
        long[] channels = [features.shape[1], .. added.Select(part => part.Channels)];
        long[] shape = [features.shape[0], channels.Sum(), .. features.shape[2..]];
        Tensor whole = Layout.Empty(shape, features);
        Tensor[] slices = Slices(whole, channels);
        slices[0].copy_(features);
        for (int i = 0; i < added.Length; i++)
        {
            added[i].Compute(slices[i + 1]);
        }

        tape.Add(new JoinedFeatures(channels), whole, [features, .. slices[1..]]);
        for (int i = 1; i < slices.Length; i++)
        {
            tape.Place(slices[i], whole, channels[..i].Sum());
        }

        return whole;
    }

    public override Tensor? Tangent(IReadOnlyList<Tensor?> inputs, ParameterTangents direction, Tensor? place)
    {
        // The added parts are in their slices already.
        Tensor own = place!.narrow(1, 0, _channels[0]);
        _ = inputs[0] is { } tangent ? own.copy_(tangent) : own.zero_();
        return place;
    }

    public override IReadOnlyList<Tensor?> Cotangent(Tensor output, IReadOnlyList<bool> wanted, IReadOnlyList<Tensor?> sums, ParameterCotangents gradient) => Slices(output, _channels);

    private static Tensor[] Slices(Tensor whole, long[] channels)
        => [.. channels.Select((count, part) => whole.narrow(1, channels[..part].Sum(), count))];
}
