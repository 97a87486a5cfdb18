using System.Text.RegularExpressions;
using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Experiments.Reports;
using Microsoft.Playwright;

namespace Imta.MetaWeight.Tests.Experiments.Reports;

/// <summary>The page in a browser.</summary>
public sealed partial class ReportPageTests : IAsyncLifetime, IDisposable
{
    private const string Browser = "/usr/bin/chromium";
    private const string Hostile = "<img src=x onerror=alert(1)></script><script>alert(1)</script>";

    /// <summary>Charts by the names of their figures: the numbers of their series but bands and whiskers, and of those.</summary>
    private const string Drawn = """
        () => Object.fromEntries([...document.querySelectorAll('figure')].filter(figure => figure.querySelector('svg')).map(figure => {
          const series = echarts.getInstanceByDom(figure.querySelector('.chart')).getOption().series;
          return [figure.id, series.filter(s => s.type !== 'custom').length + '+' + series.filter(s => s.type === 'custom').length];
        }))
        """;

    private readonly WrittenRuns _runs = new();
    private readonly List<string> _troubles = [];
    private IPlaywright? _playwright;
    private IBrowser? _browser;

    public async Task InitializeAsync()
    {
        if (File.Exists(Browser))
        {
            _playwright = await Playwright.CreateAsync();
            _browser = await _playwright.Chromium.LaunchAsync(new()
            {
                ExecutablePath = Browser,
                Args =
                [
                    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
                    "--disable-component-update", "--disable-sync",
                ],
            });
        }
    }

    public async Task DisposeAsync()
    {
        await (_browser?.DisposeAsync() ?? ValueTask.CompletedTask);
        _playwright?.Dispose();
    }

    public void Dispose() => _runs.Dispose();

    [Fact]
    public async Task Every_chart_of_a_sweep_is_drawn_without_an_error_and_without_a_network()
    {
        _runs.Sweep("study");
        IPage page = await Open(ColorScheme.Light, "study");
        await DrawAll(page);

        (await page.EvaluateAsync<Dictionary<string, string>>(Drawn)).Should().BeEquivalentTo(new Dictionary<string, string>
        {
            ["gains-1"] = "1+1",
            ["anytime"] = "2+2",
            ["budgeted"] = "2+2",
            ["validation-accuracy"] = "2+2",
            ["validation-loss"] = "2+2",
            ["train-loss"] = "2+2",
            ["meta-loss"] = "2+2",
            ["rates"] = "2+2",
            ["shares"] = "3+0",
            ["difficulty"] = "4+0",
            ["overthinking"] = "2+2",
            ["reliability"] = "4+0",
            ["ranks"] = "1+0",
            ["weights-loss"] = "3+3",
            ["weights-confidence"] = "3+3",
            ["weights-difficulty"] = "3+3",
            ["weights-epochs"] = "1+1",
            ["groups"] = "2+2",
            ["classes"] = "2+2",
            ["confusion"] = "1+0",
            ["epoch-time"] = "2+2",
            ["speed"] = "2+2",
        });
        foreach (ILocator figure in await page.Locator("figure:has(svg)").AllAsync())
        {
            await figure.Locator("summary").ClickAsync();
            await figure.Locator("tbody tr").First.WaitForAsync(); // what is charted has its table, made as it is opened
        }

        (await page.Locator("#anytime svg path[stroke='#0072b2']").CountAsync()).Should().BeGreaterThan(0, "lines have their colours");
        (await page.Locator("#summary-1 tbody tr").CountAsync()).Should().Be(2);
        _troubles.Should().BeEmpty();
    }

