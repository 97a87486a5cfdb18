using Imta.MetaWeight.Experiments.Configuration;

namespace Imta.MetaWeight.Tests.Experiments.Data.Pictures;

/// <summary>Folders in ImageNet's layout: JPEGs of all kinds in 4 classes, each class's its own, many times over.</summary>
internal static class ImageNetFolder
{
    /// <summary>Settings of a small MSDNet for it: 224 × 224 pixels, 3 exits.</summary>
    public static readonly string[] Settings =
    [
        "--set", "data.dataset=imagenet", "--set", "data.classes=4", "--set", "data.trainLimit=null", "--set", "data.validation=200000",
        "--set", "model.msdnet.blocks=3", "--set", "model.msdnet.base=1", "--set", "model.msdnet.step=1", "--set",
        "model.msdnet.stepMode=even",
        "--set", "model.msdnet.channels=4", "--set", "model.msdnet.growth=4",
        "--set", "model.msdnet.growthFactors=[1, 2, 4, 4]", "--set", "model.msdnet.bottleneckFactors=[1, 2, 4, 4]",
        "--set", "meta.wpn.hidden=16", "--set", "train.batch=8", "--set", "train.rate=0.02", "--threads", "1",
    ];

    private static readonly string[][] Classes =
    [
        ["landscape.jpg", "grey.jpg"], ["portrait.jpg", "cmyk.jpg"], ["ink.jpg", "rotated.jpg"], ["long.jpg", "small.jpg"],
    ];

    /// <summary>Makes <c>train</c> with so many copies of each picture, and <c>val</c> with two.</summary>
    public static void Make(string folder, int copies)
    {
        foreach ((string set, int count) in new[] { ("train", copies), ("val", 2) })
        {
            for (int label = 0; label < Classes.Length; label++)
            {
                string of = Path.Combine(folder, set, $"n{label}");
                Directory.CreateDirectory(of);
                foreach (string file in Classes[label])
                {
                    byte[] bytes = GoldenPictures.Bytes(file);
                    for (int copy = 0; copy < count; copy++)
                    {
                        File.WriteAllBytes(Path.Combine(of, $"{Path.GetFileNameWithoutExtension(file)}_{copy}.JPEG"), bytes);
                    }
                }
            }
        }
    }
}
