using System.Diagnostics;
using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Experiments.Benchmarks;
using Imta.MetaWeight.Experiments.Evaluation;
using Imta.MetaWeight.Meta.Gradients;

namespace Imta.MetaWeight.Tests.Experiments.Benchmarks;

public sealed class PhaseTimesTests
{
    private static readonly ActivitySource Source = new(StepPhases.Source);

    private readonly Clock _clock = new();

    [Fact]
    public void A_phase_has_its_time_without_that_of_the_phases_within_it()
    {
        var times = new PhaseTimes(_clock, () => { });

        times.Measure(() =>
        {
            _clock.Pass(1);
            using (Phase("weights"))
            {
                _clock.Pass(2);
                using (Phase("backward"))
                {
                    _clock.Pass(4);
                    using (Phase("meta"))
                    {
                        _clock.Pass(8);
                    }
                }

                using (Phase("backward"))
                {
                    _clock.Pass(16);
                }

                _clock.Pass(32);
            }

            _clock.Pass(37);
        });

        times.Shares.Should().Equal(new Dictionary<string, double>
        {
            ["weights"] = 0.34,
            ["backward"] = 0.20,
            ["meta"] = 0.08,
            ["other"] = 0.38,
        });
        times.Shares.Keys.Should().Equal("weights", "backward", "meta", "other");
    }

    [Fact]
    public void Times_add_up_and_what_happens_between_does_not_count()
    {
        var times = new PhaseTimes(_clock, () => { });
        for (int k = 1; k <= 2; k++)
        {
            times.Measure(() =>
            {
                using Activity? phase = Phase("forward");
                _clock.Pass(3 * k);
            });
            using Activity? between = Phase("forward");
            _clock.Pass(100);
            times.Measure(() => _clock.Pass(k / 2));
        }

        times.Shares.Should().Equal(new Dictionary<string, double> { ["forward"] = 0.9, ["other"] = 0.1 });
    }

    [Fact]
    public void Work_that_a_device_still_has_to_do_counts_for_the_phase_that_gave_it()
    {
        int queued = 0;
        var times = new PhaseTimes(_clock, () =>
        {
            _clock.Pass(queued);
            queued = 0;
        });

        times.Measure(() =>
        {
            queued = 1;
            using (Phase("forward"))
            {
                queued = 3;
            }

            queued = 4;
        });

        times.Shares.Should().Equal(new Dictionary<string, double> { ["forward"] = 0.375, ["other"] = 0.625 });
    }

    [Fact]
    public void Phases_of_other_threads_and_other_sources_are_not_its_own()
    {
        using var another = new ActivitySource("another");
        var times = new PhaseTimes(_clock, () => { });

        times.Measure(() =>
        {
            using Activity? foreign = another.StartActivity("forward");
            var thread = new Thread(() =>
            {
                using Activity? phase = Phase("backward");
                _clock.Pass(1);
            });
            thread.Start();
            thread.Join();
        });

        times.Shares.Should().Equal(new Dictionary<string, double> { ["other"] = 1 });
    }

    private static Activity? Phase(string name) => Source.StartActivity(name);

    /// <summary>A clock that only tests move.</summary>
    private sealed class Clock : TimeProvider
    {
        private long _now;

        public override long GetTimestamp() => _now;

        public void Pass(int seconds) => _now += seconds * TimestampFrequency;
    }
}