    [Fact]
    public async Task What_is_chosen_is_drawn_and_its_numbers_are_in_the_table()
    {
        _runs.Sweep("study");
        IPage page = await Open(ColorScheme.Light, "study");

        await page.Locator("#ranks select").First.SelectOptionAsync("learned");
        await page.Locator("#ranks select").Last.SelectOptionAsync("exit 1 and exit 2");
        await page.Locator("#ranks summary").ClickAsync();
        (await page.Locator("#ranks tbody tr").First.InnerTextAsync()).Split('\t').Should().Equal("learned", "1", "1");
        (await page.Locator("#ranks .remark").InnerTextAsync()).Should().Contain("0.500");

        await page.Locator("#validation-accuracy summary").ClickAsync();
        (await page.Locator("#validation-accuracy tbody tr").First.InnerTextAsync()).Split('\t')[..3].Should().Equal("plain", "1", "40");
        await page.Locator("#validation-accuracy select").SelectOptionAsync("exit 1");
        (await page.Locator("#validation-accuracy tbody tr").First.InnerTextAsync()).Split('\t')[..3].Should().Equal("plain", "1", "30");
        _troubles.Should().BeEmpty();
    }

    [Fact]
    public async Task A_chart_of_a_sweep_of_100_runs_is_drawn_when_it_comes_near_the_screen()
    {
        _runs.Sweep("study", variants: 50, seeds: 2, epochs: 60);
        IPage page = await Open(ColorScheme.Light, "study");

        int all = await page.Locator("figure").CountAsync();
        (await page.Locator("figure svg").CountAsync()).Should().BeLessThanOrEqualTo(3).And.BeLessThan(all);
        (await page.Locator("td").CountAsync()).Should().BeLessThan(12_000);
        new FileInfo(_runs.In("report.html")).Length.Should().BeLessThan(8_000_000);
        await page.Locator("#confusion").ScrollIntoViewIfNeededAsync();
        await page.Locator("#confusion svg").WaitForAsync();
        (await page.Locator("#confusion .missing").InnerTextAsync()).Should().StartWith("Only the first 20 are shown");
        (await page.Locator("#groups .missing").InnerTextAsync()).Should().StartWith("Only the first 20 are shown", "bars need room");
        (await page.Locator("#train-loss svg").CountAsync()).Should().Be(0, "nobody has been there");
        await page.EmulateMediaAsync(new() { Media = Media.Print });
        await page.WaitForFunctionAsync("all => document.querySelectorAll('figure svg').length === all", all);
        _troubles.Should().BeEmpty();
    }

    [Fact]
    public async Task A_page_of_a_run_that_goes_on_loads_itself_again_and_stays_as_it_was_left()
    {
        _runs.Unfinished("a");
        IPage page = await Open(ColorScheme.Light, "a");
        string written = Path.Combine(_runs.Path, "report.html"), once = File.ReadAllText(written);
        Report(once, "once");
        await page.ReloadAsync();
        await page.Locator("#train-loss select").SelectOptionAsync("exit 2");
        await page.Locator("#train-loss summary").ClickAsync();
        await page.EvaluateAsync("() => scrollTo(0, 400)");
        Report(once, "twice");

        await page.WaitForFunctionAsync("() => document.querySelector('footer').textContent === 'twice'");
        (await page.Locator("#train-loss select").InputValueAsync()).Should().Be("exit 2");
        (await page.Locator("#train-loss tbody tr").CountAsync()).Should().Be(2);
        (await page.EvaluateAsync<double>("() => scrollY")).Should().Be(400);
        _troubles.Should().BeEmpty();

        void Report(string text, string made) => File.WriteAllText(
            written, Made().Replace(text, $"\"made\":\"{made}\",\"reloadSeconds\":1,", 1));
    }

    [Fact]
    public async Task It_is_dark_where_the_reader_wants_it_and_light_on_paper()
    {
        _runs.Finished("a");
        IPage page = await Open(ColorScheme.Dark, "a");

        (await Paper(page)).Should().Be("rgb(23, 25, 28)");
        await TextBecomes(page, "#e4e4e4");
        await page.EmulateMediaAsync(new() { Media = Media.Print });
        (await Paper(page)).Should().Be("rgb(255, 255, 255)");
        await TextBecomes(page, "#222");
        (await page.Locator("#classes .choices").IsVisibleAsync()).Should().BeFalse();
        (await page.Locator("#classes .remark").InnerTextAsync()).Should().Contain("last exit");
        await page.EmulateMediaAsync(new() { Media = Media.Screen, ColorScheme = ColorScheme.Light });
        await TextBecomes(page, "#222");
        _troubles.Should().BeEmpty();
    }

