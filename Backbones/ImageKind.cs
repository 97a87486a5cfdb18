namespace Imta.MetaWeight.Backbones;

/// <summary>The images that a network is made for: first layers and heads differ.</summary>
public enum ImageKind
{
    /// <summary>32×32.</summary>
    Cifar,

    /// <summary>224×224.</summary>
    ImageNet,
}
