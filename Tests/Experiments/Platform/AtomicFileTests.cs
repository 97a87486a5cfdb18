namespace Imta.MetaWeight.Tests.Experiments.Platform;

/// <summary>Files that are replaced while others read them.</summary>
public sealed class AtomicFileTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    private string File => _folder.In("file");

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(false)]
    [InlineData(true)] // the old file is kept
    public void Reader_always_finds_a_complete_file(bool keepsOld)
    {
        Skip.If(OperatingSystem.IsWindows(), "there, a file that is being read cannot be replaced");
        const int Length = 10_000;
        const int Reads = 500, Writes = 100;
        string? previous = keepsOld ? _folder.In("previous") : null;
        byte version = 0;
        int writes = 0;
        Write();
        var reader = Task.Factory.StartNew(
            () =>
            {
                for (int read = 0; read < Reads || writes < Writes; read++)
                {
                    byte[] content = System.IO.File.ReadAllBytes(File);
                    content.Should().HaveCount(Length);
                    content.Distinct().Should().ContainSingle();
                }
            },
            TaskCreationOptions.LongRunning);

        do
        {
            version++;
            Write();
            Interlocked.Increment(ref writes);
            System.IO.File.ReadAllBytes(File)[0].Should().Be(version);
            if (previous is not null)
            {
                System.IO.File.ReadAllBytes(previous)[0].Should().Be((byte)(version - 1));
            }
        }
        while (!reader.IsCompleted);

        reader.GetAwaiter().GetResult();
        Directory.GetFiles(_folder.Path).Should().HaveCount(keepsOld ? 2 : 1);

        void Write() => AtomicFile.Write(File, stream => stream.Write(Enumerable.Repeat(version, Length).ToArray()), previous);
    }

    [Fact]
    public void Second_writer_is_refused_and_the_first_ones_file_is_whole()
    {
        AtomicFile.Write(File, stream =>
        {
            stream.WriteByte(1);
            FluentActions.Invoking(() => AtomicFile.WriteText(File, "other")).Should().Throw<IOException>().WithMessage("*file.partial*");
            stream.WriteByte(2);
        });

        System.IO.File.ReadAllBytes(File).Should().Equal(1, 2);
    }
}
