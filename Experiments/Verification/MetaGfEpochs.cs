using Imta.MetaWeight.Meta;
using Imta.MetaWeight.Meta.Fusion;
using Imta.MetaWeight.Meta.Gradients;
using Adam = Imta.MetaWeight.Meta.Optimisers.Adam;

namespace Imta.MetaWeight.Experiments.Verification;

/// <summary>Checks the epochs of a run, one after another.</summary>
internal sealed class MetaGfEpochs(
    GoldenComparison comparison, GoldenFile golden, string prefix, GoldenChain network, MetaGf metaGf)
{
    private readonly double _rate = golden.Real($"{prefix}config/lr"), _average = golden.Real($"{prefix}config/ema_old");

    public void Check(int epoch)
    {
        string at = MetaGfCase.Key($"{prefix}epoch{epoch}");
        Tensor[] before = Copies(metaGf.Fusion.Weights);
        for (int k = 0; k < network.Exits; k++)
        {
            Tensor[] losses = [.. Batches(epoch, k).Select(report => report.CrossEntropies.mean([0]))];
            CheckIfThere(MetaGfCase.Key($"{at}/exit{k}/ce"), stack(losses));
            CheckState(MetaGfCase.Key($"{at}/exit{k}/state"));
        }

        CheckMetaPass(epoch, at);
        CheckState($"{at}/final");
        metaGf.EndEpoch();
        Tensor[] averaged = Copies(metaGf.Fusion.Weights);
        CheckWeights($"{at}/w_ema", averaged, exitAxis: 0);
        CheckWeights(
            $"{at}/w_after_extra_step",
            [.. averaged.Zip(before, (mean, old) => mean.sub(old.mul(Held(_average))).div(Held(1 - _average)))],
            exitAxis: 0);
        if (epoch == 1 && !metaGf.Fusion.Learns)
        {
            double change = averaged.Zip(before, (after, old) => after.sub(old).abs().max().item<double>()).Max();
            comparison.CheckError($"{prefix}check/weight_change_in_second_epoch", change, tolerance: 1e-15); // 0, up to rounding
        }
    }

    private void CheckMetaPass(int epoch, string at)
    {
        var (losses, objectives, gradients, weights) = (new List<Tensor>(), new List<Tensor>(), new List<Tensor[]>(), new List<Tensor[]>());
        Tensor[] moments = Copies(metaGf.Fusion.Optimiser.Means);
        Tensor? coefficients = null;
        foreach (HalfBatchReport report in Batches(epoch, network.Exits))
        {
            losses.Add(report.CrossEntropies.mean([0]));
            objectives.Add(report.Objective!);
            coefficients = report.Weights.select(0, 0);
            Tensor[] next = Copies(metaGf.Fusion.Optimiser.Means); // updated by the gradient
            gradients.Add([.. next.Zip(moments, (mean, old) => mean.sub(old.mul(Held(Adam.Beta1))).div(Held(1 - Adam.Beta1)))]);
            moments = next;
            weights.Add(Copies(metaGf.Fusion.Weights));
        }

        CheckIfThere($"{at}/meta/ce", stack(losses));
        CheckIfThere($"{at}/meta/loss", stack(objectives));
        CheckIfThere($"{at}/meta/coefficient", coefficients!);
        CheckWeights($"{at}/meta/grad", Stacked(gradients), exitAxis: 1);
        CheckWeights($"{at}/w_after_step", Stacked(weights), exitAxis: 1);
    }

    private IEnumerable<HalfBatchReport> Batches(int epoch, int pass)
    {
        var at = new PassPosition(golden.Int($"{prefix}config/epoch") + epoch, golden.Int($"{prefix}config/epochs"), pass);
        for (int batch = 0; batch < golden[$"{prefix}x"].shape[0]; batch++)
        {
            var images = new LabelledImages(golden[$"{prefix}x"].select(0, batch), golden[$"{prefix}y"].select(0, batch));
            yield return metaGf.Step(images, at, _rate);
        }
    }

    private static Tensor[] Copies(IEnumerable<Tensor> tensors) => [.. tensors.Select(tensor => tensor.detach().clone())];

    private static Tensor[] Stacked(List<Tensor[]> batches)
        => [.. Enumerable.Range(0, batches[0].Length).Select(p => stack([.. batches.Select(of => of[p])]))];

    /// <param name="key">The prefix of the tensors of the parameters, 0 where an exit does not reach a parameter.</param>
    /// <param name="values">For each parameter <c>[K, U]</c>, or <c>[batches, K, U]</c>.</param>
    /// <param name="exitAxis">The axis of the exits.</param>
    private void CheckWeights(string key, Tensor[] values, int exitAxis)
    {
        foreach ((string name, Tensor value) in network.ParameterNames.Select(GoldenChain.Published).Zip(values))
        {
            string of = $"{key}/{name}";
            if (golden.Contains(of) && !MetaGfCase.IsRoundingNoise(golden, of))
            {
                Tensor own = value.reshape(golden[of].shape).transpose(exitAxis, -1); // [.., K]
                comparison.Check(of, own.mul(golden[$"{prefix}reach/{name}"]).transpose(exitAxis, -1));
            }
        }
    }

    private void CheckState(string key)
    {
        foreach ((string name, Tensor value) in network.state_dict())
        {
            CheckIfThere($"{key}/{GoldenChain.Published(name)}", value);
        }
    }

    private void CheckIfThere(string key, Tensor value)
    {
        if (golden.Contains(key))
        {
            comparison.Check(key, value);
        }
    }
}
