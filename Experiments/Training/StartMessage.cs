using System.Text.Json;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Training.Distributed;

namespace Imta.MetaWeight.Experiments.Training;

/// <summary>What rank 0 sends to the others at the start.</summary>
/// <param name="Settings">The run's settings, as YAML.</param>
/// <param name="Run">Its folder, which only rank 0 needs to access.</param>
/// <param name="Resumes">Whether the run is resumed.</param>
internal sealed record StartMessage(string Settings, string Run, bool Resumes)
{
    /// <summary>Broadcasts the message of rank 0 to every rank.</summary>
    /// <param name="processGroup">The ranks.</param>
    /// <param name="own">The message, in rank 0.</param>
    public static StartMessage Broadcast(ProcessGroup processGroup, StartMessage? own) => own is not null && !processGroup.IsDistributed
        ? own
        : JsonSerializer.Deserialize<StartMessage>(processGroup.Broadcast(own is null ? null : JsonSerializer.Serialize(own)))!;

    /// <summary>Compares a rank's own command line with that of rank 0; only the data folder may differ.</summary>
    /// <param name="own">The rank's settings; null: it uses those of rank 0.</param>
    /// <param name="resumes">Whether it was started to resume a run.</param>
    /// <exception cref="UsageException">They differ.</exception>
    public void EnsureMatches(Settings? own, bool resumes)
    {
        if (resumes != Resumes)
        {
            (string here, string there) = resumes ? ("with", "without") : ("without", "with");
            throw new UsageException(
                $"this rank was started {here} --resume but rank 0 {there} it; start all ranks with the same command line");
        }

        if (own is null)
        {
            return;
        }

        Settings first = SettingsLoader.Parse(Settings, "the configuration of rank 0");
        if (Lines(own).Zip(Lines(first)).FirstOrDefault(pair => pair.First != pair.Second) is ({ } line, { } other))
        {
            throw new UsageException(
                $"the configuration has '{line.Trim()}' here but '{other.Trim()}' on rank 0; start all ranks with the same command line "
                    + "and file");
        }

        static string[] Lines(Settings settings)
            => SettingsWriter.Write(settings with { Data = settings.Data with { Root = null } }).Split('\n');
    }
}
