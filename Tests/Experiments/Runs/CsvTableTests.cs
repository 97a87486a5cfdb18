using System.Text;
using Imta.MetaWeight.Allocation;
using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;
using Imta.MetaWeight.Experiments.Reports;
using Imta.MetaWeight.Experiments.Runs;

namespace Imta.MetaWeight.Tests.Experiments.Runs;

/// <summary>Which CSV is written and read, and what is said of any other.</summary>
public sealed class CsvTableTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Tables_are_written_the_same_under_every_culture_and_read_back()
    {
        using var culture = new CommaCulture();
        InferenceRow[] rows = [Row(0, "a,b", 0.5f), Row(1, " \"quoted\"\n", 1e-7f), Row(2, "", float.NaN), Row(3, "é=1+1", 1_234_567)];

        CsvTable.Write(_folder.In("a.csv"), rows[..2]);
        CsvTable.Append(_folder.In("a.csv"), rows[2..]);

        File.ReadAllText(_folder.In("a.csv")).Should().Be("""
            sample,class,name,confidence,exit,macs,file
            0,0,"a,b",0.5,1,1000,
            1,0," ""quoted""
            ",1E-07,1,1000,
            2,0,,NaN,1,1000,
            3,0,é=1+1,1234567,1,1000,

            """);
        CsvTable.Read<InferenceRow>(_folder.In("a.csv")).Should().Equal(rows);
    }

    [Theory]
    [InlineData("name,macs,accuracy\r\nA,1000,0.5\r\n")] // Windows
    [InlineData("\uFEFFname,macs,accuracy\nA,1000,0.5\n")] // with a byte order mark, as spreadsheets write
    [InlineData("accuracy,other,macs,name\n0.5,x,1e3,A\n")] // other columns, another order
    [InlineData("Name, MACs ,accuracy\n\"A\",1000,.5")] // other letters, no end of line
    [InlineData("\nname,macs,accuracy,parameters\n\nA,1000,0.5,\n\n")] // empty lines, an optional column that says nothing
    public void Tables_of_others_are_read_by_the_names_of_their_columns(string text)
    {
        using var culture = new CommaCulture();

        Read(text).Should().Equal(new PointRow { Name = "A", Macs = 1000, Accuracy = 0.5 });
    }

    /// <summary>Of every length, for the reader takes many bytes at once.</summary>
    [Fact]
    public void Line_ends_of_Windows_are_read_after_headers_and_rows_of_every_length()
    {
        for (int length = 1; length <= 200; length++)
        {
            string other = new('x', length);
            Read($"name,macs,{other},accuracy\r\nA,1000,{other},0.5\r\nB,2000,,0.25").Should().Equal(
                new PointRow { Name = "A", Macs = 1000, Accuracy = 0.5 }, new PointRow { Name = "B", Macs = 2000, Accuracy = 0.25 });
        }
    }

    [Fact]
    public void A_table_that_was_converted_to_Windows_goes_on_with_line_feeds()
    {
        string file = _folder.In("timing.csv");
        TimingRow[] rows = [.. Enumerable.Range(1, 3).Select(epoch => new TimingRow
        {
            Epoch = epoch,
            TrainSeconds = 1.5,
            TrainImagesPerSecond = 100,
            ValidationSeconds = 0.5,
            PeakMemoryMib = 64,
        })];
        CsvTable.Write(file, rows);
        string whole = File.ReadAllText(file);
        File.WriteAllText(file, whole.ReplaceLineEndings("\r\n"));

        CsvTable.Read<TimingRow>(file).Should().Equal(rows);
        CsvTable.Header(file).Should().Equal("epoch", "train_seconds", "train_images_per_second", "validation_seconds", "peak_memory_mib");
        CsvTable.TruncateAfter(file, 2);
        CsvTable.Append(file, rows[2..]);

        File.ReadAllText(file).Should().Be(whole);
    }

    /// <summary>A process that was killed while it wrote a table's first line leaves none of it, or a part.</summary>
    [Theory]
    [InlineData("")]
    [InlineData("epo")]
    [InlineData("3,1,0.0")]
    public void A_table_whose_header_was_torn_has_none_and_gets_it_anew(string torn)
    {
        string file = _folder.In("epochs.csv");
        File.WriteAllText(file, torn);

        CsvTable.Header(file).Should().BeNull();
        CsvTable.TruncateAfter(file, 2);
        CsvTable.Append(file, ["epoch", "exit"], [[3, null]]);

        File.ReadAllText(file).Should().Be("epoch,exit\n3,\n");
    }

    [Theory]
    [InlineData("")]
    [InlineData("name,macs,accuracy\n")]
    public void A_table_without_rows_has_none(string text) => Read(text).Should().BeEmpty();

    [Theory]
    [
        InlineData(
            "name;macs;accuracy\nA;1000;0,5\n", ": it has no column name, macs, accuracy; expected a comma-separated table with a header")
    ]
    [
        InlineData(
            "sep=;\nname;macs;accuracy\nA;1000;0.5\n",
            ": it has no column name, macs, accuracy; expected a comma-separated table with a header")
    ]
    [InlineData("name,accuracy\nA,0.5\n", ": it has no column macs; expected a comma-separated table with a header")]
    [InlineData("name,macs,accuracy\nA,1000,0.5\n\nB,1000\n", ", line 4: the line is too short; is the file complete?")]
    [InlineData("name,macs,accuracy\nA,many,0.5\n", ", line 2: macs is 'many', which is not a valid value")]
    [InlineData("name,macs,accuracy\nA,,0.5\n", ", line 2: macs is '', which is not a valid value")]
    [InlineData("name,macs,accuracy\nA,1000,0.5\nB,1000,0.5 %\n", ", line 3: accuracy is '0.5 %', which is not a valid value")]
    [
        InlineData(
            "name,macs,accuracy\n\"A,1000,0.5\nB,1000,0.5\n",
            ", line 2: this is not a valid CSV table (Malformed CSV in record 2 (line 2): "
                + "a quoted field that is never closed (byte offset *))")
    ]
    [
        InlineData(
            "name,macs,accuracy\nA\"B,1000,0.5\n",
            ", line 2: this is not a valid CSV table (Malformed CSV in record 2 (line 2): "
                + "a quote inside an unquoted field (byte offset *))")
    ]
    public void A_damaged_table_and_another_dialect_are_refused_in_one_line(string text, string problem)
    {
        Action read = () => Read(text);

        read.Should().Throw<UsageException>().WithMessage($"{_folder.In("table.csv")}{problem}");
    }

    private static InferenceRow Row(int sample, string name, float confidence)
        => new() { Sample = sample, Class = 0, Name = name, Confidence = confidence, Exit = 1, Macs = 1000, File = "" };

    private IReadOnlyList<PointRow> Read(string text)
    {
        File.WriteAllText(_folder.In("table.csv"), text, new UTF8Encoding(encoderShouldEmitUTF8Identifier: false));
        return CsvTable.Read<PointRow>(_folder.In("table.csv"));
    }
}
