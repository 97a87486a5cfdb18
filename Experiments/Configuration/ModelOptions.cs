using System.ComponentModel;
using Imta.MetaWeight.Backbones;

namespace Imta.MetaWeight.Experiments.Configuration;

/// <summary>The backbones.</summary>
public enum BackboneKind
{
    /// <summary>MSDNet (Huang et al., ICLR 2018).</summary>
    Msdnet,

    /// <summary>RANet (Yang et al., CVPR 2020).</summary>
    Ranet,
}

#pragma warning disable CS1591 // The description of a setting is its documentation.

/// <summary>The network that is trained.</summary>
public sealed record ModelOptions
{
    [Description("Network with several exits")]
    public BackboneKind Backbone { get; init; } = BackboneKind.Msdnet;

    [Description("How its parameters start: He as the papers say, or what the published code does in effect")]
    public Initialisation Initialisation { get; init; } = Initialisation.He;

    public MsdNetOptions Msdnet { get; init; } = new();

    public RaNetOptions Ranet { get; init; } = new();

    /// <summary>K.</summary>
    public int Exits() => Backbone == BackboneKind.Ranet ? Ranet.Exits() : Msdnet.Blocks;

    /// <summary>The group of keys that shapes the backbone.</summary>
    internal string Group => $"model.{SettingsSchema.YamlName(Backbone.ToString())}";
}
