using System.Buffers.Binary;
using System.Numerics;
using Imta.MetaWeight.Experiments.Runs;
using TorchSharp.Modules;

namespace Imta.MetaWeight.Experiments.Training;

/// <summary>
/// A run's curves for TensorBoard: each column of <c>epochs.csv</c> by exit, and the speed of training, over epochs. Each session of a run
/// has a file of its own, which TensorBoard joins; an epoch that a killed run repeats appears twice, with the same values.
/// </summary>
/// <param name="folder">The folder; it is created with the first epoch.</param>
internal sealed class TensorBoardLog(string folder)
{
    private const int Header = 12; // bytes of a record before its content: its length (8) and the checksum of that

    private SummaryWriter? _writer;

    /// <summary>Writes an epoch immediately.</summary>
    /// <param name="columns">Those of <c>epochs.csv</c>.</param>
    /// <param name="rows">One per exit, with a value per column.</param>
    /// <param name="imagesPerSecond">Training images per second of training.</param>
    public void Write(IReadOnlyList<EpochColumn> columns, double?[][] rows, double imagesPerSecond)
    {
        SummaryWriter writer = _writer ??= Start();
        int epoch = (int)rows[0][At("epoch")]!.Value, exit = At("exit");
        foreach ((int at, EpochColumn column) in columns.Index().Where(column => !column.Item.IsPosition))
        {
            foreach (double?[] row in column.IsShared ? rows[..1] : rows)
            {
                Add(column.IsShared ? column.Name : FormattableString.Invariant($"{column.Name}/exit {row[exit]}"), row[at]);
            }
        }

        Add("images_per_second", imagesPerSecond);

        int At(string name) => columns.Index().First(column => column.Item.Name == name).Index;

        void Add(string tag, double? value)
        {
            if (value is { } known)
            {
                writer.add_scalar(tag, (float)known, epoch);
            }
        }
    }

    private SummaryWriter Start()
    {
        Directory.CreateDirectory(folder);
        string[] before = Directory.GetFiles(folder, RunFolder.EventFiles);
        SummaryWriter writer = utils.tensorboard.SummaryWriter(folder);
        SetStart(Directory.GetFiles(folder, RunFolder.EventFiles).Except(before).Single(), DateTimeOffset.UtcNow);
        return writer;
    }

    /// <summary>
    /// Corrects the time in a new file's first record, from which readers take the run's start: TorchSharp writes ticks of the local clock
    /// there.
    /// </summary>
    private static void SetStart(string file, DateTimeOffset start)
    {
        byte[] record = File.ReadAllBytes(file);
        int length = checked((int)BinaryPrimitives.ReadInt64LittleEndian(record));
        Span<byte> content = record.AsSpan(Header, length);
        const byte TimeField = (1 << 3) | 1; // field 1, 64 bits
        if (content[0] == TimeField)
        {
            BinaryPrimitives.WriteDoubleLittleEndian(content[1..], start.ToUnixTimeMilliseconds() / 1000.0);
            BinaryPrimitives.WriteUInt32LittleEndian(record.AsSpan(Header + length), MaskedCrc(content));
            File.WriteAllBytes(file, record);
        }
    }

    /// <summary>A record's checksum: CRC-32C, rotated, plus a constant.</summary>
    internal static uint MaskedCrc(ReadOnlySpan<byte> content)
    {
        uint crc = uint.MaxValue;
        foreach (byte one in content)
        {
            crc = BitOperations.Crc32C(crc, one);
        }

        return BitOperations.RotateRight(~crc, 15) + 0xa282ead8;
    }
}
