using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using Imta.MetaWeight.Experiments.Configuration;

namespace Imta.MetaWeight.Tests.Experiments.Configuration;

/// <summary>A setting that names an entry of a registry, and a group of options for each.</summary>
public sealed class ChoiceTests
{
    private readonly Registry<Toy> _registry = Registry();

    [Fact]
    public void Each_name_is_a_group_after_the_keys_of_the_record()
    {
        SettingsKey[] keys = Keys();

        keys.Select(key => key.Key).Should().Equal("toy", "size", "ball.bounce", "ball.colour", "kite.string");
        keys[0].Should().BeEquivalentTo(new { Type = "choice", Default = "ball", Range = "ball, kite" });
        keys[0].Expected.Should().Be("one of ball, kite");
        keys[2].Should()
            .BeEquivalentTo(new { Type = "number", Default = "0.5", Range = "[0, 1]", Meaning = "Share of the height after a bounce" });
    }

    [Fact]
    public void A_name_is_chosen_and_the_options_of_all_are_kept()
    {
        var settings = new Box { Toy = new(_registry) };

        Set(settings, "ball.bounce", "0.25").Should().BeTrue();
        Set(settings, "toy", "kite").Should().BeTrue();
        Set(settings, "kite.string", "7").Should().BeTrue();

        settings.Toy.Should()
            .BeEquivalentTo(
                new { Name = "kite", Value = new Toy("kite", null!), Options = new KiteOptions { String = 7 } },
                options => options.ComparingByValue<Toy>());
        settings.Toy.OptionsOf("ball").Should().Be(new BallOptions { Bounce = 0.25 });
        Keys().Select(key => key.Format(settings)).Should().Equal("kite", "1", "0.25", "red", "7");
    }

    [Theory]
    [InlineData("toy", "kit")]
    [InlineData("toy", "Kite")]
    [InlineData("toy", "null")]
    [InlineData("toy", "[ball]")]
    [InlineData("ball.bounce", "2")]
    [InlineData("kite.string", "short")]
    public void What_is_no_name_or_outside_an_options_range_is_refused(string key, string value)
    {
        var settings = new Box { Toy = new(_registry) };

        Set(settings, key, value).Should().BeFalse();
        settings.Should().Be(new Box { Toy = new(_registry) });
    }

    [Fact]
    public void Choices_are_equal_by_name_and_all_options()
    {
        Choice<Toy> choice = new(_registry), kite = choice.Choose("kite"), bouncy = choice.With("ball", new BallOptions { Bounce = 1 });

        choice.Should().Be(new Choice<Toy>(_registry)).And.NotBe(kite).And.NotBe(bouncy);
        kite.Choose("ball").Should().Be(choice);
        bouncy.With("ball", new BallOptions()).GetHashCode().Should().Be(choice.GetHashCode());
    }

    [Fact]
    public void An_unknown_name_is_refused_with_the_nearest()
        => FluentActions.Invoking(() => new Choice<Toy>(_registry).Choose("kit")).Should().Throw<UsageException>()
            .WithMessage("there is no toy kit; did you mean kite?");

    [Theory]
    [InlineData("")]
    [InlineData("Kite")]
    [InlineData("2kites")]
    [InlineData("box-kite")]
    [InlineData("on")]
    [InlineData("null")]
    public void A_name_is_one_word_that_every_reader_of_yaml_takes_for_text(string name)
        => FluentActions.Invoking(() => _registry.Add(new Toy(name, () => new KiteOptions()))).Should().Throw<ArgumentException>()
            .WithMessage($"a toy cannot be called '{name}'*");

    [Fact]
    public void A_name_is_registered_once() => FluentActions.Invoking(() => _registry.Add(new Toy("kite", () => new KiteOptions())))
        .Should().Throw<ArgumentException>().WithMessage("there is a toy kite already*");

    [Fact]
    public void Nothing_is_registered_after_settings_are_read()
    {
        _registry.Add(new Toy("doll", () => new KiteOptions()));
        _ = new Choice<Toy>(_registry);

        FluentActions.Invoking(() => _registry.Add(new Toy("robot", () => new KiteOptions()))).Should().Throw<InvalidOperationException>()
            .WithMessage("the toy robot comes too late: settings have been read without it.");
        _registry.Names.Should().Equal("ball", "kite", "doll");
    }

    [Fact]
    public void A_name_that_is_a_key_beside_the_choice_is_refused()
    {
        _registry.Add(new Toy("size", () => new KiteOptions()));

        FluentActions.Invoking(Keys).Should().Throw<InvalidOperationException>()
            .WithMessage("size is a setting already; toy cannot take that name.");
    }

    private static Registry<Toy> Registry() => new("toy", toy => toy.Name, toy => toy.Defaults())
    {
        new Toy("ball", () => new BallOptions()),
        new Toy("kite", () => new KiteOptions()),
    };

    private SettingsKey[] Keys() => [.. SettingsSchema.KeysOf(() => new Box { Toy = new(_registry) })];

    private bool Set(Box settings, string name, string value)
        => Keys().Single(key => key.Key == name).TrySet(settings, YamlReader.ReadValue(value, "the test"));

    private sealed record Toy(string Name, Func<object> Defaults)
    {
        public bool Equals(Toy? other) => other?.Name == Name;

        public override int GetHashCode() => Name.GetHashCode(StringComparison.Ordinal);
    }

    private enum Colour
    {
        Red,
        Blue,
    }

    private sealed record BallOptions
    {
        [Description("Share of the height after a bounce")]
        [Range(0.0, 1.0)]
        public double Bounce { get; init; } = 0.5;

        [Description("Its colour")]
        public Colour Colour { get; init; } = Colour.Red;
    }

    private sealed record KiteOptions
    {
        [Description("Metres of string")]
        [Range(1, 100)]
        public int String { get; init; } = 30;
    }

    private sealed record Box
    {
        [Description("What is in it")]
        public required Choice<Toy> Toy { get; init; }

        [Description("Its size")]
        [Range(1, 9)]
        public int Size { get; init; } = 1;
    }
}
