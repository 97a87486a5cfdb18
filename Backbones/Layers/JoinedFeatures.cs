using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Backbones.Linearised;

namespace Imta.MetaWeight.Backbones.Layers;

/// <summary>Features that <see cref="Operators.Join"/> appends to others.</summary>
/// <param name="Channels">The number of channels.</param>
/// <param name="Compute">
/// Computes them. A destination is given only on a tape or with folding; on a tape, it writes them there and returns it. With folding, it
/// may return another tensor, which is copied.
/// </param>
public readonly record struct JoinedPart(long Channels, Func<Tensor?, Tensor> Compute);

/// <summary>
/// Features and, after them along the channels, new ones that were written straight into their slices of the wider tensor.
/// </summary>
internal sealed class JoinedFeatures : LinearMap
{
    private readonly long[] _channels; // of each part
    private readonly bool _extends; // whether the first features are already in place

    private JoinedFeatures(long[] channels, bool extends) => (_channels, _extends) = (channels, extends);

    /// <inheritdoc cref="Operators.Join"/>
    public static Tensor Forward(Tensor features, JoinedPart[] added, long reservedChannels, Tape? tape)
    {
        long[] channels = [features.size(1), .. added.Select(part => part.Channels)];
        long? left = ReservedChannels.TryTake(features, channels[1..].Sum());
        Tensor whole = left is null
            ? Copied(features, channels.Sum(), reservedChannels)
            : TensorLayout.ExtendChannels(features, channels.Sum());
        ReservedChannels.Reserve(whole, left ?? reservedChannels);
        Tensor[] slices = Slices(whole, channels);
        for (int i = 0; i < added.Length; i++)
        {
            Tensor part = added[i].Compute(slices[i + 1]);
            _ = ReferenceEquals(part, slices[i + 1]) ? part : slices[i + 1].copy_(part);
        }

        if (tape is null)
        {
            return whole;
        }

        tape.Add(new JoinedFeatures(channels, extends: left is not null), whole, [features, .. slices[1..]]);
        for (int i = 1; i < slices.Length; i++)
        {
            tape.AddSlice(slices[i], whole, channels[..i].Sum());
        }

        tape.ReserveChannels(whole, left ?? reservedChannels, left is null ? null : features);
        return whole;
    }

    public override Tensor? Tangent(IReadOnlyList<Tensor?> inputs, ParameterTangents direction, Tensor? destination)
    {
        // The added parts are in their slices already.
        if (!_extends)
        {
            Tensor own = destination!.narrow(1, 0, _channels[0]);
            _ = inputs[0] is { } tangent ? own.copy_(tangent) : own.zero_();
        }

        return destination;
    }

    public override IReadOnlyList<Tensor?> Cotangent(
        Tensor output, IReadOnlyList<bool> needed, IReadOnlyList<Tensor?> sums, ParameterCotangents gradient) => Slices(output, _channels);

    private static Tensor Copied(Tensor features, long channels, long reservedChannels)
    {
        long[] shape = features.Sizes();
        shape[1] = channels + reservedChannels;
        Tensor whole = TensorLayout.Empty(shape, features).narrow(1, 0, channels);
        _ = whole.narrow(1, 0, features.size(1)).copy_(features);
        return whole;
    }

    private static Tensor[] Slices(Tensor whole, long[] channels)
        => [.. channels.Select((count, part) => whole.narrow(1, channels[..part].Sum(), count))];
}
