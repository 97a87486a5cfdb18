using System.Buffers.Binary;
using System.Globalization;
using Imta.MetaWeight.Experiments.Training;
using Tensorboard;

namespace Imta.MetaWeight.Tests.Experiments.Commands;

/// <summary>Event files of <c>export.tensorboard</c>, read record by record as TensorBoard reads them.</summary>
public sealed class TensorBoardTests : IDisposable
{
    private const int Exits = 2;
    private static readonly string[] Shared = ["rate", "meta_rate", "meta_loss", "skipped_batches"];

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void They_have_the_columns_of_the_table_from_session_to_session()
    {
        DateTimeOffset before = DateTimeOffset.UtcNow.AddSeconds(-1);
        string[] setting = ["--set", "export.tensorboard=true"];
        using (ImtaProcess stopped = ImtaProcess.Start(
            _folder.Path, ["train", "--out", "run", .. ImtaProcess.Tiny, .. setting, "--set", "train.epochs=40"]))
        {
            stopped.WaitUntil(() => File.Exists(_folder.In("run", "epochs.csv")));
            stopped.Interrupt();
            stopped.End();
        }

        _folder.Run(0, "train", "--resume", "run");
        _folder.Run(0, "train", "--resume", "run"); // of a finished run: nothing is left to do

        Event[][] files = [.. Directory.GetFiles(_folder.In("run", "tensorboard")).Select(Events)];
        files.Should().HaveCount(2, "each session that trained has one").And.OnlyContain(file => file[0].FileVersion == "brain.Event:2");
        Event[] events = [.. files.SelectMany(file => file)];
        events.Should().OnlyContain(
            one => one.WallTime >= before.ToUnixTimeSeconds() && one.WallTime <= DateTimeOffset.UtcNow.ToUnixTimeSeconds() + 1);

        (string Tag, long Epoch, float Value)[] scalars =
        [
            .. files.SelectMany(file => file.Skip(1))
                .Select(one => (one.Summary.Value.Single().Tag, one.Step, one.Summary.Value.Single().SimpleValue)),
        ];
        string[][] table = [.. File.ReadLines(_folder.In("run", "epochs.csv")).Select(line => line.Split(','))];
        IEnumerable<(string, long, float)> expected = table.Skip(1).SelectMany(row => table[0].Zip(row).Skip(3)
            .Where(column => column.Second.Length > 0 && (!Shared.Contains(column.First) || row[2] == "1"))
            .Select(column => (
                Shared.Contains(column.First) ? column.First : $"{column.First}/exit {row[2]}",
                long.Parse(row[0], CultureInfo.InvariantCulture),
                (float)double.Parse(column.Second, CultureInfo.InvariantCulture))));
        (string, long, float)[] columns = [.. scalars.Where(one => one.Tag != "images_per_second")];
        columns.Except(expected).Concat(expected.Except(columns)).Should().BeEmpty();
        columns.Should().OnlyHaveUniqueItems().And.HaveCountGreaterThan(40 * Exits * 6);
        scalars.Where(one => one.Tag == "images_per_second").Should().HaveCount(40).And.OnlyContain(one => one.Value > 0);
    }

    [Fact]
    public void Without_the_setting_there_are_none_and_a_new_run_removes_them()
    {
        _folder.Run(0, ["train", "--out", "run", .. ImtaProcess.Tiny, "--set", "export.tensorboard=true"]);
        _folder.Run(0, ["train", "--out", "run", .. ImtaProcess.Tiny, "--force"]);

        Directory.GetFiles(_folder.In("run", "tensorboard")).Should().BeEmpty();
    }

    /// <summary>The records of a file: length, check sum of the length, content, check sum of the content.</summary>
    private static Event[] Events(string file)
    {
        var events = new List<Event>();
        for (ReadOnlySpan<byte> rest = File.ReadAllBytes(file); rest.Length > 0;)
        {
            int length = checked((int)BinaryPrimitives.ReadInt64LittleEndian(rest));
            ReadOnlySpan<byte> content = rest.Slice(12, length);
            BinaryPrimitives.ReadUInt32LittleEndian(rest[8..]).Should().Be(TensorBoardLog.MaskedCrc(rest[..8]));
            BinaryPrimitives.ReadUInt32LittleEndian(rest[(12 + length)..]).Should().Be(TensorBoardLog.MaskedCrc(content));
            events.Add(Event.Parser.ParseFrom(content.ToArray()));
            rest = rest[(16 + length)..];
        }

        return [.. events];
    }
}
