using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using Imta.MetaWeight.Losses;

namespace Imta.MetaWeight.Experiments.Configuration;

/// <summary>Whose choices apply where paper and published code differ.</summary>
internal enum Preset
{
    /// <summary>The papers'.</summary>
    Paper,

    /// <summary>The published code's.</summary>
    Published,
}

#pragma warning disable CS1591 // The description of a setting is its documentation.

/// <summary>All settings of a run. <see cref="SettingsLoader"/> reads them from YAML, <see cref="SettingsWriter"/> writes them.</summary>
internal sealed record Settings
{
    [Description("Name of the run, used in its folder name; null: the configuration file's name")]
    [RegularExpression("[A-Za-z0-9][A-Za-z0-9._-]{0,99}", ErrorMessage = "at most 100 letters, digits, '.', '_' or '-'")]
    public string? Name { get; init; }

    [Description("Random seed of initial parameters, splits, batch order, augmentation and generated data")]
    [Range(0, int.MaxValue)]
    public int Seed { get; init; }

    [Description("Device on which tensors are stored and computed")]
    [AllowedValues("cpu", "cuda")]
    public string Device { get; init; } = "cpu";

    [Description("CPU threads; 0: all cores")]
    [Range(0, 4096)]
    public int Threads { get; init; }

    [Description(
        "Number of processes, each training on its shard of every batch; a launcher's rank count (mpirun, srun) takes precedence")]
    [Range(1, 65536)]
    public int Processes { get; init; } = 1;

    [Description(
        "Which defaults to use where paper and published code differ: model.initialisation, modifiers.isc.gradient, "
        + "modifiers.metaGf.averaging, modifiers.metaGf.trailingStep, loss.ofa.reduction, phase2.frozenNorm")]
    public Preset Preset { get; init; } = Preset.Paper;

    public DataOptions Data { get; init; } = new();

    public ModelOptions Model { get; init; } = new();

    public ModifierSettings Modifiers { get; init; } = new();

    public LossOptions Loss { get; init; } = new();

    public MetaSettings Meta { get; init; } = new();

    public TrainSettings Train { get; init; } = new();

    public Phase2Options Phase2 { get; init; } = new();

    public ExportOptions Export { get; init; } = new();

    public RunOptions Run { get; init; } = new();
}
