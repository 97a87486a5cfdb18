using static TorchSharp.torch;

internal static class Gratings
{
    public const int Classes = 4;
    private const int Side = 16;

    /// <summary>Images [N, 3, 16, 16], labels [N], and how strong an image's noise is, 0 to 1, [N].</summary>
    public static (Tensor Images, Tensor Labels, Tensor Noise) Make(int count, int seed)
    {
        var random = new Random(seed);
        var (pixels, labels, noise) = (new float[count * 3 * Side * Side], new long[count], new float[count]);
        for (int i = 0, at = 0; i < count; i++)
        {
            (labels[i], noise[i]) = (random.Next(Classes), random.NextSingle());
            double angle = Math.PI * labels[i] / Classes, phase = 2 * Math.PI * random.NextDouble();
            for (int p = 0; p < 3 * Side * Side; p++)
            {
                double along = (p % Side * Math.Cos(angle)) + (p / Side % Side * Math.Sin(angle));
                pixels[at++] = (float)(Math.Sin(along + phase) + (8 * noise[i] * (random.NextDouble() - 0.5)));
            }
        }

        return (tensor(pixels, [count, 3, Side, Side]), tensor(labels), tensor(noise));
    }
}
