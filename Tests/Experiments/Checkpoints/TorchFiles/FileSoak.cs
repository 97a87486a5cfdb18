using System.Globalization;

namespace Imta.MetaWeight.Tests.Experiments.Checkpoints.TorchFiles;

/// <summary>
/// Damaged files against the readers' promise: each is read, or refused with an InvalidDataException that leaves no tensor, and nothing
/// else.
/// </summary>
internal static class FileSoak
{
    /// <summary>A file's reader.</summary>
    /// <param name="Name">What messages call it.</param>
    /// <param name="Read">Reads a file.</param>
    public sealed record Reader(string Name, Action<Stream> Read);

    /// <summary>How many damaged files a test tries: the environment variable IMTA_SOAK, or so many that it takes seconds.</summary>
    public static int Rounds(int otherwise)
        => int.TryParse(Environment.GetEnvironmentVariable("IMTA_SOAK"), NumberStyles.None, CultureInfo.InvariantCulture, out int rounds)
            ? rounds
            : otherwise;

    /// <summary>Damages a sound file so many times.</summary>
    /// <returns>How many were read and how many refused; anything else comes through as an exception that says the round.</returns>
    public static (int Read, int Refused) Run(
        Reader reader, byte[] sound, int seed, int rounds, Func<byte[], Random, byte[]>? damage = null)
    {
        var random = new Random(seed);
        int read = 0;
        for (int round = 0; round < rounds; round++)
        {
            byte[] file = (damage ?? Damage)(sound, random);
            try
            {
                read += IsRead(reader, file) ? 1 : 0;
            }
            catch (Exception e)
            {
                throw new InvalidOperationException($"{reader.Name}, seed {seed}, round {round}: {e.GetType().Name}: {e.Message}", e);
            }
        }

        return (read, rounds - read);
    }

    /// <summary>Whether a file is read rather than refused; anything but an InvalidDataException comes through.</summary>
    public static bool IsRead(Reader reader, byte[] file)
    {
        using var scope = NewDisposeScope();
        try
        {
            reader.Read(new MemoryStream(file));
            return true;
        }
        catch (InvalidDataException)
        {
            scope.DisposablesCount.Should().Be(0);
            return false;
        }
    }

    /// <summary>One to four bytes become others, or a piece goes, or comes twice.</summary>
    public static byte[] Damage(byte[] file, Random random)
    {
        byte[] damaged = [.. file];
        int place = random.Next(file.Length);
        int length = random.Next(1, Math.Min(64, file.Length - place) + 1);
        switch (random.Next(6))
        {
            case 0:
                return [.. file[..place], .. file[(place + length)..]];
            case 1:
                return [.. file[..(place + length)], .. file[place..]];
            default:
                for (int changes = random.Next(1, 5); changes > 0; changes--)
                {
                    damaged[random.Next(damaged.Length)] = random.Next(2) == 0 ? (byte)random.Next(256) : (byte)(random.Next(2) * 255);
                }

                return damaged;
        }
    }
}
