namespace Imta.MetaWeight.Experiments.Training.Distributed;

/// <summary>Tensors of any device on their way through host memory.</summary>
internal static class TransferBuffers
{
    private const int BucketBytes = 25 << 20; // as in PyTorch's DistributedDataParallel

    /// <summary>A tensor's values as MPI takes them: itself, or a copy.</summary>
    public static Tensor OnHost(Tensor tensor) => tensor.cpu().contiguous();

    /// <summary>Copies the received values back.</summary>
    public static void Return(Tensor[] tensors, Tensor[] sent)
    {
        foreach ((Tensor to, Tensor from) in tensors.Zip(sent).Where(pair => pair.First.Handle != pair.Second.Handle))
        {
            to.copy_(from);
        }
    }

    /// <summary>Views of a contiguous tensor, so that one is reduced while the next is transferred.</summary>
    public static IEnumerable<Tensor> Buckets(Tensor tensor)
    {
        long each = BucketBytes / tensor.element_size(), length = tensor.numel();
        if (length <= each)
        {
            yield return tensor;
            yield break;
        }

        Tensor flat = tensor.view(-1);
        for (long start = 0; start < length; start += each)
        {
            yield return flat.narrow(0, start, Math.Min(each, length - start));
        }
    }
}
