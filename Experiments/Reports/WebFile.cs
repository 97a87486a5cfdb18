namespace Imta.MetaWeight.Experiments.Reports;

/// <summary>The files of <c>web/</c> and the libraries that they need, which the build puts into the program.</summary>
internal static class WebFile
{
    public const string Charts = "charts.js";
    public const string Page = "report.js";
    public const string Style = "report.css";

    /// <summary>What the licences of ECharts and of what is in it want to be passed on; ECharts' own is in its file.</summary>
    public static readonly string[] Notices = ["NOTICE", "LICENSE-zrender", "LICENSE-d3"];

    private const string Bundle = "echarts-bundle.js";

    /// <summary>What comes after ECharts in the bundle: ecStat, and the glue to Blazor.</summary>
    private const string NextInBundle = "\n!function(n,r){";

    /// <summary>ECharts alone, which is what comes first in the bundle.</summary>
    public static string ReadECharts()
    {
        string bundle = Read(Bundle);
        return bundle[..bundle.IndexOf(NextInBundle, StringComparison.Ordinal)].Trim();
    }

    public static string Read(string name)
    {
        using Stream file = typeof(WebFile).Assembly.GetManifestResourceStream($"web/{name}")!;
        using var text = new StreamReader(file);
        return text.ReadToEnd();
    }
}
