using FsCheck;
using FsCheck.Fluent;

namespace Imta.MetaWeight.Tests;

/// <summary>How random laws fail.</summary>
public sealed class LawsTests
{
    [Fact]
    public void A_law_that_fails_says_the_case_and_the_seed_that_repeats_it()
    {
        Action law = () => Prop.ForAll(Arb.From(Gen.Choose(3, 9)), number => number < 3).Hold();

        law.Should().Throw<Exception>().Which.Message.Should()
            .MatchRegex(@"(?s)^Falsifiable, .*seed of \([0-9]+,[0-9]+\).*Original:\s+[3-9]\s");
    }
}
