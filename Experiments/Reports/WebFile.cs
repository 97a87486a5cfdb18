namespace Imta.MetaWeight.Experiments.Reports;

/// <summary>The files of <c>web/</c> and their libraries, embedded by the build.</summary>
internal static class WebFile
{
    /// <summary>The scripts that turn figures into ECharts options, in loading order.</summary>
    public static readonly string[] Charts = ["formats.js", "matrix.js", "charts.js"];

    /// <summary>The scripts that lay out the page.</summary>
    public static readonly string[] Page = ["reload.js", "report.js"];

    public const string Style = "report.css";

    /// <summary>The notices required by the licences of ECharts and its dependencies; ECharts' own is in its file.</summary>
    public static readonly string[] Notices = ["NOTICE", "LICENSE-zrender", "LICENSE-d3"];

    private const string Bundle = "echarts-bundle.js";

    /// <summary>How the part of the bundle after ECharts starts: ecStat and the Blazor glue code.</summary>
    private const string NextInBundle = "\n!function(n,r){";

    /// <summary>ECharts alone, the first part of the bundle.</summary>
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
