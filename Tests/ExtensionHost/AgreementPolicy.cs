using System.Text.Json.Nodes;
using Imta.MetaWeight.Allocation;
using static TorchSharp.torch;

namespace ExtensionHost;

/// <summary>A policy without thresholds: a sample leaves where so many exits in a row predict the same class.</summary>
public sealed record AgreementPolicy(int Exits) : IExitPolicy
{
    public const string Name = "agreement";

    public string Kind => Name;

    int? IExitPolicy.Exits => null;

    public IExitCriterion Criterion { get; } = new PredictedClass();

    public static IExitPolicy Read(PolicySection section) => new AgreementPolicy(section.Get<int>("agreeing", "a number of exits"));

    public Tensor Leaves(Tensor scores)
    {
        long seen = scores.shape[1];
        return seen < Exits
            ? zeros([scores.shape[0]], ScalarType.Bool)
            : scores.narrow(1, seen - Exits, Exits).eq(scores.narrow(1, seen - 1, 1)).all(1);
    }

    public void Write(JsonObject section) => section["agreeing"] = Exits;

    private sealed class PredictedClass : IExitCriterion
    {
        public string Name => "class";

        public Tensor Score(Tensor logits) => logits.argmax(-1).to_type(float32);
    }
}
