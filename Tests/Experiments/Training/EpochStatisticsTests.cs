using System.Globalization;
using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Training;
using Imta.MetaWeight.Experiments.Training.Distributed;
using Imta.MetaWeight.Meta;
using Imta.MetaWeight.Tests.Experiments.Training.Distributed;

namespace Imta.MetaWeight.Tests.Experiments.Training;

/// <summary>What <c>epochs.csv</c> says of an epoch's half batches, in one process and in several.</summary>
public sealed class EpochStatisticsTests : IDisposable
{
    private const int Exits = 3;
    private const int Classes = 4;

    private static readonly EpochColumn[] Added =
    [
        new("effective_samples", "(Σ w)² / Σ w²", at => at.Samples.Sum * at.Samples.Sum / at.Samples.SumOfSquares, half => half.Weights),
        new("hard_loss", "mean cross-entropy of the samples that exit 1 gets wrong", at => at.Samples.Mean,
            half => half.CrossEntropies[half.Correct.select(1, 0).logical_not()]),
        new("samples", "samples per epoch", at => at.Samples.Count, half => half.Losses.narrow(1, 0, 1)),
    ];

    private readonly DisposeScope _scope = NewDisposeScope();

    public void Dispose() => _scope.Dispose();

    [Fact]
    public void The_columns_of_every_run_are_those_of_the_samples_one_by_one()
    {
        HalfBatchReport[] halves = [Half(0, 5, 0.5f), Half(1, 8, null), Half(2, 3, 1.25f)];
        using EpochStatistics tally = Tally(EpochColumn.Defaults, halves);

        double?[][] rows = Rows(tally, ProcessGroup.SingleProcess);

        for (int k = 0; k < Exits; k++)
        {
            double[] Samples(Func<HalfBatchReport, Tensor> of)
                => [.. halves.SelectMany(half => of(half).select(1, k).to_type(float64).contiguous().ToArray<double>())];
            double[] losses = Samples(half => half.Losses), weights = Samples(half => half.Weights);
            double mean = weights.Average();
            double?[] expected =
            [
                7, 2, k + 1, 0.1, null, Samples(half => half.CrossEntropies).Average(), losses.Zip(weights, (loss, weight) => loss * weight)
                    .Average(),
                Samples(half => half.Correct).Average(), 1.5 + k, 0.25 * k, (0.5 + 1.25) / 2, mean,
                Math.Sqrt(weights.Average(weight => (weight - mean) * (weight - mean))), 4,
            ];
            rows[k].Should().HaveCount(expected.Length);
            rows[k].Zip(expected).Should()
                .OnlyContain(pair => pair.First == pair.Second || Math.Abs(pair.First!.Value - pair.Second!.Value) < 1e-6);
        }
    }

    [Fact]
    public void The_running_loss_is_the_mean_over_exits_of_what_the_table_will_say()
    {
        using var tally = new EpochStatistics(EpochColumn.Defaults, Exits, CPU);
        tally.MeanSoFar(EpochColumn.TrainLoss).Should().BeNull("nothing is known before a batch");
        tally.Add(Half(0, 5, null));
        tally.Add(Half(1, 8, null));

        double running = tally.MeanSoFar(EpochColumn.TrainLoss)!.Value;

        running.Should().BeApproximately(Rows(tally, ProcessGroup.SingleProcess).Average(row => row[5]!.Value), 1e-12);
    }

    [Fact]
    public void The_progress_line_has_the_running_loss_and_the_rate()
    {
        using var progress = new EpochProgress(EpochColumn.Defaults, Exits, images: 20, CPU, recordsWeights: false);
        progress.ProgressText(0.05).Should().Be(", rate 0.05", "nothing is known before a batch");
        progress.Statistics.Add(Half(0, 5, null));

        string loss = progress.Statistics.MeanSoFar(EpochColumn.TrainLoss)!.Value.ToString("0.000", CultureInfo.InvariantCulture);
        progress.ProgressText(1.25e-3).Should().Be($", mean loss {loss}, rate 0.00125");
    }

    [Fact]
    public void The_meta_loss_is_empty_where_no_weights_were_learned()
        => Rows(Tally(EpochColumn.Defaults, Half(0, 5, null)), ProcessGroup.SingleProcess)
            .Should().OnlyContain(row => row[10] == null && row[11] != null);

    [Fact]
    public void Added_columns_stand_at_the_end_and_are_summed_over_ranks_like_the_others()
    {
        IReadOnlyList<EpochColumn> columns = EpochColumn.DefaultsAnd(Added);
        HalfBatchReport[] halves = [Half(0, 5, 0.5f), Half(1, 8, null), Half(2, 3, 1.25f), Half(3, 1, 2)];
        double?[][] alone = Rows(Tally(columns, halves), ProcessGroup.SingleProcess);

        double?[][][] ranks = ThreadGroup.Run(2, all =>
        {
            using EpochStatistics tally = Tally(columns, [.. halves.Where((_, i) => i % 2 == all.Shard.Rank)]);
            return Rows(tally, all);
        });

        foreach (double?[] row in alone)
        {
            row.Should().HaveCount(EpochColumn.Defaults.Count + Added.Length);
            row[^1].Should().Be(17);
            row[^3].Should().BeInRange(1, 17);
        }

        ranks[1].Should().BeEquivalentTo(ranks[0], exactly => exactly.WithStrictOrdering());
        foreach ((double? value, double? whole) in ranks[0].SelectMany(row => row).Zip(alone.SelectMany(row => row)))
        {
            (value is null).Should().Be(whole is null);
            (value ?? 0).Should().BeApproximately(whole ?? 0, 1e-9 * Math.Abs(whole ?? 0));
        }
    }

