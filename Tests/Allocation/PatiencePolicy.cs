using System.Text.Json.Nodes;
using Imta.MetaWeight.Allocation;

namespace Imta.MetaWeight.Tests.Allocation;

/// <summary>A policy of another shape: a sample leaves where so many exits in a row predict the same class.</summary>
public sealed record PatiencePolicy(int Agreeing) : IExitPolicy
{
    public const string Name = "patience";

    public string Kind => Name;

    public int? Exits => null;

    public IExitCriterion Criterion { get; } = new PredictedClass();

    public static PatiencePolicy Read(PolicySection section) => new(section.Get<int>("agreeing", "a number of exits"));

    public Tensor Leaves(Tensor scores)
    {
        using DisposeScope scope = NewDisposeScope();
        long seen = scores.shape[1];
        return seen < Agreeing
            ? scope.MoveToOuter(zeros([scores.shape[0]], ScalarType.Bool))
            : scope.MoveToOuter(scores.narrow(1, seen - Agreeing, Agreeing).eq(scores.narrow(1, seen - 1, 1)).all(1));
    }

    public void Write(JsonObject section) => section["agreeing"] = Agreeing;

    private sealed class PredictedClass : IExitCriterion
    {
        public string Name => "class";

        public Tensor Score(Tensor logits)
        {
            using DisposeScope scope = NewDisposeScope();
            return scope.MoveToOuter(logits.argmax(-1).to_type(float32));
        }
    }
}
