using System.Buffers.Binary;
using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;
using static Imta.MetaWeight.Experiments.Checkpoints.TorchFiles.FormatGuard;

namespace Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;

/// <summary>A pickle's bytes: the instructions' operands, and the plain values among them.</summary>
internal sealed class PickleInput(byte[] pickle, int start)
{
    private static readonly TorchValue True = true;
    private static readonly TorchValue False = false;
    private static readonly TorchOpaque Blob = new("builtins", "bytes");
    private static readonly TorchOpaque LargeInteger = new("builtins", "int");
    private static readonly TorchOpaque UnreadableText = new("builtins", "str");
    private static readonly UTF8Encoding Utf8 = new(false, throwOnInvalidBytes: true);

    /// <summary>Where the next instruction or operand starts.</summary>
    public int Position { get; private set; } = start;

    // Legacy pickles have no length field: bytes beyond the accepted length are never read.
    private string Ending => pickle.Length < PickleReader.MaxPickleLength
        ? $"the pickle is truncated: {Incomplete}"
        : $"the pickle exceeds the accepted 16 MiB, or {Incomplete}";

    public byte Byte() => Bytes(1)[0];

    public uint UInt32() => BinaryPrimitives.ReadUInt32LittleEndian(Bytes(4));

    /// <exception cref="InvalidDataException">The pickle has fewer.</exception>
    public ReadOnlySpan<byte> Bytes(ulong count)
    {
        Require(count <= (ulong)(pickle.Length - Position), Ending);
        Position += (int)count;
        return pickle.AsSpan(Position - (int)count, (int)count);
    }

    /// <summary>An operand of the text protocol, which ends at the end of its line.</summary>
    public string Line()
    {
        int length = pickle.AsSpan(Position).IndexOf((byte)'\n');
        Require(length >= 0, Ending);
        string line = Encoding.Latin1.GetString(Bytes((ulong)length));
        Position++;
        return line;
    }

    /// <summary>A memo's index as the text protocol writes it.</summary>
    public uint Index() => uint.TryParse(Line(), NumberStyles.None, CultureInfo.InvariantCulture, out uint index)
        ? index
        : throw new InvalidDataException("the index of a memo is not a number");

    /// <summary>
    /// The value that an instruction describes by its operand alone; null: it is another instruction. Numbers over 64 bits, bytes and text
    /// that is not UTF-8 are opaque.
    /// </summary>
    public TorchValue? Scalar(byte instruction) => instruction switch
    {
        (byte)'N' => TorchNone.Value, // NONE
        0x88 => True, // NEWTRUE
        0x89 => False, // NEWFALSE
        (byte)'J' => (long)BinaryPrimitives.ReadInt32LittleEndian(Bytes(4)), // BININT
        (byte)'K' => (long)Byte(), // BININT1
        (byte)'M' => (long)BinaryPrimitives.ReadUInt16LittleEndian(Bytes(2)), // BININT2
        (byte)'I' => Line() switch { "00" => False, "01" => True, var digits => Decimal(digits) }, // INT
        (byte)'L' => Decimal(Line().TrimEnd('L')), // LONG
        0x8a => Integer(Bytes(Byte())), // LONG1
        0x8b => Integer(Bytes(UInt32())), // LONG4
        (byte)'F' => Float(Line()), // FLOAT
        (byte)'G' => BinaryPrimitives.ReadDoubleBigEndian(Bytes(8)), // BINFLOAT
        0x8c => Text(Bytes(Byte())), // SHORT_BINUNICODE
        (byte)'X' => Text(Bytes(UInt32())), // BINUNICODE
        0x8d => Text(Bytes(UInt64())), // BINUNICODE8
        (byte)'V' => Text(Encoding.UTF8.GetBytes(Unescaped(Regex.Replace(Line(), "\\\\U([0-9a-f]{8})", WideCharacter)))), // UNICODE
        (byte)'U' => Text(Bytes(Byte())), // SHORT_BINSTRING: Python 2's text
        (byte)'T' => Text(Bytes(UInt32())), // BINSTRING
        (byte)'S' => Quoted(Line()), // STRING
        (byte)'C' => Skipped(Byte()), // SHORT_BINBYTES
        (byte)'B' => Skipped(UInt32()), // BINBYTES
        0x8e or 0x96 => Skipped(UInt64()), // BINBYTES8, BYTEARRAY8
        _ => null,
    };

    private ulong UInt64() => BinaryPrimitives.ReadUInt64LittleEndian(Bytes(8));

    private TorchOpaque Skipped(ulong count)
    {
        Bytes(count);
        return Blob;
    }

    private static TorchValue Integer(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length > 8)
        {
            return LargeInteger;
        }

        long value = bytes.Length > 0 && (sbyte)bytes[^1] < 0 ? -1 : 0;
        for (int k = bytes.Length - 1; k >= 0; k--)
        {
            value = (value << 8) | bytes[k];
        }

        return value;
    }

    private static TorchValue Decimal(string digits)
    {
        if (long.TryParse(digits, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long number))
        {
            return number;
        }

        Require(Regex.IsMatch(digits, "^-?[0-9]+$"), $"{Quote(digits)} is not an integer");
        return LargeInteger;
    }

    private static double Float(string text)
        => double.TryParse(
            text.Replace("inf", "Infinity", StringComparison.Ordinal), NumberStyles.Float, CultureInfo.InvariantCulture, out double number)
            ? number
            : throw new InvalidDataException($"{Quote(text)} is not a number");

    private static TorchValue Text(ReadOnlySpan<byte> bytes)
    {
        try
        {
            return Utf8.GetString(bytes);
        }
        catch (DecoderFallbackException)
        {
            return UnreadableText;
        }
    }

    private static TorchValue Quoted(string literal)
    {
        Require(literal.Length > 1 && literal[0] is '\'' or '"' && literal[^1] == literal[0], "a string has no quotes around it");
        return Text(Encoding.Latin1.GetBytes(Unescaped(literal[1..^1])));
    }

    private static string WideCharacter(Match escape)
        => Rune.TryCreate(uint.Parse(escape.Groups[1].Value, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture), out Rune rune)
            ? rune.ToString()
            : throw new InvalidDataException($"{Quote(escape.Value)} is not a character");

    // Of the escapes that Python writes, .NET's regular expressions have all but \U.
    private static string Unescaped(string text)
    {
        try
        {
            return Regex.Unescape(text);
        }
        catch (ArgumentException e)
        {
            throw new InvalidDataException($"the string {Quote(text)} has escapes that Python does not write", e);
        }
    }
}