    [Fact]
    public async Task Hostile_names_are_shown_as_they_are_and_charts_follow_the_window()
    {
        _runs.Finished("a", $"'{Hostile}'");
        IPage page = await Open(ColorScheme.Light, "a");

        (await page.Locator("h1").InnerTextAsync()).Should().Be($"{Hostile}, seed 0");
        await page.Locator("#anytime svg path[fill='#0072b2']").First.HoverAsync();
        (await page.Locator("#anytime").InnerTextAsync()).Should().Contain("<img src=x");
        (await page.Locator("img").CountAsync()).Should().Be(0);
        double wide = await Width(page);
        await page.SetViewportSizeAsync(500, 800);
        await page.WaitForFunctionAsync("() => document.querySelector('#anytime svg').clientWidth < 500");
        wide.Should().BeGreaterThan(900);
        _troubles.Should().BeEmpty();
    }

    [Fact]
    public async Task A_tip_goes_where_its_chart_is_drawn_anew()
    {
        _runs.Finished("a");
        IPage page = await Open(ColorScheme.Light, "a");

        await page.Locator("#anytime svg path[fill='#0072b2']").First.HoverAsync();
        (await page.Locator("#anytime .chart").InnerTextAsync()).Should().Contain("multiply-adds per image: ");
        await page.EmulateMediaAsync(new() { ColorScheme = ColorScheme.Dark });
        await TextBecomes(page, "#e4e4e4");
        await page.EvaluateAsync("() => new Promise(done => setTimeout(done, 50))");
        (await page.Locator("#anytime .chart").InnerTextAsync()).Should().NotContain("multiply-adds per image: ");
        _troubles.Should().BeEmpty();
    }

    [GeneratedRegex("\"made\":\"[^\"]*\",")]
    private static partial Regex Made();

    /// <summary>Goes to every figure.</summary>
    private static async Task DrawAll(IPage page)
    {
        foreach (ILocator figure in await page.Locator("figure").AllAsync())
        {
            await figure.ScrollIntoViewIfNeededAsync();
            await figure.Locator("svg").First.WaitForAsync();
        }
    }

    private static Task<double> Width(IPage page) => page.EvaluateAsync<double>("document.querySelector('#anytime svg').clientWidth");

    private static Task<string> Paper(IPage page) => page.EvaluateAsync<string>("getComputedStyle(document.body).backgroundColor");

    /// <summary>Returns when charts are drawn with this colour of text: a page hears of another medium some time after it is set.</summary>
    private static Task TextBecomes(IPage page, string colour) => page.WaitForFunctionAsync(
        "colour => echarts.getInstanceByDom(document.querySelector('#anytime .chart')).getOption().legend[0].textStyle.color === "
            + "colour", colour);

    /// <summary>The report of a folder; what the browser complains of, and whatever it asks for beside the file, is a trouble.</summary>
    private async Task<IPage> Open(ColorScheme scheme, string folder)
    {
        Skip.If(_browser is null, $"no {Browser} on this machine");
        _runs.Report(0, folder);
        IPage page = await _browser.NewPageAsync(new() { ColorScheme = scheme, ViewportSize = new() { Width = 1200, Height = 900 } });
        page.Console += (_, message) => _troubles.Add($"{message.Type}: {message.Text}");
        page.PageError += (_, error) => _troubles.Add(error);
        page.Dialog += (_, dialog) => _troubles.Add($"dialog: {dialog.Message}");
        page.Request += (_, request) =>
        {
            if (!request.Url.StartsWith("file:", StringComparison.Ordinal) && !request.Url.StartsWith("data:", StringComparison.Ordinal))
            {
                _troubles.Add($"request: {request.Url}");
            }
        };
        await page.GotoAsync(new Uri(_runs.In("report.html")).AbsoluteUri);
        return page;
    }
}