    [Fact]
    public void An_unfinished_epoch_goes_on_in_every_rank_by_the_names_of_its_columns()
    {
        IReadOnlyList<EpochColumn> columns = EpochColumn.DefaultsAnd(Added);
        double?[][][] Run(bool interrupted) => ThreadGroup.Run(2, all =>
        {
            EpochStatistics tally = Tally(columns, Half(all.Shard.Rank, 5, 0.5f));
            if (interrupted)
            {
                StateTree content = tally.GatherState(all);
                tally.Dispose();
                tally = new EpochStatistics(columns, Exits, CPU);
                tally.Restore(content, all.Shard);
            }

            using (tally)
            {
                tally.Add(Half(2 + all.Shard.Rank, 8, 0.75f));
                return Rows(tally, all);
            }
        });

        Run(interrupted: true).Should().BeEquivalentTo(Run(interrupted: false), exactly => exactly.WithStrictOrdering());
    }

    [Fact]
    public void Sums_are_found_by_their_columns_names_in_any_order_and_missing_ones_are_named()
    {
        StateTree content = Tally([.. Added.Reverse(), .. EpochColumn.Defaults], Half(0, 5, 0.5f)).GatherState(ProcessGroup.SingleProcess);
        using var plain = new EpochStatistics(EpochColumn.Defaults, Exits, CPU);
        using var other = new EpochStatistics([new("unknown", "…", at => at.Samples.Mean, half => half.Losses)], Exits, CPU);

        plain.Restore(content, Shard.Full);

        Rows(plain, ProcessGroup.SingleProcess).Should()
            .BeEquivalentTo(Rows(Tally(EpochColumn.Defaults, Half(0, 5, 0.5f)), ProcessGroup.SingleProcess));
        other.Invoking(tally => tally.Restore(content, Shard.Full)).Should().Throw<InvalidDataException>().WithMessage("*unknown*");
    }

    [Theory]
    [InlineData(5L)]
    [InlineData(5L, Exits + 1L)]
    [InlineData(5L, (long)Exits, (long)Classes)]
    public void Samples_of_another_shape_name_their_column(params long[] shape)
    {
        EpochColumn column = new("broken", "…", at => at.Samples.Mean, _ => zeros(shape));

        FluentActions.Invoking(() => Tally([column], Half(0, 5, null))).Should().Throw<InvalidOperationException>().Which.Message
            .Should().Be($"column 'broken': expected samples [n, {Exits}] or [n, 1], but it gives {ShapeText(shape)}");
    }

    [Fact]
    public void Names_are_in_snake_case_and_unique()
    {
        foreach (string name in (string[])["", "Loss", "a,b", "1st", "a b"])
        {
            FluentActions.Invoking(() => new EpochColumn(name, "…", _ => null)).Should().Throw<ArgumentException>()
                .WithMessage("*snake_case*");
        }

        FluentActions.Invoking(() => EpochColumn.DefaultsAnd([new("weight_std", "…", _ => null)]))
            .Should().Throw<ArgumentException>().WithMessage("*already has a column 'weight_std'*");
    }

    private static EpochStatistics Tally(IReadOnlyList<EpochColumn> columns, params HalfBatchReport[] halves)
    {
        var tally = new EpochStatistics(columns, Exits, CPU);
        Array.ForEach(halves, tally.Add);
        return tally;
    }

    private static double?[][] Rows(EpochStatistics tally, ProcessGroup all)
    {
        tally.Finish(all);
        return tally.Rows(Enumerable.Range(0, Exits).Select(k => new ExitEpoch
        {
            Epoch = 7,
            Phase = 2,
            Exit = k + 1,
            Rate = 0.1,
            MetaRate = null,
            ValidationLoss = 1.5 + k,
            ValidationAccuracy = 0.25 * k,
            SkippedBatches = 4,
        }));
    }

    private static HalfBatchReport Half(long seed, int samples, float? objective)
    {
        using var random = new Generator((ulong)seed, CPU);
        Tensor Uniform(params long[] shape) => torch.rand(shape, float32, generator: random);
        Tensor logits = Uniform(samples, Exits, Classes);
        return new HalfBatchReport(
            Uniform(samples, Exits), Uniform(samples, Exits), Uniform(samples, Exits).add_(Held(0.5), One), logits,
            Uniform(samples, Exits).gt(Held(0.5)),
            objective is { } value ? tensor(value) : null);
    }
}
