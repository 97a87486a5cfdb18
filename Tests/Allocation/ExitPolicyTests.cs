using Imta.MetaWeight.Allocation;

namespace Imta.MetaWeight.Tests.Allocation;

/// <summary>Any policy is a function from a sample's scores so far to leaving, and a kind that files name.</summary>
public sealed class ExitPolicyTests
{
    [Fact]
    public void Samples_leave_where_the_policy_first_says_so_and_at_the_last_exit_in_any_case()
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor classes = tensor(new[] { 1f, 1, 2, 2, 1, 2, 2, 2, 1, 2, 1, 2, 1, 1, 1, 1 }, [4, 4]);
        Tensor correct = tensor(new[] { 1, 1, 0, 0, 1, 0, 1, 1, 1, 1, 1, 0, 1, 0, 1, 1 }, [4, 4]).gt(Held(0));

        new PatiencePolicy(2).ExitOf(classes).data<long>().ToArray().Should().Equal(1, 2, 3, 1);
        new PatiencePolicy(3).ExitOf(classes).data<long>().ToArray().Should().Equal(3, 3, 3, 2);
        BudgetedOutcome outcome = new PatiencePolicy(2).Apply(classes, correct);
        outcome.Leaving.Should().Equal(0, 2, 1, 1);
        outcome.Correct.Should().Equal(0, 1, 1, 0);
    }

    [Fact]
    public void A_registered_kind_is_read_from_its_section_and_an_unknown_one_is_refused_by_the_names_of_all()
    {
        PolicySection section = PolicySection.Parse("""{ "agreeing": 3, "other": null }""");
        Action unknown = () => ExitPolicies.Read("luck", section);
        Action again = () => ExitPolicies.Register(ThresholdPolicy.Name, ThresholdPolicy.Read);
        ExitPolicies.Register(PatiencePolicy.Name, PatiencePolicy.Read);

        ExitPolicies.Read(PatiencePolicy.Name, section).Should().BeEquivalentTo(new PatiencePolicy(3));
        ExitPolicies.Kinds.Should().Contain(["patience", "thresholds"]).And.BeInAscendingOrder();
        unknown.Should().Throw<FormatException>().WithMessage("kind is luck; expected patience or thresholds*");
        again.Should().Throw<ArgumentException>();
        section.Invoking(left => left.End()).Should().Throw<FormatException>().WithMessage("unknown key other");
        section.Get<double?>("other", "a number or null").Should().BeNull();
        section.End();
    }

    [Theory]
    [InlineData("""{ "agreeing": 2.5 }""", "agreeing is invalid; expected a number of exits")]
    [InlineData("""{ "agreeing": null }""", "agreeing is invalid; expected a number of exits")]
    [InlineData("""{ "agreeing": 99999999999 }""", "agreeing is invalid; expected a number of exits")]
    [InlineData("{}", "the key agreeing is missing; expected a number of exits")]
    public void A_section_says_which_key_is_wrong_and_what_is_expected(string text, string problem)
    {
        Action read = () => PatiencePolicy.Read(PolicySection.Parse(text));

        read.Should().Throw<FormatException>().WithMessage(problem);
    }
}
