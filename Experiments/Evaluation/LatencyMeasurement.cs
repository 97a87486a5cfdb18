using System.Diagnostics;
using Imta.MetaWeight.Allocation;
using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Runs;
using MathNet.Numerics.Statistics;

namespace Imta.MetaWeight.Experiments.Evaluation;

/// <summary>Inference latency of early-exit execution on test images: of each exit, and under each budget.</summary>
internal sealed class LatencyMeasurement : IDisposable
{
    private const int SinglesPerBatch = 10;
    private const int MaxImagesFromFiles = 512; // of 224 x 224, i.e. 300 MB, unless the batch size is larger

    private readonly DisposeScope _scope = NewDisposeScope();
    private readonly EarlyExit _runner;
    private readonly Tensor _images; // normalised, on the device
    private readonly Device _device;
    private readonly Scenario[] _scenarios;

    /// <param name="network">The network.</param>
    /// <param name="test">The test images.</param>
    /// <param name="normalisation">The normalisation of the network's input.</param>
    /// <param name="report">The evaluation report with accuracy and MACs.</param>
    /// <param name="images">The maximum number of test images to use; for image files also at most <see cref="MaxImagesFromFiles"/>, or a
    /// batch if that is more.</param>
    /// <param name="batch">The batch size.</param>
    public LatencyMeasurement(
        TrainedNetwork network, ImageSet test, Normalisation normalisation, EvaluationReport report, int images, int batch)
    {
        _runner = new EarlyExit(network.Network);
        _device = network.Device;
        int count = Math.Min(test.Files is null ? images : Math.Min(images, Math.Max(MaxImagesFromFiles, batch)), test.Count);
        using ImageSet used = test.Select([.. Enumerable.Range(0, count).Select(row => (long)row)]);
        _images = new BatchSource(used, normalisation, network.Device).InOrder(count).Single().Images;
        int exits = network.Network.Exits;
        _scenarios =
        [
            .. report.Anytime.Select(row => new Scenario("anytime", row.Exit, null, row.Top1, row.Macs, UpTo(row.Exit - 1))),
            .. report.Budgets.Where(row => row.Exit == exits).Select(row => new Scenario(
                "dynamic", null, row.P, row.TestAccuracy, row.TestMacs, new ExitPolicyRule(report.PolicyOf(row.P)).Leaves)),
        ];
    }

    /// <summary>The number of measurements made by <see cref="Run"/>.</summary>
    public int Steps(int batch, int repeat) => _scenarios.Length * (Sizes(batch, repeat).Sum(size => size.Times + 1));

    /// <summary>Measures single images, then batches; the scenarios alternate, after one warm-up each.</summary>
    /// <param name="batch">The batch size; at most the number of images is used.</param>
    /// <param name="repeat">Batches per scenario.</param>
    /// <param name="advance">Called after each measurement.</param>
    public IReadOnlyList<LatencyRow> Run(int batch, int repeat, Action advance)
    {
        var rows = new List<LatencyRow>();
        foreach ((int size, int times) in Sizes(batch, repeat))
        {
            List<double>[] milliseconds = [.. _scenarios.Select(_ => new List<double>())];
            for (int time = 0; time <= times; time++)
            {
                for (int way = 0; way < _scenarios.Length; way++)
                {
                    double measured = Time(_scenarios[way], size, time);
                    if (time > 0)
                    {
                        milliseconds[way].Add(measured);
                    }

                    advance();
                }
            }

            rows.AddRange(_scenarios.Zip(milliseconds, (way, times) => way.Row(size, times)));
        }

        return rows;
    }

    public void Dispose()
    {
        _runner.Dispose();
        _scope.Dispose();
    }

    private static ExitRule UpTo(int exit) => (k, logits, _) => full([logits.shape[0]], Held(k == exit), ScalarType.Bool, logits.device);

    private (int Size, int Times)[] Sizes(int batch, int repeat)
    {
        int size = Math.Min(batch, (int)_images.shape[0]);
        (int, int) singles = (1, repeat * SinglesPerBatch);
        return size == 1 ? [singles] : [singles, (size, repeat)];
    }

    private double Time(Scenario way, int size, int number)
    {
        using DisposeScope scope = NewDisposeScope();
        long batches = _images.shape[0] / size;
        Tensor images = _images.narrow(0, number % batches * size, size);
        if (_device.type == DeviceType.CUDA)
        {
            cuda.synchronize(_device);
        }

        var clock = Stopwatch.StartNew();
        _ = _runner.Run(images, way.Rule).Logits.cpu();
        return clock.Elapsed.TotalMilliseconds;
    }

    /// <summary>A way to reach a prediction: at a given exit, or under a budget.</summary>
    private sealed record Scenario(string Kind, int? Exit, int? P, double Accuracy, double Macs, ExitRule Rule)
    {
        public LatencyRow Row(int batch, List<double> milliseconds) => new()
        {
            Kind = Kind,
            Batch = batch,
            Exit = Exit,
            P = P,
            Accuracy = Accuracy,
            Macs = Macs,
            Batches = milliseconds.Count,
            MedianMs = Math.Round(milliseconds.Median(), 4),
            P95Ms = Math.Round(milliseconds.Percentile(95), 4),
            MeanMs = Math.Round(milliseconds.Mean(), 4),
            ImagesPerSecond = Math.Round(1000 * batch / milliseconds.Mean(), 1),
        };
    }
}
