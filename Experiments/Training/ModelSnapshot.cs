using Imta.MetaWeight.Backbones;

namespace Imta.MetaWeight.Experiments.Training;

/// <summary>What a batch changes of a model, as it was before.</summary>
internal sealed class ModelSnapshot(IStateful model) : IDisposable
{
    private readonly StateTree _before = model.State.Copy();

    /// <summary>Takes the model back.</summary>
    public void Restore() => model.LoadState(_before);

    public void Dispose()
    {
        foreach ((_, Tensor copy) in _before.AllTensors)
        {
            copy.Dispose();
        }
    }
}
