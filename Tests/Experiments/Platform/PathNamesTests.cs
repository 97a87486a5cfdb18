namespace Imta.MetaWeight.Tests.Experiments.Platform;

/// <summary>Paths with the separators and the case of all systems, whichever these tests run on.</summary>
public sealed class PathNamesTests
{
    [Theory]
    [InlineData("train/cat/1.png", '/', "train/cat/1.png")]
    [InlineData(@"train\cat\1.png", '\\', "train/cat/1.png")]
    [InlineData(@"odd\name.png", '/', @"odd\name.png")]
    public void Files_have_slashes_on_every_system(string path, char separator, string expected)
        => PathNames.Portable(path, separator).Should().Be(expected);

    [Theory]
    [InlineData("/data/pictures", "/data/pictures/cats", '/', true)]
    [InlineData("/data/pictures/", "/data/pictures", '/', true)]
    [InlineData("/data/pictures", "/data/pictures2", '/', false)]
    [InlineData("/data/pictures/cats", "/data/pictures", '/', false)]
    [InlineData("/", "/data", '/', true)]
    [InlineData(@"C:\data\pictures", @"C:\data\pictures\cats", '\\', true)]
    [InlineData(@"C:\data\pictures\", @"c:\Data\pictures", '\\', true)]
    [InlineData(@"C:\data\pictures", @"C:\data\pictures2", '\\', false)]
    [InlineData(@"C:\", @"C:\data", '\\', true)]
    [InlineData(@"D:\", @"C:\data", '\\', false)]
    public void A_folder_holds_what_lies_in_it(string folder, string path, char separator, bool expected)
        => PathNames.IsWithin(folder, path, separator, separator == '/' ? StringComparison.Ordinal : StringComparison.OrdinalIgnoreCase)
            .Should().Be(expected);
}
