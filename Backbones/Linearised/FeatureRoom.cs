using System.Runtime.CompilerServices;

namespace Imta.MetaWeight.Backbones.Linearised;

/// <summary>
/// Channels of a wider tensor that lie behind those of one of its slices and that nobody has written to: later features go there.
/// </summary>
internal static class FeatureRoom
{
    private static readonly ConditionalWeakTable<Tensor, StrongBox<long>> Behind = [];

    /// <summary>Takes channels behind those of a tensor; nobody else can then.</summary>
    /// <returns>How many are left behind these; null: there are not as many.</returns>
    public static long? Take(Tensor features, long channels)
    {
        if (!Behind.TryGetValue(features, out StrongBox<long>? room) || room.Value < channels)
        {
            return null;
        }

        Behind.Remove(features);
        return room.Value - channels;
    }

    public static void Leave(Tensor features, long channels) => Behind.AddOrUpdate(features, new(channels));

    /// <summary>Gives a tensor's room to another that has the same channels.</summary>
    public static void Move(Tensor from, Tensor to)
    {
        if (Behind.TryGetValue(from, out StrongBox<long>? room))
        {
            Behind.Remove(from);
            Behind.AddOrUpdate(to, room);
        }
    }
}
