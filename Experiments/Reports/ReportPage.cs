using System.Globalization;
using System.Net;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Imta.MetaWeight.Experiments.Reports;

/// <summary>A report as a single HTML file.</summary>
internal static class ReportPage
{
    /// <summary>
    /// Escapes <c>&lt;</c>, <c>&gt;</c>, <c>&amp;</c> and non-ASCII characters, so that the text cannot close the enclosing element. NaN
    /// and infinities become null; other numbers keep seven digits, more than a chart or its table shows.
    /// </summary>
    private static readonly JsonSerializerOptions Format = new(JsonSerializerDefaults.Web)
    {
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
        Converters = { new FiniteNumbers() },
    };

    public static string Json<T>(T part) => JsonSerializer.Serialize(part, Format);

    public static string Html(Report report)
    {
        string[] scripts = [WebFile.ReadECharts(), .. WebFile.Charts.Concat(WebFile.Page).Select(WebFile.Read)];
        string policy
            = $"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {string.Join(' ', scripts.Select(Hash))}";
        var page = new StringBuilder();
        page.Append(
            $"""
            <!DOCTYPE html>
            <html lang="en">
            <head>
            <meta charset="utf-8">
            <meta name="viewport" content="width=device-width, initial-scale=1">
            <meta http-equiv="Content-Security-Policy" content="{policy}">
            <title>{WebUtility.HtmlEncode(report.Title)}</title>
            <style>
            {WebFile.Read(WebFile.Style)}</style>
            </head>
            <body>
            <main id="report"><noscript>This report draws its charts with JavaScript, which is disabled.</noscript></main>
            <script type="text/plain">
            {string.Join("\n\n", WebFile.Notices.Select(WebFile.Read))}
            </script>
            <script type="application/json" id="report-data">{Json(report)}</script>

            """);
        foreach (string script in scripts)
        {
            page.Append("<script>").Append(script).Append("</script>\n");
        }

        return page.Append("</body>\n</html>\n").ToString();
    }

    /// <summary>The content-security-policy hash that allows exactly this script.</summary>
    private static string Hash(string script) => $"'sha256-{Convert.ToBase64String(SHA256.HashData(Encoding.UTF8.GetBytes(script)))}'";

    private sealed class FiniteNumbers : JsonConverter<double>
    {
        public override double Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) => reader.GetDouble();

        public override void Write(Utf8JsonWriter writer, double value, JsonSerializerOptions options)
        {
            if (double.IsFinite(value))
            {
                Span<byte> text = stackalloc byte[32];
                value.TryFormat(text, out int length, "G7", CultureInfo.InvariantCulture);
                writer.WriteRawValue(text[..length], skipInputValidation: true);
            }
            else
            {
                writer.WriteNullValue();
            }
        }
    }
}
