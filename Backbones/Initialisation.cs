namespace Imta.MetaWeight.Backbones;

/// <summary>How a network's parameters start.</summary>
public enum Initialisation
{
    /// <summary>Convolutions normal with standard deviation sqrt(2 / (kernel area · output channels)), batch norm 1 and 0, linear bias 0.</summary>
    He,

    /// <summary>What the published code does in effect: its He initialisation of MSDNet reaches no layer, so PyTorch's defaults stand.</summary>
    Published,
}
