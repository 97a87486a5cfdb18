using Imta.MetaWeight.Experiments.Data;

namespace Imta.MetaWeight.Tests.Experiments.Data;

/// <summary>A folder with a small data set in the official binary layout, deleted at the end of a test.</summary>
internal sealed class DataCifarFolder : IDisposable
{
    private readonly CifarFormat _format;

    /// <summary>Complete; <paramref name="perFile"/> images in each file, labels in turn.</summary>
    public DataCifarFolder(CifarFormat format, int perFile = 40)
    {
        _format = format;
        Root = Directory.CreateTempSubdirectory("imta-data-").FullName;
        Folder = Path.Combine(Root, format.Folder);
        Directory.CreateDirectory(Folder);
        string[] files = [.. format.TrainFiles, format.TestFile];
        for (int i = 0; i < files.Length; i++)
        {
            int file = i;
            var images = Enumerable.Range(0, perFile);
            Write(files[i], [.. images.SelectMany(image => Record(image % format.ClassNames.Count, file, image))]);
        }
    }

    /// <summary>The folder above.</summary>
    public string Root { get; }

    /// <summary>The folder of the files.</summary>
    public string Folder { get; }

    /// <summary>The byte of a pixel in an image of a file (the test file comes last).</summary>
    public static byte Pixel(int file, int image, int channel, int row, int column)
        => (byte)((file * 101) + (image * 31) + (channel * 67) + (row * 7) + (column * 3));

    public string PathOf(string file) => Path.Combine(Folder, file);

    public void Write(string file, byte[] content) => File.WriteAllBytes(PathOf(file), content);

    /// <summary>Changes one byte of a file.</summary>
    public void Change(string file, int at, byte value)
    {
        byte[] content = File.ReadAllBytes(PathOf(file));
        content[at] = value;
        Write(file, content);
    }

    public void Dispose() => Directory.Delete(Root, recursive: true);

    private byte[] Record(int label, int file, int image)
    {
        byte[] labels = _format.LabelRanges.Count == 1 ? [(byte)label] : [(byte)(label / 5), (byte)label];
        var pixels =
            from channel in Enumerable.Range(0, 3)
            from row in Enumerable.Range(0, 32)
            from column in Enumerable.Range(0, 32)
            select Pixel(file, image, channel, row, column);
        return [.. labels, .. pixels];
    }
}
