using System.ComponentModel;

namespace Imta.MetaWeight.Backbones;

/// <summary>Which of the features behind a block Gradient Equilibrium treats.</summary>
public enum EquilibriumScales
{
    /// <summary>The last one, which the head reads: MSDNet's coarsest scale, RANet's feature in front of the head.</summary>
    Head,

    /// <summary>All that the block hands on.</summary>
    All,
}

/// <summary>What an exit reads of the logits of the one before.</summary>
public enum Transfer
{
    /// <summary>relu(batch norm(linear layer)) of them, beside its own pooled features.</summary>
    Fc,

    /// <summary>They are added to its own logits: nothing is learned (the paper's learning-free transfer).</summary>
    Identity,
}

/// <summary>Whether an exit's loss also trains the exits whose logits it reads.</summary>
public enum TransferGradient
{
    /// <summary>It does not: the logits that are read are constants (the paper).</summary>
    Stop,

    /// <summary>It does (the published code).</summary>
    Flow,
}

#pragma warning disable CS1591 // The description of a setting is its documentation.

/// <summary>Changes of the network's graph from "Improved Techniques for Training Adaptive Deep Networks" (IMTA; Li et al., ICCV 2019).</summary>
public sealed record ModifierOptions
{
    public EquilibriumOptions Ge { get; init; } = new();

    public CollaborationOptions Isc { get; init; } = new();
}

/// <summary>Gradient Equilibrium (IMTA, section 3.1): no block gets more gradient because more exits stand behind it.</summary>
public sealed record EquilibriumOptions
{
    [Description("Gradient Equilibrium: gradients are rescaled at each exit, so that all exits together pull a block as one would; values stay")]
    public bool Enabled { get; init; }

    [Description("Which features are treated: the one that the head reads, as in the published code, or all that a block hands on")]
    public EquilibriumScales Scales { get; init; } = EquilibriumScales.Head;
}

/// <summary>Inline Subnetwork Collaboration (IMTA, section 3.2): each exit reads the prediction of the one before.</summary>
public sealed record CollaborationOptions
{
    [Description("Inline Subnetwork Collaboration: each exit but the first reads the logits of the one before; of two phases, in the second")]
    public bool Enabled { get; init; }

    [Description("How: through a small layer beside the exit's features (fc), or added to its logits (identity)")]
    public Transfer Transfer { get; init; } = Transfer.Fc;

    [Description("Whether an exit's loss also trains the exit before through what it reads: no (stop, the paper) or yes (flow, the published code)")]
    public TransferGradient Gradient { get; init; } = TransferGradient.Stop;

    /// <summary>Whether a gradient ends where an exit reads the one before.</summary>
    internal bool Stops => Enabled && Gradient == TransferGradient.Stop;
}
