using Imta.MetaWeight.Backbones;

namespace Imta.MetaWeight.Experiments.Training;

/// <summary>A copy of the model state that a batch changes, from before the batch.</summary>
internal sealed class ModelSnapshot(IStateful model) : IDisposable
{
    private readonly StateTree _before = model.State.Copy();

    /// <summary>Restores the model.</summary>
    public void Restore() => model.LoadState(_before);

    public void Dispose()
    {
        foreach ((_, Tensor copy) in _before.AllTensors)
        {
            copy.Dispose();
        }
    }
}
