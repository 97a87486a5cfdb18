using System.Globalization;
using Jint;

namespace Imta.MetaWeight.Experiments.Reports;

/// <summary>The figures of a report as SVG files: the page's own charts, drawn by ECharts without a browser.</summary>
internal sealed class ChartFiles : IDisposable
{
    private const int Width = 800;
    private const int Height = 460;

    // Without a browser text cannot be measured; ECharts' own estimate is too small for wide fonts.
    private static readonly string Script = string.Create(CultureInfo.InvariantCulture, $$"""
        echarts.setPlatformAPI({ measureText: (text, font) => ({ width: 0.6 * parseFloat(/([0-9.]+)px/.exec(font)[1]) * text.length }) });
        function draw(figure, view) {
          const chart = echarts.init(null, null, { renderer: 'svg', ssr: true, width: {{Width}}, height: {{Height}} });
          chart.setOption(charts.option(figure, view, { mode: 'light', width: {{Width}}, titled: true }));
          const picture = chart.renderToSVGString();
          chart.dispose();
          return picture;
        }
        """);

    private readonly Engine _engine = new();

    /// <summary>Loads ECharts, with stubs for the timers that a static image does not need.</summary>
    public ChartFiles() => _engine
        .Execute("var setTimeout = () => 0, clearTimeout = () => {};")
        .Execute(string.Join('\n', [WebFile.ReadECharts(), .. WebFile.Charts.Select(WebFile.Read), Script]));

    public void Dispose() => _engine.Dispose();

    /// <summary>Each view of each figure, with its file name; for rank figures, only the default view of each run.</summary>
    public IEnumerable<(string Name, string Svg)> Draw(Report report)
    {
        var names = new HashSet<string>();
        foreach (Figure figure in report.Sections.SelectMany(section => section.Blocks).OfType<Figure>())
        {
            _engine.Execute($"var figure = {ReportPage.Json(figure with { Views = [] })};");
            foreach (View view in figure.Columns is null ? figure.Views : figure.Views.DistinctBy(view => view.Labels![0]))
            {
                yield return (NameOf(figure, view, names), _engine.Evaluate($"draw(figure, {ReportPage.Json(view)})").AsString());
            }
        }
    }

    /// <summary>From the figure's and view's names, restricted to portable file-name characters.</summary>
    private static string NameOf(Figure figure, View view, HashSet<string> taken)
    {
        string words = string.Concat(
            $"{figure.Id} {string.Join(' ', view.Labels ?? [])}".ToLowerInvariant().Select(c => char.IsAsciiLetterOrDigit(c) ? c : ' '));
        string name = string.Join('-', words.Split(' ', StringSplitOptions.RemoveEmptyEntries)), stem = name[..Math.Min(name.Length, 100)];
        return Enumerable.Range(1, int.MaxValue).Select(k => k == 1 ? $"{stem}.svg" : $"{stem}-{k}.svg").First(taken.Add);
    }
}
