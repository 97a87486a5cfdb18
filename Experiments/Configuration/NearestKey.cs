namespace Imta.MetaWeight.Experiments.Configuration;

/// <summary>Finds the key a user probably meant.</summary>
internal static class NearestKey
{
    /// <summary>The end of the message on an unknown key: the nearest key or group.</summary>
    public static string Hint(string unknown)
    {
        var key = unknown[..Math.Min(unknown.Length, 60)];
        var (nearest, distance) = SettingsSchema.Groups.Concat(SettingsSchema.Keys.Select(known => known.Key))
            .Where(known => !key.StartsWith(known + ".", StringComparison.Ordinal))
            .Select(known => (known, Distance: Distance(key, known)))
            .OrderBy(candidate => candidate.Distance)
            .ThenBy(candidate => EditDistance(key, candidate.known))
            .First();
        return distance <= Math.Max(2, key.Length / 3)
            ? $"did you mean {string.Join(" or ", Candidates(key, nearest))}?"
            : $"the closest match is {nearest}";
    }

    /// <summary>The end of the message on an unknown word, such as a command: the one that was probably meant, if any is near.</summary>
    public static string Suggestion(string unknown, IEnumerable<string> known)
    {
        var word = unknown[..Math.Min(unknown.Length, 60)];
        var near = known
            .Where(one => EditDistance(word, one) <= Math.Max(1, word.Length / 3)
                || (word.Length > 3 && (one.StartsWith(word, StringComparison.Ordinal) || word.StartsWith(one, StringComparison.Ordinal))))
            .MinBy(one => EditDistance(word, one));
        return near is null ? "." : $"; did you mean {near}?";
    }

    /// <summary>
    /// The nearest key, and keys with the same last part in sibling groups, if the unknown key names their common parent.
    /// </summary>
    private static IEnumerable<string> Candidates(string unknown, string nearest)
    {
        var (group, _) = Split(unknown);
        var (nearestGroup, word) = Split(nearest);
        return group.Length > 0 && Split(nearestGroup).Group == group
            ? SettingsSchema.Keys.Select(known => known.Key)
                .Where(known => Split(known) is var (own, last) && last == word && Split(own).Group == group)
            : [nearest];
    }

    // The right word in the wrong group is close, and so is a word that contains it (batchSize); words of one or two letters are not.
    private static int Distance(string key, string known)
    {
        var (group, word) = Split(key);
        var (knownGroup, knownWord) = Split(known);
        var words = knownWord.Length >= 3 && word.Contains(knownWord, StringComparison.OrdinalIgnoreCase)
            ? Math.Min(1, word.Length - knownWord.Length)
            : EditDistance(word, knownWord);
        var whole = EditDistance(key, known);
        return words <= Math.Max(1, word.Length / 3) && word.Length > 2 ? Math.Min(whole, words + (group == knownGroup ? 0 : 1)) : whole;
    }

    private static (string Group, string Word) Split(string key)
    {
        var dot = key.LastIndexOf('.');
        return (key[..Math.Max(dot, 0)], key[(dot + 1)..]);
    }

    /// <summary>Case-insensitive edit distance with transpositions (optimal string alignment).</summary>
    internal static int EditDistance(string from, string to)
    {
        var edits = new int[from.Length + 1, to.Length + 1];
        for (var i = 0; i <= from.Length; i++)
        {
            for (var j = 0; j <= to.Length; j++)
            {
                edits[i, j] = i == 0 ? j : j == 0 ? i : Cheapest(i, j);
            }
        }

        return edits[from.Length, to.Length];

        bool Same(int i, int j) => char.ToLowerInvariant(from[i - 1]) == char.ToLowerInvariant(to[j - 1]);

        int Cheapest(int i, int j)
        {
            var best = Math.Min(edits[i - 1, j], edits[i, j - 1]) + 1;
            best = Math.Min(best, edits[i - 1, j - 1] + (Same(i, j) ? 0 : 1));
            return i > 1 && j > 1 && Same(i, j - 1) && Same(i - 1, j) ? Math.Min(best, edits[i - 2, j - 2] + 1) : best;
        }
    }
}
